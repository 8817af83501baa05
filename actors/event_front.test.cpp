#include "actors/event_front.hpp"

#include "actors/event_client.hpp"
#include "actors/transport/link.hpp"
#include "actors/transport/router.hpp"
#include "actors/transport/test_peers.hpp"
#include "base/random.hpp"
#include "schemas/wire.hpp"
#include "tests/support/child_process.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <mutex>
#include <new>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

/// Real sockets on loopback, and an intake that keeps ids in a set.
namespace headrace::actors {
namespace {

using namespace std::chrono_literals;
using schemas::event_ack;

constexpr auto patience = 20s;

frame batch_of(const std::string& first_id, std::size_t events = 3, std::size_t text = 8) {
  schemas::event_batch_builder builder;
  builder.begin("shop");
  const auto name = builder.name("title");
  for (std::size_t i = 0; i < events; ++i) {
    builder.event(first_id + "-" + std::to_string(i), "key", 1'000 + i);
    builder.text(name, std::string(text, 'x'));
  }
  return builder.finish();
}

/// What survives a server: ids taken. Answers at once, or keeps batches until told to go on.
class fake_intake {
 public:
  void offer(worker::event_intake::request batch) {
    std::unique_lock lock(mutex_);
    if (holding_) {
      held_.push_back(std::move(batch));
      return;
    }
    answer(batch);
  }
  event_front::offer taker() {
    return [this](worker::event_intake::request batch) { offer(std::move(batch)); };
  }
  void hold() {
    const std::lock_guard lock(mutex_);
    holding_ = true;
  }
  /// Answers what was kept and all that follows.
  void go_on() {
    const std::lock_guard lock(mutex_);
    holding_ = false;
    for (auto& batch : held_) answer(batch);
    held_.clear();
  }
  /// Takes what was kept, like a server that is killed before its answers left.
  void take_without_answers() {
    const std::lock_guard lock(mutex_);
    for (auto& batch : held_) {
      batch.done = [](const event_ack&) {};
      answer(batch);
    }
    held_.clear();
  }
  std::size_t held() {
    const std::lock_guard lock(mutex_);
    return held_.size();
  }
  void refuse_next(std::size_t times) {
    const std::lock_guard lock(mutex_);
    refusals_ = times;
  }
  std::set<std::string> ids() {
    const std::lock_guard lock(mutex_);
    return ids_;
  }
  const std::byte* last_batch_at = nullptr;
  std::string last_token;

 private:
  void answer(worker::event_intake::request& batch) {
    event_ack ack;
    last_batch_at = batch.batch.bytes().data();
    last_token = batch.token;
    if (refusals_ > 0) {
      --refusals_;
      ack.status = errc::overloaded;
      ack.retry_after_ms = 5;
      return batch.done(ack);
    }
    const auto read = schemas::decode_event_batch(batch.batch);
    if (!read) {
      ack.status = read.error().code;
      ack.detail = read.error().detail;
      return batch.done(ack);
    }
    for (const auto& event : read->events) {
      ++(ids_.emplace(event.id).second ? ack.accepted : ack.duplicates);
    }
    batch.done(ack);
    batch.room.reset();
  }
  std::mutex mutex_;
  std::vector<worker::event_intake::request> held_;
  std::set<std::string> ids_;
  std::size_t refusals_ = 0;
  bool holding_ = false;
};

result<void> only_open_sesame(std::string_view token) {
  if (token == "open sesame") return {};
  return error{errc::unauthorized, "token not known"};
}

/// A front behind a router; a new one at the same endpoint stands for a restarted server.
class EventFront : public ::testing::Test {
 protected:
  ~EventFront() override {
    if (router_) router_->stop();  // before it is let go of: a peer may be sending
  }
  void serve(const router_options& how = {}, event_front::settings limits = {}) {
    const std::string at = endpoint_.empty() ? "tcp://127.0.0.1:*" : endpoint_;
    front_ = std::make_unique<event_front>(intake_.taker(), only_open_sesame, limits);
    auto opened = router::open(transport_, {at}, front_->handler(), how);
    ASSERT_TRUE(opened.ok()) << describe(opened.error());
    router_ = std::move(*opened);
    endpoint_ = router_->endpoints().front();
  }
  void stop_serving() {
    router_->stop();
    router_.reset();
  }
  std::unique_ptr<event_client> client(event_client::options how = {}) {
    if (how.token.empty()) how.token = "open sesame";
    auto opened = event_client::open(transport_, endpoint_, std::move(how));
    EXPECT_TRUE(opened.ok());
    return std::move(*opened);
  }

  transport_context transport_;
  fake_intake intake_;
  std::unique_ptr<event_front> front_;
  std::shared_ptr<router> router_;
  std::string endpoint_;
};

TEST_F(EventFront, AnswersWhatTheIntakeSaid) {
  serve();
  const auto pushing = client();
  ASSERT_TRUE(pushing->push(batch_of("a")).ok());
  ASSERT_TRUE(pushing->push(batch_of("a")).ok());
  ASSERT_TRUE(pushing->flush(patience).ok());
  const auto count = pushing->count();
  EXPECT_EQ(count.batches, 2U);
  EXPECT_EQ(count.accepted, 3U);
  EXPECT_EQ(count.duplicates, 3U);
  EXPECT_EQ(count.failed, 0U);
  EXPECT_EQ(intake_.ids().size(), 3U);
  EXPECT_EQ(front_->count().pushes, 2U);
  EXPECT_EQ(intake_.last_token, "open sesame");
}

TEST_F(EventFront, AWrongTokenIsRefusedBeforeTheBatchIsLookedAt) {
  serve();
  std::vector<errc> told;
  const auto pushing = client({.token = "sesame"});
  ASSERT_TRUE(
      pushing->push(batch_of("a"), [&](const event_ack& ack) { told.push_back(ack.status); }).ok());
  ASSERT_TRUE(pushing->flush(patience).ok());
  EXPECT_EQ(told, std::vector<errc>{errc::unauthorized});
  EXPECT_EQ(pushing->count().failed, 1U);
  EXPECT_EQ(pushing->count().last_refusal, "unauthorized: token not known");
  EXPECT_TRUE(intake_.ids().empty());
  EXPECT_EQ(front_->count().refused, 1U);
  EXPECT_EQ(front_->count().pushes, 0U);
}

TEST_F(EventFront, ABatchBeyondTheLimitIsRefusedByItsSize) {
  serve({}, {.batch_bytes_max = 1'000});
  const auto pushing = client();
  ASSERT_TRUE(pushing->push(batch_of("a", 3, 2'000)).ok());
  ASSERT_TRUE(pushing->push(batch_of("b")).ok());
  ASSERT_TRUE(pushing->flush(patience).ok());
  EXPECT_EQ(pushing->count().failed, 1U);
  EXPECT_EQ(pushing->count().accepted, 3U);
}

TEST_F(EventFront, GarbageIsAnsweredMalformedAndOtherKindsAreNot) {
  serve();
  inbox answers;
  auto raw = link::open(transport_, endpoint_, answers.receiver());
  ASSERT_TRUE(raw.ok());
  (*raw)->send(request(1, 1, schemas::message_kind::pull), {bytes_of(64, 1)});
  (*raw)->send(request(2, 1, schemas::message_kind::events), {bytes_of(64, 0xff)});
  ASSERT_TRUE(answers.wait_for(1));
  EXPECT_EQ(answers.got_[0].first.request_id, 2U);
  const auto ack = schemas::decode_event_ack(answers.got_[0].second);
  ASSERT_TRUE(ack.ok());
  EXPECT_EQ(ack->status, errc::malformed);
  EXPECT_EQ(front_->count().malformed, 1U);
  EXPECT_EQ(front_->count().strangers, 1U);
}

TEST_F(EventFront, WhatCannotBeHandledIsAnsweredAndSentAgain) {
  std::atomic<int> failing{2};
  front_ = std::make_unique<event_front>(
      [&](worker::event_intake::request batch) {
        if (failing-- > 0) throw std::bad_alloc();
        intake_.offer(std::move(batch));
      },
      only_open_sesame,
      event_front::settings{.retry_after_ms = 1});
  auto opened = router::open(transport_, {"tcp://127.0.0.1:*"}, front_->handler());
  ASSERT_TRUE(opened.ok()) << describe(opened.error());
  router_ = std::move(*opened);
  endpoint_ = router_->endpoints().front();
  event_client::options how;
  how.window.resend_after_ms = 600'000;  // an answer says when, or nobody
  const auto pushing = client(how);
  ASSERT_TRUE(pushing->push(batch_of("a")).ok());
  ASSERT_TRUE(pushing->flush(patience).ok());
  EXPECT_EQ(pushing->count().accepted, 3U);
  EXPECT_EQ(front_->count().refused, 2U);
}

TEST_F(EventFront, ABatchIsReadWhereItsFrameLies) {
  const auto push = schemas::encode(schemas::event_push{"open sesame", batch_of("a", 200, 100)});
  event_front front(intake_.taker(), only_open_sesame);
  class no_path final : public reply_path {
   public:
    void reply(const reply_ticket&, schemas::message_kind, shard_id, frame) override {}
  };
  section_job job;
  job.kind = schemas::message_kind::events;
  job.section = push;
  job.path = std::make_shared<no_path>();
  front.handle(job);
  EXPECT_EQ(intake_.ids().size(), 200U);
  EXPECT_GT(intake_.last_batch_at, push.bytes().data());
  EXPECT_LT(intake_.last_batch_at, push.bytes().data() + push.size());
}

TEST_F(EventFront, OverloadedIsTriedAgainUntilItIsTaken) {
  serve();
  intake_.refuse_next(3);
  const auto pushing = client();
  for (const char* id : {"a", "b", "c", "d"}) ASSERT_TRUE(pushing->push(batch_of(id)).ok());
  ASSERT_TRUE(pushing->flush(patience).ok());
  EXPECT_EQ(pushing->count().accepted, 12U);
  EXPECT_EQ(pushing->count().duplicates, 0U);
  EXPECT_EQ(pushing->count().overloaded, 3U);
}

TEST_F(EventFront, AProducerBeyondItsCreditIsToldToWaitAndLosesNothing) {
  serve({.peer_requests_max = 2, .retry_after_ms = 2});
  intake_.hold();
  const auto pushing = client({.window = {.in_flight_max = 8}});
  for (int i = 0; i < 8; ++i) ASSERT_TRUE(pushing->push(batch_of(std::to_string(i))).ok());
  EXPECT_TRUE(eventually([&] { return pushing->count().overloaded >= 6; }));
  EXPECT_LE(intake_.held(), 2U);
  intake_.go_on();
  ASSERT_TRUE(pushing->flush(patience).ok());
  EXPECT_EQ(pushing->count().accepted, 24U);
}

TEST_F(EventFront, WhatAKilledServerTookWithoutAnAnswerIsSentAgainAndTakenOnce) {
  // A socket file: while nobody listens at a TCP port, a client may be given it for its own end.
  const socket_path file("event-front");
  endpoint_ = file.endpoint();
  serve();
  std::vector<int> told;
  const auto pushing = client({.window = {.in_flight_max = 4, .resend_after_ms = 50}});
  const auto push = [&](int i) {
    ASSERT_TRUE(pushing
                    ->push(batch_of(std::to_string(i)),
                           [&told, i](const event_ack& ack) {
                             EXPECT_EQ(ack.status, errc::ok);
                             told.push_back(i);
                           })
                    .ok());
  };
  for (int i = 0; i < 10; ++i) push(i);
  ASSERT_TRUE(pushing->flush(patience).ok());
  intake_.hold();
  for (int i = 10; i < 20; ++i) push(i);
  ASSERT_TRUE(eventually([&] { return intake_.held() >= 4; }));
  stop_serving();
  intake_.take_without_answers();  // logged, and then it died
  intake_.go_on();
  serve();
  ASSERT_TRUE(pushing->flush(patience).ok());
  EXPECT_EQ(intake_.ids().size(), 60U);
  EXPECT_GE(pushing->count().duplicates, 12U);
  EXPECT_GE(pushing->count().sent_again, 4U);
  ASSERT_EQ(told.size(), 20U);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(told[static_cast<std::size_t>(i)], i);
}

TEST_F(EventFront, AClientRefusesWhatNoMessageHolds) {
  serve();
  event_client::options how;
  how.token = std::string(schemas::push_token_bytes_max + 1, 't');
  const auto wrong = event_client::open(transport_, endpoint_, how);
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, errc::bad_config);
  const auto pushing = client();
  const auto refused = pushing->push(bytes_of(schemas::frame_bytes_max, 0));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, errc::too_large);
  EXPECT_EQ(pushing->count().waiting, 0U);
}

// A server that is broken, or none of ours: whatever it answers, the client goes on, and its batch
// is sent again until it is answered.
TEST_F(EventFront, NothingThatAServerAnswersEndsAClient) {
  const auto seed = tests::test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  random_stream random(seed);
  event_ack good;
  good.accepted = 3;
  good.refusals.push_back({1, schemas::event_fault::bad_time, "late"});
  const frame whole = schemas::encode(good);
  std::atomic<int> left{300};
  const auto damaged = [&] {
    std::vector<std::byte> bytes(whole.bytes().begin(), whole.bytes().end());
    for (auto changes = 1 + random.next_below(4); changes > 0; --changes)
      bytes[random.next_below(bytes.size())] = static_cast<std::byte>(random.next_below(256));
    if (random.next_below(4) == 0) bytes.resize(random.next_below(bytes.size()));
    return frame::copy_of(bytes);
  };
  auto opened = router::open(transport_, {"tcp://127.0.0.1:*"}, [&](section_job job) {
    job.answer(left-- > 0 ? damaged() : whole);
  });
  ASSERT_TRUE(opened.ok()) << describe(opened.error());
  router_ = std::move(*opened);
  endpoint_ = router_->endpoints().front();
  event_client::options how;
  how.window.resend_after_ms = how.window.resend_after_ms_max = 1;
  how.window.hold_ms_max = 1;
  const auto pushing = client(how);
  while (left > 0) {
    ASSERT_TRUE(pushing->push(batch_of("a")).ok());
    ASSERT_TRUE(pushing->flush(patience).ok());
  }
  EXPECT_EQ(pushing->count().waiting, 0U);
}

TEST_F(EventFront, PushingIntoAFullClientWaitsAndSaysSo) {
  serve();
  intake_.hold();
  const auto pushing = client({.window = {.bytes_max = 4'096}});
  ASSERT_TRUE(pushing->push(batch_of("a", 3, 1'000)).ok());
  const auto full = pushing->push(batch_of("b", 3, 1'000), nullptr, 20ms);
  ASSERT_FALSE(full.ok());
  EXPECT_EQ(full.error().code, errc::overloaded);
  const auto late = pushing->flush(20ms);
  ASSERT_FALSE(late.ok());
  EXPECT_EQ(late.error().code, errc::timeout);
  std::jthread meanwhile([&] { intake_.go_on(); });
  ASSERT_TRUE(pushing->push(batch_of("b", 3, 1'000), nullptr, patience).ok());
  ASSERT_TRUE(pushing->flush(patience).ok());
  EXPECT_EQ(pushing->count().accepted, 6U);
}

TEST_F(EventFront, StoppingTellsWhatHasNoAnswer) {
  serve();
  intake_.hold();
  std::vector<errc> told;
  auto pushing = client();
  for (const char* id : {"a", "b"}) {
    ASSERT_TRUE(
        pushing->push(batch_of(id), [&](const event_ack& ack) { told.push_back(ack.status); })
            .ok());
  }
  pushing->stop();
  EXPECT_EQ(told, (std::vector<errc>{errc::cancelled, errc::cancelled}));
  EXPECT_FALSE(pushing->push(batch_of("c")).ok());
}

}  // namespace
}  // namespace headrace::actors
