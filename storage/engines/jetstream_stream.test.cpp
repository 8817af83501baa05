#include "storage/engines/jetstream_stream.hpp"

#include "storage/engines/message_log.hpp"
#include "storage/test_log_records.hpp"
#include "tests/support/test_brokers.hpp"
#include "tests/support/test_nats_client.hpp"

#include <gmock/gmock.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace headrace::storage {
namespace {

using ::testing::HasSubstr;
using tests::find_server;
using tests::nats_client;
using tests::nats_server;

bool has_server() { return !find_server("nats-server").empty(); }

jetstream_options options_for(const nats_server& server, const std::string& stream) {
  jetstream_options how;
  how.login.endpoints = server.url();
  how.login.client_id = "test";
  how.stream = stream;
  return how;
}

class JetStreamLog : public ::testing::Test {
 protected:
  void SetUp() override {
    if (!has_server()) GTEST_SKIP() << "nats-server is not installed";
    server_.start();
  }
  std::unique_ptr<message_log> open(message_log::options how = {},
                                    std::int64_t patience_ms = 10'000) {
    auto options = options_for(server_, "SAMPLES");
    options.patience_ms = patience_ms;
    options.read_only = how.read_only;
    auto stream = open_jetstream_stream(options);
    said_ = stream ? "" : describe(stream.error());
    if (!stream) return nullptr;
    auto log = message_log::open(std::move(*stream), how);
    said_ = log ? "" : describe(log.error());
    return log ? std::move(*log) : nullptr;
  }
  append_outcome append(ordered_log& log, std::uint64_t at) {
    const auto record = record_at(at);
    return append(log, record);
  }
  append_outcome append(ordered_log& log, const log_record& record) {
    append_outcome told;
    log.append({&record, 1}, lsn{record.lsn.value - 1}, [&](const auto& one) { told = one; });
    return told;
  }
  std::vector<std::uint64_t> read(ordered_log& log, std::uint64_t from = 1) {
    std::vector<std::uint64_t> seen;
    auto done = log.read_from(lsn{from}, [&](const log_record& record) {
      seen.push_back(record.lsn.value);
      return true;
    });
    said_ = done ? "" : describe(done.error());
    return seen;
  }

  nats_server server_;
  std::string said_;
};

using enum append_state;

TEST_F(JetStreamLog, WhatWasAcknowledgedSurvivesTheServersKills) {
  const auto log = open();
  ASSERT_TRUE(log) << said_;
  for (std::uint64_t at = 1; at <= 300; ++at) {
    if (at % 100 == 0) {
      server_.kill();
      server_.start();
    }
    const auto told = append(*log, at);
    ASSERT_EQ(told.state, committed) << at << ": " << told.detail;
  }
  EXPECT_EQ(read(*log), range(1, 300)) << said_;
  server_.kill();
  server_.start();
  EXPECT_EQ(read(*log, 250), range(250, 300)) << said_;
  const auto again = open();
  ASSERT_TRUE(again) << said_;
  EXPECT_EQ(again->last().last, lsn{300});
  EXPECT_EQ(read(*again), range(1, 300)) << said_;
}

TEST_F(JetStreamLog, AnAppendWaitsForItsServerAndIsThereOnce) {
  const auto log = open();
  ASSERT_TRUE(log) << said_;
  ASSERT_EQ(append(*log, 1).state, committed);
  server_.kill();
  std::thread comes_back([&] { server_.start(); });
  const auto told = append(*log, 2);
  comes_back.join();
  EXPECT_EQ(told.state, committed) << told.detail;
  EXPECT_EQ(read(*log), range(1, 2)) << said_;
}

TEST_F(JetStreamLog, TellsThatTheServerIsAwayAndGoesOnWithTheSameRecord) {
  const auto log = open({}, 100);
  ASSERT_TRUE(log) << said_;
  ASSERT_EQ(append(*log, 1).state, committed);
  server_.kill();
  const auto away = append(*log, 2);
  EXPECT_NE(away.state, committed);
  EXPECT_EQ(away.code, errc::unavailable) << away.detail;
  EXPECT_THAT(away.detail, HasSubstr("stream SAMPLES at nats://"));
  server_.start();
  append_outcome told;
  for (int tries = 0; tries < 100 && told.state != committed; ++tries) told = append(*log, 2);
  EXPECT_EQ(told.state, committed) << told.detail;
  EXPECT_EQ(read(*log), range(1, 2)) << said_;
}

TEST_F(JetStreamLog, OfTwoWritersOneIsRefused) {
  const auto first = open();
  ASSERT_TRUE(first) << said_;
  ASSERT_EQ(append(*first, 1).state, committed);
  const auto second = open();
  ASSERT_EQ(append(*second, 2).state, committed);
  const auto late = append(*first, 2);
  EXPECT_EQ(late.state, refused);
  EXPECT_EQ(late.code, errc::in_use);
  EXPECT_EQ(append(*second, 3).state, committed);
  EXPECT_EQ(read(*second), range(1, 3)) << said_;
}

TEST_F(JetStreamLog, CarriesRecordsLargerThanAMessage) {
  const auto log = open();
  ASSERT_TRUE(log) << said_;
  auto large = record_at(1);
  large.payload = text_frame(std::string(5 << 20, 'x'));
  ASSERT_EQ(append(*log, large).state, committed);
  ASSERT_EQ(append(*log, 2).state, committed);
  nats_client client(server_.url());
  EXPECT_THAT(client.letter("SAMPLES", 11, "Headrace-Records"), HasSubstr("1-1 11/11 by "));
  std::size_t bytes = 0;
  ASSERT_TRUE(log->read_from(lsn{1},
                             [&](const log_record& record) {
                               bytes = record.payload.size();
                               return false;
                             })
                  .ok());
  EXPECT_EQ(bytes, 5U << 20);
  const auto again = open();
  ASSERT_TRUE(again) << said_;
  EXPECT_EQ(read(*again), range(1, 2)) << said_;
}

TEST_F(JetStreamLog, RefusesAStreamThatLostMessagesOrHasOthers) {
  auto log = open();
  ASSERT_TRUE(log) << said_;
  for (std::uint64_t at = 1; at <= 20; ++at) append(*log, at);
  nats_client client(server_.url());
  client.publish("SAMPLES", "not ours");
  EXPECT_FALSE(open());
  EXPECT_THAT(said_, HasSubstr("message 21: it is none of a log's"));
  EXPECT_EQ(append(*log, 21).state, refused);
  client.remove_through("SAMPLES", 3);  // the oldest: as retention does
  EXPECT_EQ(read(*log), range(4, 20)) << said_;
}

TEST_F(JetStreamLog, RefusesAHole) {
  auto log = open();
  ASSERT_TRUE(log) << said_;
  for (std::uint64_t at = 1; at <= 20; ++at) append(*log, at);
  nats_client client(server_.url());
  client.remove("SAMPLES", 9);
  EXPECT_EQ(read(*log), range(1, 8));
  EXPECT_THAT(said_, HasSubstr("gone"));
  EXPECT_FALSE(open());
  EXPECT_THAT(said_, HasSubstr("1 messages behind it are gone"));
}

TEST_F(JetStreamLog, AFullStreamRefusesAndGoesOnWhenThereIsRoom) {
  nats_client client(server_.url());
  client.make_bounded_stream("SAMPLES", 3);
  const auto log = open();
  ASSERT_TRUE(log) << said_;
  for (std::uint64_t at = 1; at <= 3; ++at) ASSERT_EQ(append(*log, at).state, committed);
  const auto full = append(*log, 4);
  EXPECT_EQ(full.state, refused);
  EXPECT_EQ(full.code, errc::disk_full) << full.detail;
  ASSERT_TRUE(log->truncate_before(lsn{3}).ok());
  EXPECT_EQ(append(*log, 4).state, committed);
  EXPECT_EQ(read(*log), range(3, 4)) << said_;
}

TEST_F(JetStreamLog, RefusesAStreamThatIsNoLog) {
  nats_client client(server_.url());
  client.make_stream("SAMPLES", {"a.>"});
  EXPECT_FALSE(open());
  EXPECT_THAT(said_, HasSubstr("must have one subject"));
}

TEST_F(JetStreamLog, AReaderMakesNoStream) {
  EXPECT_FALSE(open({.read_only = true}));
  EXPECT_THAT(said_, HasSubstr("is not there"));
}

}  // namespace
}  // namespace headrace::storage
