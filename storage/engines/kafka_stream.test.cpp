#include "storage/engines/kafka_stream.hpp"

#include "storage/engines/claimed_order.hpp"
#include "storage/engines/kafka_link.hpp"
#include "storage/engines/message_log.hpp"
#include "storage/test_log_records.hpp"
#include "tests/support/test_brokers.hpp"
#include "tests/support/test_kafka_server.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace headrace::storage {
namespace {

using ::testing::HasSubstr;
using tests::kafka_server;
using tests::mock_kafka;
using enum append_state;
using fate = message_stream::fate;

constexpr int produce_api = 0;
constexpr int fetch_api = 1;
constexpr int offsets_api = 2;
constexpr int disconnects = RD_KAFKA_RESP_ERR__TRANSPORT;

std::string fail_next(int api, int count, int code) {
  return "errors " + std::to_string(api) + " " + std::to_string(count) + " " + std::to_string(code);
}

class LogInATopic : public ::testing::Test {
 protected:
  std::unique_ptr<message_stream> open_stream(std::int64_t patience_ms = 10'000,
                                              const std::string& topic = "SAMPLES") {
    kafka_stream_options how;
    how.login.endpoints = servers_;
    how.login.client_id = "test";
    how.topic = topic;
    how.patience_ms = patience_ms;
    auto stream = open_kafka_stream(how);
    said_ = stream ? "" : describe(stream.error());
    return stream ? std::move(*stream) : nullptr;
  }
  std::unique_ptr<message_log> open(message_log::options how = {},
                                    std::int64_t patience_ms = 10'000) {
    auto stream = open_stream(patience_ms);
    if (!stream) return nullptr;
    auto log = message_log::open(std::move(stream), how);
    said_ = log ? "" : describe(log.error());
    return log ? std::move(*log) : nullptr;
  }
  // Of little patience, which a busy machine may exceed.
  std::unique_ptr<message_log> open_hasty(std::int64_t patience_ms, message_log::options how = {}) {
    std::unique_ptr<message_log> log;
    for (int tries = 0; tries < 100 && !log; ++tries) log = open(how, patience_ms);
    return log;
  }
  append_outcome append_until_there(ordered_log& log, std::uint64_t at) {
    auto told = append(log, at);
    for (int tries = 0; tries < 100 && told.state != committed; ++tries) {
      EXPECT_EQ(told.code, errc::unavailable) << told.detail;
      told = append(log, at);
    }
    return told;
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
  std::string servers_;
  std::string said_;
};

/// Over librdkafka's mock cluster.
class KafkaLog : public LogInATopic {
 protected:
  void SetUp() override {
    if (std::getenv("HEADRACE_MOCK_KAFKA") == nullptr)
      GTEST_SKIP() << "HEADRACE_MOCK_KAFKA does not name the mock cluster";
    kafka_ = std::make_unique<mock_kafka>();
    kafka_->tell("topic SAMPLES 1");
    servers_ = kafka_->bootstraps();
  }
  // As anybody's producer would.
  void publish(const std::string& value) {
    broker_login login;
    login.endpoints = kafka_->bootstraps();
    auto settings = make_kafka_settings(login, {});
    ASSERT_TRUE(settings.ok());
    const auto made = make_kafka_handle(RD_KAFKA_PRODUCER, std::move(*settings));
    ASSERT_TRUE(made.ok());
    const kafka_topic topic(rd_kafka_topic_new(made->get(), "SAMPLES", nullptr));
    EXPECT_EQ(rd_kafka_produce(topic.get(),
                               0,
                               RD_KAFKA_MSG_F_COPY,
                               const_cast<char*>(value.data()),
                               value.size(),
                               nullptr,
                               0,
                               nullptr),
              0);
    EXPECT_EQ(rd_kafka_flush(made->get(), 10'000), RD_KAFKA_RESP_ERR_NO_ERROR);
  }

  std::unique_ptr<mock_kafka> kafka_;
};

/// Over a broker that has files, and what the mock cluster lacks.
class KafkaFilesLog : public LogInATopic {
 protected:
  void start(const std::vector<std::string>& more = {}) {
    kafka_ = std::make_unique<kafka_server>(more);
    kafka_->start();
    servers_ = kafka_->endpoint();
  }
  void SetUp() override {
    if (!kafka_server::is_there()) GTEST_SKIP() << "no python3, or HEADRACE_KAFKA_SERVER unset";
  }

  std::unique_ptr<kafka_server> kafka_;
};

TEST_F(KafkaLog, WhatWasAcknowledgedIsThereWhenTheBrokerComesBack) {
  const auto log = open();
  ASSERT_TRUE(log) << said_;
  for (std::uint64_t at = 1; at <= 300; ++at) {
    if (at % 150 == 0) {
      kafka_->tell("down 1");
      kafka_->tell("up 1");
    }
    const auto told = append(*log, at);
    ASSERT_EQ(told.state, committed) << at << ": " << told.detail;
  }
  kafka_->tell("down 1");
  kafka_->tell("up 1");
  EXPECT_EQ(read(*log, 250), range(250, 300)) << said_;
  const auto again = open();
  ASSERT_TRUE(again) << said_;
  EXPECT_EQ(again->last().last, lsn{300});
  EXPECT_EQ(read(*again), range(1, 300)) << said_;
}

TEST_F(KafkaLog, AnAppendWaitsForItsBrokerAndIsThereOnce) {
  const auto log = open();
  ASSERT_TRUE(log) << said_;
  ASSERT_EQ(append(*log, 1).state, committed);
  kafka_->tell("down 1");
  std::thread comes_back([&] { kafka_->tell("up 1"); });
  const auto told = append(*log, 2);
  comes_back.join();
  EXPECT_EQ(told.state, committed) << told.detail;
  EXPECT_EQ(read(*log), range(1, 2)) << said_;
}

TEST_F(KafkaLog, TellsThatTheBrokerIsAwayAndGoesOnWithTheSameRecord) {
  const auto log = open_hasty(100);
  ASSERT_TRUE(log) << said_;
  ASSERT_EQ(append_until_there(*log, 1).state, committed);
  kafka_->tell("down 1");
  const auto away = append(*log, 2);
  EXPECT_NE(away.state, committed);
  EXPECT_EQ(away.code, errc::unavailable) << away.detail;
  EXPECT_THAT(away.detail, HasSubstr("topic SAMPLES at 127.0.0.1:"));
  EXPECT_TRUE(read(*log).empty());
  EXPECT_THAT(said_, HasSubstr("unavailable: topic SAMPLES at 127.0.0.1:"));
  kafka_->tell("up 1");
  EXPECT_EQ(append_until_there(*log, 2).state, committed);
}

// The broker has it, and its answer comes when nobody waits for it any more.
TEST_F(KafkaLog, FindsWhatItWroteWhereTheAnswerWasLost) {
  const auto log = open_hasty(1'000);
  ASSERT_TRUE(log) << said_;
  ASSERT_EQ(append_until_there(*log, 1).state, committed);
  kafka_->tell("late " + std::to_string(produce_api) + " 20000");
  EXPECT_EQ(append_until_there(*log, 2).state, committed);
  EXPECT_EQ(append_until_there(*log, 3).state, committed);
  const auto again = open();
  ASSERT_TRUE(again) << said_;
  EXPECT_EQ(read(*again), range(1, 3)) << said_;
}

TEST_F(KafkaLog, IsThereOnceWhateverTheBrokerAnswers) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  auto log = open();
  ASSERT_TRUE(log) << said_;
  const std::vector<int> codes{RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
                               RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
                               RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
                               RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
                               RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
                               disconnects};
  std::uint64_t next = 1;
  for (int round = 0; round < 4; ++round) {
    kafka_->tell(fail_next(produce_api, 1, codes.at(random() % codes.size())));
    if (random() % 2 == 0) kafka_->tell(fail_next(fetch_api, 1, disconnects));
    if (random() % 2 == 0) kafka_->tell(fail_next(offsets_api, 1, disconnects));
    const auto last = next + random() % 4;
    for (; next <= last; ++next) {
      ASSERT_EQ(append_until_there(*log, next).state, committed);
    }
    if (random() % 4 == 0) {
      log = open();
      ASSERT_TRUE(log) << said_;
      EXPECT_EQ(log->last().last, lsn{next - 1});
    }
  }
  EXPECT_EQ(read(*log), range(1, next - 1)) << said_;
}

TEST_F(KafkaLog, OfTwoWritersOneIsRefused) {
  const auto first = open();
  ASSERT_TRUE(first) << said_;
  ASSERT_EQ(append(*first, 1).state, committed);
  const auto second = open();
  ASSERT_EQ(append(*second, 2).state, committed);
  const auto late = append(*first, 2);
  EXPECT_EQ(late.state, refused);
  EXPECT_EQ(late.code, errc::in_use);
  EXPECT_EQ(append(*second, 3).state, committed);
  EXPECT_EQ(append(*second, 4).state, committed);
  EXPECT_EQ(read(*second), range(1, 4)) << said_;
  const auto third = open();  // what the first one sent in vain stands there, void
  ASSERT_TRUE(third) << said_;
  EXPECT_EQ(append(*third, 5).state, committed);
  for (std::uint64_t from = 1; from <= 5; ++from)
    EXPECT_EQ(read(*third, from), range(from, 5)) << said_;
  EXPECT_EQ(open_stream()->look()->next, 7U);
}

TEST_F(KafkaLog, OfWritersThatRaceOneHasEachPosition) {
  const auto make = [](std::uint64_t record, std::uint64_t writer) {
    log_message made;
    made.first = made.last = lsn{record};
    made.writer = writer;
    made.log = "race";
    made.bytes = text_frame("of " + std::to_string(writer));
    return made;
  };
  const auto one = open_stream();
  const auto two = open_stream();
  ASSERT_TRUE(one && two) << said_;
  std::vector<log_message> won;
  for (std::uint64_t round = 1; round <= 25; ++round) {
    const auto at = one->look()->next;
    const auto of_one = make(round, 1);
    const auto of_two = make(round, 2);
    message_stream::outcome second;
    std::thread other([&] { second = two->append(of_two, at); });
    const auto first = one->append(of_one, at);
    other.join();
    ASSERT_NE(first.is == fate::placed, second.is == fate::placed) << first.detail << second.detail;
    const auto& lost = first.is == fate::placed ? second : first;
    EXPECT_EQ(lost.is, fate::taken) << lost.detail;
    won.push_back(first.is == fate::placed ? of_one : of_two);
  }
  std::vector<log_message> read;
  ASSERT_TRUE(one->read(1,
                        one->look()->next,
                        [&](const auto& placed) -> result<bool> {
                          read.push_back(placed.message);
                          return true;
                        })
                  .ok());
  EXPECT_EQ(read, won);
}

TEST_F(KafkaLog, CarriesRecordsLargerThanAMessage) {
  const auto log = open();
  ASSERT_TRUE(log) << said_;
  auto large = record_at(1);
  large.payload = text_frame(std::string(2 << 20, 'x'));
  ASSERT_EQ(append(*log, large).state, committed) << said_;
  ASSERT_EQ(append(*log, 2).state, committed);
  EXPECT_EQ(open_stream()->look()->next, 7U);
  std::size_t bytes = 0;
  ASSERT_TRUE(log->read_from(lsn{1},
                             [&](const log_record& record) {
                               bytes = record.payload.size();
                               return false;
                             })
                  .ok());
  EXPECT_EQ(bytes, 2U << 20);
  const auto again = open();
  ASSERT_TRUE(again) << said_;
  EXPECT_EQ(read(*again), range(1, 2)) << said_;
}

// The mock cluster keeps 5 MiB of a partition, and lets nobody delete records.
TEST_F(KafkaLog, BeginsWhereItsBrokerForgotTheRest) {
  auto log = open();
  ASSERT_TRUE(log) << said_;
  const auto reader = open();
  for (std::uint64_t at = 1; at <= 12; ++at) {
    auto record = record_at(at);
    record.payload = text_frame(std::string(700 << 10, 'x'));  // two messages
    ASSERT_EQ(append(*log, record).state, committed);
    if (at == 3) {
      EXPECT_TRUE(log->truncate_before(lsn{3}).ok()) << "it tells, and keeps them";
      EXPECT_EQ(log->last().first, lsn{1});
    }
  }
  const auto kept = read(*log);
  ASSERT_FALSE(kept.empty()) << said_;
  EXPECT_GT(kept.front(), 3U);
  EXPECT_EQ(kept, range(kept.front(), 12)) << said_;
  EXPECT_EQ(log->last().first.value, kept.front());
  EXPECT_GT(log->bytes(), 2U << 20);
  EXPECT_LT(log->bytes(), 6U << 20);
  log = open();
  ASSERT_TRUE(log) << said_;
  EXPECT_EQ(log->last().first.value, kept.front());
  EXPECT_EQ(read(*log, 12), range(12, 12)) << said_;
}

TEST_F(KafkaLog, RefusesATopicThatHasOtherMessages) {
  const auto log = open();
  ASSERT_TRUE(log) << said_;
  for (std::uint64_t at = 1; at <= 5; ++at) append(*log, at);
  publish("not ours");
  EXPECT_FALSE(open());
  EXPECT_THAT(said_, HasSubstr("message 6: it is none of a log's"));
  EXPECT_EQ(append(*log, 6).state, refused);
}

TEST_F(KafkaLog, SaysWhatTheBrokerDoesNotTake) {
  const auto log = open();
  ASSERT_TRUE(log) << said_;
  kafka_->tell(fail_next(produce_api, 1, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE));
  const auto large = append(*log, 1);
  EXPECT_EQ(large.state, refused);
  EXPECT_EQ(large.code, errc::too_large);
  EXPECT_THAT(large.detail, HasSubstr("max.message.bytes is 1000000"));
  kafka_->tell(fail_next(produce_api, 1, RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED));
  const auto forbidden = append(*log, 1);
  EXPECT_EQ(forbidden.state, refused);
  EXPECT_EQ(forbidden.code, errc::io_error);
  EXPECT_THAT(forbidden.detail, HasSubstr("uthoriz"));
  EXPECT_EQ(append(*log, 1).state, committed);
}

TEST_F(KafkaLog, RefusesATopicThatIsNoLog) {
  kafka_->tell("topic several 3");
  EXPECT_FALSE(open_stream(1'000, "several"));
  EXPECT_THAT(said_, HasSubstr("has 3 partitions, and a log has one order"));
  kafka_->tell("topic_error SAMPLES " + std::to_string(RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART));
  EXPECT_FALSE(open_stream(1'000));
  EXPECT_THAT(said_, HasSubstr("not_found: topic SAMPLES at"));
  EXPECT_THAT(said_, HasSubstr("is not there: make it with one partition"));
  EXPECT_FALSE(open_stream(1'000, "a b"));
  EXPECT_THAT(said_, HasSubstr("is no topic"));
  kafka_->tell("down 1");
  EXPECT_FALSE(open_stream(100));
  EXPECT_THAT(said_, HasSubstr("unavailable"));
}

TEST_F(KafkaFilesLog, WhatWasAcknowledgedSurvivesTheServersKills) {
  start();
  const auto log = open();
  ASSERT_TRUE(log) << said_;
  for (std::uint64_t at = 1; at <= 200; ++at) {
    if (at == 100) {
      kafka_->kill();
      kafka_->start();
    }
    const auto told = append(*log, at);
    ASSERT_EQ(told.state, committed) << at << ": " << told.detail;
  }
  kafka_->kill();
  kafka_->start();
  EXPECT_EQ(read(*log), range(1, 200)) << said_;
}

TEST_F(KafkaFilesLog, IsThereOnceWhereAnswersAreLost) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  start();
  auto log = open_hasty(2'000, {.part_bytes_max = 60});
  ASSERT_TRUE(log) << said_;
  for (std::uint64_t at = 1; at <= 8; ++at) {
    const std::vector<std::string> faults{
        "lost", "ok lost", "drop", "lost drop", "lost lost", "ok"};
    kafka_->then(faults.at(random() % faults.size()));
    append_outcome told;
    for (int tries = 0; tries < 20 && told.state != committed; ++tries) {
      told = append(*log, at);
      if (told.state == unknown && random() % 2 == 0) {  // the process is killed
        log = open_hasty(2'000, {.part_bytes_max = 60});
        ASSERT_TRUE(log) << said_;
        if (log->last().last == lsn{at}) break;
      }
    }
    ASSERT_EQ(log->last().last, lsn{at}) << told.detail;
  }
  EXPECT_EQ(read(*log), range(1, 8)) << said_;
  const auto again = open();
  ASSERT_TRUE(again) << said_;
  EXPECT_EQ(read(*again, 5), range(5, 8)) << said_;
}

TEST_F(KafkaFilesLog, ForgetsByDeletingRecords) {
  start();
  const auto first = open();
  ASSERT_TRUE(first) << said_;
  for (std::uint64_t at = 1; at <= 5; ++at) append(*first, at);
  const auto second = open();
  ASSERT_EQ(append(*second, 6).state, committed);
  EXPECT_EQ(append(*first, 6).code, errc::in_use);  // void, at message 7
  for (std::uint64_t at = 7; at <= 9; ++at) ASSERT_EQ(append(*second, at).state, committed);
  const auto stream = open_stream();
  ASSERT_TRUE(second->truncate_before(lsn{4}).ok());
  EXPECT_EQ(stream->look()->first, 4U);
  // Record 7 was written for the void place: who reads must see what stands before it.
  ASSERT_TRUE(second->truncate_before(lsn{7}).ok());
  EXPECT_EQ(stream->look()->first, 6U);
  EXPECT_EQ(read(*second, 7), range(7, 9)) << said_;
  const auto again = open();
  ASSERT_TRUE(again) << said_;
  EXPECT_EQ(read(*again, 7), range(7, 9)) << said_;
  ASSERT_TRUE(again->truncate_before(lsn{1'000}).ok());
  EXPECT_EQ(again->last().first, lsn{9});
  kafka_->kill();
  kafka_->start();
  const auto last = open();
  ASSERT_TRUE(last) << said_;
  EXPECT_EQ(read(*last), range(9, 9)) << said_;
  EXPECT_EQ(append(*last, 10).state, committed);
}

TEST_F(KafkaFilesLog, KeepsWhatItMayNotDelete) {
  start({"--keep-all"});
  const auto log = open();
  ASSERT_TRUE(log) << said_;
  for (std::uint64_t at = 1; at <= 5; ++at) append(*log, at);
  EXPECT_TRUE(log->truncate_before(lsn{4}).ok());
  EXPECT_EQ(log->last().first, lsn{1});
  EXPECT_EQ(read(*log), range(1, 5)) << said_;
}

TEST_F(KafkaFilesLog, CutsRecordsToWhatTheTopicTakes) {
  start({"--config", "max.message.bytes=4000"});
  const auto log = open();
  ASSERT_TRUE(log) << said_;
  auto large = record_at(1);
  large.payload = text_frame(std::string(20'000, 'x'));
  ASSERT_EQ(append(*log, large).state, committed);
  ASSERT_EQ(append(*log, 2).state, committed);
  EXPECT_EQ(open_stream()->look()->next, 9U);
  EXPECT_EQ(read(*log), range(1, 2)) << said_;
}

TEST_F(KafkaFilesLog, RefusesATopicThatIsCompacted) {
  start({"--config", "cleanup.policy=compact,delete"});
  EXPECT_FALSE(open());
  EXPECT_THAT(said_, HasSubstr("bad_config: topic SAMPLES at"));
  EXPECT_THAT(said_, HasSubstr("set cleanup.policy to delete"));
}

// Whoever begins to read at a message that stands where it was meant to finds what a reader of all
// finds; and of several for one place one counts.
TEST(ClaimedOrder, IsTheSameForEveryReader) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  for (int round = 0; round < 300; ++round) {
    std::vector<std::uint64_t> written_for;
    std::vector<bool> counted;
    std::vector<std::uint64_t> known(3, 1);  // to each writer: the position behind the newest
    claimed_order order(1);
    std::uint64_t free = 1;
    for (std::uint64_t position = 1; position <= 200; ++position) {
      auto& mine = known.at(random() % known.size());
      written_for.push_back(mine);
      counted.push_back(order.counts(position, mine));
      EXPECT_EQ(counted.back(), mine >= free);
      if (counted.back()) free = position + 1;
      if (counted.back() || random() % 2 == 0) mine = random() % 3 == 0 ? position + 1 : free;
    }
    for (std::uint64_t begin = 1; begin <= 200; ++begin) {
      if (written_for.at(begin - 1) != begin) continue;
      claimed_order later(begin);
      for (std::uint64_t at = begin; at <= 200; ++at)
        ASSERT_EQ(later.counts(at, written_for.at(at - 1)), counted.at(at - 1))
            << begin << " " << at;
    }
  }
}

}  // namespace
}  // namespace headrace::storage
