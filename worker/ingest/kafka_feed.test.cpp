#include "worker/ingest/kafka_feed.hpp"

#include "storage/engines/kafka_link.hpp"
#include "tests/support/test_brokers.hpp"
#include "worker/ingest/test_reading.hpp"

#include <fstream>
#include <random>

namespace headrace::worker {
namespace {

using tests::mock_kafka;

using namespace std::chrono_literals;

constexpr int fetch_api = 1;
constexpr int offsets_api = 2;
constexpr int leader_not_available = 5;
constexpr int unknown_error = -1;
constexpr int unknown_topic = 3;
constexpr int topic_authorization_failed = 29;

class KafkaFeed : public ::testing::Test {
 protected:
  void SetUp() override {
    if (std::getenv("HEADRACE_MOCK_KAFKA") == nullptr) {
      GTEST_SKIP() << "HEADRACE_MOCK_KAFKA does not name the mock cluster";
    }
    kafka_ = std::make_unique<mock_kafka>();
    kafka_->tell("topic clicks 2");
    auto settings = storage::make_kafka_settings(spec(), {});
    ASSERT_TRUE(settings) << describe(settings.error());
    auto made = storage::make_kafka_handle(RD_KAFKA_PRODUCER, std::move(*settings));
    ASSERT_TRUE(made) << describe(made.error());
    producer_ = std::move(*made);
  }
  feed_spec spec() const {
    feed_spec made;
    made.broker = feed_spec::kind::kafka;
    made.endpoints = kafka_->bootstraps();
    made.topics = {"clicks"};
    made.group = "job";
    return made;
  }
  void add(std::int32_t partition, std::size_t from, std::size_t to) {
    for (auto i = from; i < to; ++i) {
      const auto value = "e" + std::to_string(i);
      send(partition, value.data(), value.size(), "k7", {});
    }
    EXPECT_EQ(rd_kafka_flush(producer_.get(), 10'000), RD_KAFKA_RESP_ERR_NO_ERROR);
  }
  void send(std::int32_t partition,
            const char* value,
            std::size_t size,
            std::string key,
            std::vector<std::pair<const char*, std::string>> headers) {
    std::vector<rd_kafka_vu_t> parts(5 + headers.size());
    parts[0].vtype = RD_KAFKA_VTYPE_TOPIC;
    parts[0].u.cstr = "clicks";
    parts[1].vtype = RD_KAFKA_VTYPE_PARTITION;
    parts[1].u.i32 = partition;
    parts[2].vtype = RD_KAFKA_VTYPE_KEY;
    parts[2].u.mem = {key.data(), key.size()};
    parts[3].vtype = RD_KAFKA_VTYPE_VALUE;
    parts[3].u.mem = {const_cast<char*>(value), size};
    parts[4].vtype = RD_KAFKA_VTYPE_MSGFLAGS;
    parts[4].u.i = RD_KAFKA_MSG_F_COPY;
    for (std::size_t i = 0; i < headers.size(); ++i) {
      auto& part = parts[5 + i];
      part.vtype = RD_KAFKA_VTYPE_HEADER;
      const auto& text = headers[i].second;
      part.u.header = {headers[i].first, text.data(), static_cast<ssize_t>(text.size())};
    }
    rd_kafka_error_t* failed = rd_kafka_produceva(producer_.get(), parts.data(), parts.size());
    EXPECT_EQ(failed, nullptr);
  }

  std::unique_ptr<mock_kafka> kafka_;
  storage::kafka_handle producer_;
};

TEST_F(KafkaFeed, ReadsPartitionsInOrderAndSharesItsOffsets) {
  add(0, 0, 120);
  add(1, 0, 80);
  kept_log log;
  {
    const auto feed = must_open(spec(), {});
    ASSERT_TRUE(take_until(*feed, log, 200));
    expect_numbered(log, "clicks/0", 120);
    expect_numbered(log, "clicks/1", 80);
    EXPECT_TRUE(feed->look().connected);
    EXPECT_EQ(feed->look().lag.at("clicks/0"), 0U);
  }
  // The group goes on there for a log that knows nothing.
  add(0, 120, 123);
  kept_log second;
  const auto feed = must_open(spec(), {});
  ASSERT_TRUE(take_until(*feed, second, 3));
  EXPECT_EQ(second.values["clicks/0"].front(), "e120");
}

TEST_F(KafkaFeed, TheLogCountsNotWhatTheGroupRemembers) {
  add(0, 0, 20);
  kept_log log;
  {
    const auto feed = must_open(spec(), {});
    kept_log lost;
    ASSERT_TRUE(take_until(*feed, lost, 20));
    for (std::size_t i = 0; i < 5; ++i) log.values["clicks/0"].push_back("e" + std::to_string(i));
    log.next["clicks/0"] = 5;
    log.size = 5;
  }
  const auto feed = must_open(spec(), log.next);
  ASSERT_TRUE(take_until(*feed, log, 20));
  expect_numbered(log, "clicks/0", 20);
}

TEST_F(KafkaFeed, LosesAndDoublesNothingWhenReaderAndBrokerGo) {
  const auto seed = tests::test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr std::size_t count = 600;
  add(0, 0, count);
  add(1, 0, count);
  kept_log log;
  auto feed = must_open(spec(), {});
  for (int round = 0; round < 2; ++round) {
    const auto until = log.size + 100 + random() % 150;
    ASSERT_TRUE(poll_until(
        *feed,
        [&] { return log.size >= until; },
        [&](const broker_message& message) {
          log.take(message);
          if (random() % 3 == 0) {
            ASSERT_TRUE(feed->commit(std::string(message.partition), message.offset + 1));
          }
        },
        1 + random() % 64));
    if (round % 2 == 0) {  // the reader dies with messages in its hands
      std::vector<broker_message> dropped;
      ASSERT_TRUE(feed->poll(1ms, 50, dropped));
      feed = must_open(spec(), log.next);
    } else {
      kafka_->tell("down 1");
      ASSERT_TRUE(poll_until(
          *feed,
          [&] { return !feed->look().connected; },
          [&](const broker_message& message) { log.take(message); }));
      kafka_->tell("up 1");
    }
  }
  ASSERT_TRUE(take_until(*feed, log, 2 * count));
  expect_numbered(log, "clicks/0", count);
  expect_numbered(log, "clicks/1", count);
  ASSERT_TRUE(poll_until(
      *feed, [&] { return feed->look().connected; }, [](const auto&) {}));
  EXPECT_EQ(feed->look().reconnects, 1U);
}

TEST_F(KafkaFeed, AReaderLosesAndDoublesNothingWhenItIsKilledAndTheBrokerGoes) {
  const auto seed = tests::test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  shared_log log;
  add(0, 0, 300);
  {
    const reading now(must_open(spec(), {}), log, seed);
    ASSERT_TRUE(log.wait_for(1 + random() % 300));
  }
  const reading now(must_open(spec(), log.copy().next), log, seed + 1);
  add(0, 300, 400);
  ASSERT_TRUE(log.wait_for(300 + random() % 100));
  kafka_->tell("down 1");
  kafka_->tell("up 1");
  add(0, 400, 500);
  ASSERT_TRUE(log.wait_for(500));
  expect_numbered(log.copy(), "clicks/0", 500);
}

TEST_F(KafkaFeed, AMessageHasItsHeadersAndATombstoneHasNoValue) {
  send(0, "{}", 2, "k1", {{"content-type", "application/json"}, {"schema-version", "4"}});
  send(0, nullptr, 0, "k2", {});
  EXPECT_EQ(rd_kafka_flush(producer_.get(), 10'000), RD_KAFKA_RESP_ERR_NO_ERROR);
  const auto feed = must_open(spec(), {});
  std::size_t seen = 0;
  ASSERT_TRUE(poll_until(
      *feed,
      [&] { return seen == 2; },
      [&](const broker_message& message) {
        if (seen++ == 0) {
          EXPECT_EQ(message.key, "k1");
          EXPECT_EQ(message.value, "{}");
          EXPECT_EQ(message.content_type, "application/json");
          EXPECT_EQ(message.schema_version, 4U);
          EXPECT_GT(message.time_ms, 1'600'000'000'000U);
          EXPECT_FALSE(message.tombstone);
        } else {
          EXPECT_EQ(message.key, "k2");
          EXPECT_TRUE(message.tombstone);
        }
      }));
  EXPECT_EQ(feed->look().tombstones, 1U);
}

TEST_F(KafkaFeed, ATopicThatIsNotThereFailsInTheBrokersWords) {
  auto with = spec();
  with.topics = {"clocks"};
  kafka_->tell("topic_error clocks " + std::to_string(unknown_topic));
  const auto failure = failure_of(*must_open(with, {}));
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->code, errc::io_error);
  EXPECT_NE(failure->detail.find("clocks"), std::string::npos) << failure->detail;
}

TEST_F(KafkaFeed, ATopicItMayNotReadFailsInTheBrokersWords) {
  add(0, 0, 1);
  kafka_->tell("errors " + std::to_string(fetch_api) + " 20 " +
               std::to_string(topic_authorization_failed));
  const auto failure = failure_of(*must_open(spec(), {}));
  ASSERT_TRUE(failure);
  EXPECT_NE(failure->detail.find("uthorization"), std::string::npos) << failure->detail;
}

TEST_F(KafkaFeed, ATopicThatEndsBeforeTheLogFails) {
  add(0, 0, 5);
  const auto failure = failure_of(*must_open(spec(), {{"clicks/0", 9}}));
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->code, errc::bad_input);
  EXPECT_NE(failure->detail.find("ends at offset 5"), std::string::npos) << failure->detail;
}

TEST_F(KafkaFeed, ABrokerThatDoesNotSayWhatAPartitionHoldsIsAskedAgain) {
  add(0, 0, 5);
  kafka_->tell("errors " + std::to_string(offsets_api) + " 4 " + std::to_string(unknown_error));
  const auto failure = failure_of(*must_open(spec(), {{"clicks/0", 9}}));
  ASSERT_TRUE(failure);
  EXPECT_NE(failure->detail.find("ends at offset 5"), std::string::npos) << failure->detail;
}

TEST_F(KafkaFeed, MessagesThatAreGoneAreCountedAndItGoesOnBehindThem) {
  constexpr std::size_t count = 12;  // the mock cluster keeps 5 MiB of a partition
  const std::string large(900'000, 'x');
  for (std::size_t i = 0; i < count; ++i) send(0, large.data(), large.size(), "k7", {});
  ASSERT_EQ(rd_kafka_flush(producer_.get(), 10'000), RD_KAFKA_RESP_ERR_NO_ERROR);
  {  // the group is far ahead of the log
    const auto other = must_open(spec(), {});
    bool committed = false;
    ASSERT_TRUE(poll_until(
        *other,
        [&] { return committed; },
        [&](const broker_message& message) {
          EXPECT_TRUE(other->commit("clicks/0", message.offset + 1));
          committed = message.offset == count - 1;
        }));
  }
  kafka_->tell("errors " + std::to_string(offsets_api) + " 4 " + std::to_string(unknown_error));
  const auto feed = must_open(spec(), {{"clicks/0", 2}});
  std::vector<std::uint64_t> offsets;
  ASSERT_TRUE(poll_until(
      *feed,
      [&] { return !offsets.empty() && offsets.back() == count - 1; },
      [&](const broker_message& message) { offsets.push_back(message.offset); }));
  ASSERT_GT(offsets.front(), 2U);
  EXPECT_EQ(offsets.size(), count - offsets.front());
  EXPECT_EQ(feed->look().missing, offsets.front() - 2);
}

TEST_F(KafkaFeed, WithoutABrokerItIsNotConnected) {
  auto with = spec();
  with.endpoints = "127.0.0.1:" + std::to_string(free_port());
  const auto feed = must_open(with, {});
  ASSERT_TRUE(poll_until(
      *feed, [&] { return !feed->look().last_error.empty(); }, [](const auto&) {}));
  EXPECT_FALSE(feed->look().connected);
}

TEST_F(KafkaFeed, PausedItReadsNothing) {
  add(0, 0, 5);
  kept_log log;
  const auto feed = must_open(spec(), {});
  ASSERT_TRUE(take_until(*feed, log, 5));
  feed->pause();
  add(0, 5, 10);
  std::vector<broker_message> messages;
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(feed->poll(10ms, 10, messages));
  EXPECT_TRUE(messages.empty());
  feed->resume();
  ASSERT_TRUE(take_until(*feed, log, 10));
  expect_numbered(log, "clicks/0", 10);
}

TEST_F(KafkaFeed, ReadsNothingWhileDeadLettersPileUpAndLosesNone) {
  kafka_->tell("topic clicks.dead 1");
  kafka_->tell("topic_error clicks.dead " + std::to_string(leader_not_available));
  const std::string large(900'000, 'x');
  send(0, large.data(), large.size(), "k7", {});
  add(0, 1, 2);
  auto with = spec();
  with.dead_letter = "clicks.dead";
  const auto feed = must_open(with, {});
  std::vector<broker_message> messages;
  ASSERT_TRUE(poll_until(
      *feed,
      [&] { return !messages.empty(); },
      [&](const broker_message& message) {
        messages.push_back(message);
        for (int i = 0; i < 20; ++i) {
          EXPECT_TRUE(feed->dead_letter(message, "no event"));
        }
      },
      1));
  messages.clear();
  for (int i = 0; i < 30; ++i) ASSERT_TRUE(feed->poll(20ms, 10, messages));
  EXPECT_TRUE(messages.empty());
  kafka_->tell("topic_error clicks.dead 0");
  std::string next;
  ASSERT_TRUE(poll_until(
      *feed,
      [&] { return !next.empty(); },
      [&](const broker_message& message) { next = message.value; }));
  EXPECT_EQ(next, "e1");
  EXPECT_EQ(feed->look().dead_letters, 20U);
  EXPECT_EQ(feed->look().dead_letters_lost, 0U);
}

TEST_F(KafkaFeed, KcatSeesWhatItReadsAndADeadLetterHasTheReason) {
  if (find_server("kcat").empty()) GTEST_SKIP() << "kcat is not installed";
  kafka_->tell("topic clicks.dead 1");
  tests::temporary_folder folder;
  std::ofstream(folder / "lines") << "k1:e0\nk2:e1\n";
  const auto sent = tests::run_program({find_server("kcat"),
                                        "-b",
                                        kafka_->bootstraps(),
                                        "-P",
                                        "-t",
                                        "clicks",
                                        "-p",
                                        "0",
                                        "-K",
                                        ":",
                                        "-l",
                                        folder / "lines"},
                                       10s);
  ASSERT_EQ(sent.status, 0) << sent.errors;
  auto with = spec();
  with.dead_letter = "clicks.dead";
  kept_log log;
  {
    const auto feed = must_open(with, {});
    ASSERT_TRUE(poll_until(
        *feed,
        [&] { return log.size == 2; },
        [&](const broker_message& message) {
          log.take(message);
          if (message.offset == 1) {
            EXPECT_TRUE(feed->dead_letter(message, "no event"));
          }
        }));
    EXPECT_EQ(feed->look().dead_letters, 1U);
  }
  expect_numbered(log, "clicks/0", 2);
  const auto read = tests::run_program({find_server("kcat"),
                                        "-b",
                                        kafka_->bootstraps(),
                                        "-C",
                                        "-t",
                                        "clicks.dead",
                                        "-e",
                                        "-q",
                                        "-f",
                                        "%k %s %h\n"},
                                       10s);
  EXPECT_EQ(read.output, "k2 e1 reason=no event,partition=clicks/0,offset=1\n") << read.errors;
}

}  // namespace
}  // namespace headrace::worker
