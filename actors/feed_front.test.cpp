#include "actors/feed_front.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <future>
#include <memory>
#include <new>
#include <utility>
#include <vector>

namespace headrace::actors {
namespace {

using testing::HasSubstr;

/// A broker with one message, which then does what it is told.
class one_message_feed final : public worker::broker_feed {
 public:
  explicit one_message_feed(std::function<result<void>()> then) : then_(std::move(then)) {}

  result<void> poll(std::chrono::milliseconds,
                    std::size_t,
                    std::vector<worker::broker_message>& into) override {
    if (std::exchange(given_, true)) return then_();
    worker::broker_message one;
    one.partition = "clicks/0";
    one.offset = 7;
    one.value = R"({"id":"e1","rating":5})";
    into.push_back(one);
    return {};
  }
  result<void> commit(const std::string&, std::uint64_t) override { return {}; }
  void pause() override {}
  void resume() override {}
  result<void> dead_letter(const worker::broker_message&, std::string_view) override { return {}; }
  state look() const override { return {}; }

 private:
  std::function<result<void>()> then_;
  bool given_ = false;
};

TEST(FeedFront, OffersWhatComesAsTrustedAndSaysHowTheBrokerIs) {
  const system_clock time;
  std::promise<worker::event_intake::request> offered;
  feed_front front(
      std::make_unique<one_message_feed>([] { return result<void>(); }),
      [&](worker::event_intake::request batch) {
        schemas::event_ack ack;
        ack.accepted = 1;
        batch.done(std::move(ack));
        offered.set_value(std::move(batch));
      },
      time,
      [](const error& why) { ADD_FAILURE() << describe(why); });
  const auto batch = offered.get_future().get();
  EXPECT_TRUE(batch.trusted);
  const auto events = schemas::decode_event_batch(batch.batch);
  ASSERT_TRUE(events.ok());
  EXPECT_EQ(events->partition, "clicks/0");
  EXPECT_EQ(events->offset_end, 8U);
  front.stop();
  EXPECT_THAT(front.status(), HasSubstr("\"connected\":"));
}

TEST(FeedFront, WhatTheBrokersSideFailsWithIsToldOnce) {
  const system_clock time;
  for (const bool throws : {false, true}) {
    std::promise<error> told;
    feed_front front(
        std::make_unique<one_message_feed>([throws]() -> result<void> {
          if (throws) throw std::bad_alloc();
          return error{errc::bad_input, "no such topic"};
        }),
        [](worker::event_intake::request) {},
        time,
        [&](error why) { told.set_value(std::move(why)); });
    const error why = told.get_future().get();
    EXPECT_EQ(why.code, throws ? errc::io_error : errc::bad_input);
    EXPECT_THAT(why.detail, HasSubstr(throws ? "std::bad_alloc" : "no such topic"));
  }
}

}  // namespace
}  // namespace headrace::actors
