#include "worker/ingest/message_reader.hpp"

#include <gtest/gtest.h>

namespace headrace::worker {
namespace {

constexpr std::string_view one_event = R"({"id":"e1","user":"u7"})";

class MessageReader : public ::testing::Test {
 protected:
  /// The batch of a message, or none where it fails.
  const schemas::event_batch* read(const broker_message& message) {
    refused_.clear();
    auto done = reader_.read(message, refused_);
    failure_ = done ? error{} : done.error();
    return done ? *done : nullptr;
  }
  static broker_message message(std::string_view value, std::string_view type = "") {
    broker_message made;
    made.partition = "clicks/0";
    made.value = value;
    made.content_type = type;
    return made;
  }
  static std::string as_capnp() {
    schemas::event_batch_builder builder;
    builder.begin("p", 3);
    builder.event("e1", "r1", 5);
    builder.text(builder.name("user"), "u7");
    const auto made = builder.finish();
    const auto bytes = made.bytes();
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }

  manual_clock time_;
  message_reader reader_{time_};
  std::vector<schemas::event_refusal> refused_;
  error failure_;
};

TEST_F(MessageReader, TheFirstByteTellsJsonFromCapnp) {
  const auto* json = read(message(one_event));
  ASSERT_NE(json, nullptr) << describe(failure_);
  ASSERT_EQ(json->events.size(), 1U);
  EXPECT_EQ(json->events[0].id, "e1");
  const auto bytes = as_capnp();
  const auto* capnp = read(message(bytes));
  ASSERT_NE(capnp, nullptr) << describe(failure_);
  ASSERT_EQ(capnp->events.size(), 1U);
  EXPECT_EQ(capnp->events[0].key, "r1");
  EXPECT_EQ(capnp->schema_version, 3U);
}

TEST_F(MessageReader, TheContentTypeCountsMoreThanTheFirstByte) {
  EXPECT_EQ(read(message(one_event, "application/capnp")), nullptr);
  EXPECT_EQ(read(message(one_event, "application/octet-stream")), nullptr);
  EXPECT_NE(read(message(one_event, "application/json; charset=utf-8")), nullptr);
  EXPECT_EQ(read(message(as_capnp(), "application/json")), nullptr);
}

TEST_F(MessageReader, AnEventWithoutKeyAndTimeHasTheMessages) {
  auto one = message(one_event);
  one.key = "r9";
  one.time_ms = 1'764'237'600'123;
  one.schema_version = 4;
  const auto* events = read(one);
  ASSERT_NE(events, nullptr) << describe(failure_);
  EXPECT_EQ(events->events[0].key, "r9");
  EXPECT_EQ(events->events[0].time_ms, one.time_ms);
  EXPECT_EQ(events->schema_version, 4U);
}

TEST_F(MessageReader, ABrokerWithoutATimeLeavesItToTheClock) {
  const auto* events = read(message(one_event));
  ASSERT_NE(events, nullptr);
  EXPECT_EQ(events->events[0].time_ms, time_.now_ms());
}

TEST_F(MessageReader, WhatIsNoEventFailsWithItsReason) {
  for (const char* value : {"", "hello", "{", "[1", "\x01\x02\x03"}) {
    EXPECT_EQ(read(message(value)), nullptr) << value;
    EXPECT_FALSE(failure_.detail.empty()) << value;
  }
}

TEST_F(MessageReader, KeepsTheEventsBesideOneThatIsNone) {
  const auto* events = read(message(R"([{"id":"e1","user":"u7"},7,{"id":"e2","user":"u8"}])"));
  ASSERT_NE(events, nullptr) << describe(failure_);
  EXPECT_EQ(events->events.size(), 2U);
  ASSERT_EQ(refused_.size(), 1U);
  EXPECT_EQ(refused_[0].event, 1U);
}

}  // namespace
}  // namespace headrace::worker
