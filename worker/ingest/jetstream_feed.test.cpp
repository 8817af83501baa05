#include "worker/ingest/jetstream_feed.hpp"

#include "tests/support/test_brokers.hpp"
#include "tests/support/test_nats_client.hpp"
#include "worker/ingest/jetstream_support.hpp"
#include "worker/ingest/test_reading.hpp"

#include <random>

namespace headrace::worker {
namespace {

using tests::nats_client;
using tests::nats_server;

using namespace std::chrono_literals;

class JetStreamFeed : public ::testing::Test {
 protected:
  void SetUp() override {
    if (find_server("nats-server").empty()) GTEST_SKIP() << "nats-server is not installed";
    server_.start();
    client_ = std::make_unique<nats_client>(server_.url());
    client_->make_stream("EVENTS", {"events.>"});
  }
  feed_spec spec() const {
    feed_spec made;
    made.broker = feed_spec::kind::jetstream;
    made.endpoints = server_.url();
    made.topics = {"EVENTS"};
    made.group = "job";
    return made;
  }
  void restart() {
    client_.reset();
    server_.kill();
    server_.start();
    client_ = std::make_unique<nats_client>(server_.url());
  }

  nats_server server_;
  std::unique_ptr<nats_client> client_;
};

TEST_F(JetStreamFeed, ReadsAStreamInOrderAndShowsItsLag) {
  client_->add("events.a", 0, 250);
  kept_log log;
  const auto feed = must_open(spec(), {});
  ASSERT_TRUE(take_until(*feed, log, 250));
  expect_numbered(log, "EVENTS", 250);
  EXPECT_TRUE(feed->look().connected);
  ASSERT_TRUE(poll_until(
      *feed, [&] { return client_->look("EVENTS", "job").unacked == 0; }, [](const auto&) {}));
  EXPECT_EQ(client_->look("EVENTS", "job").ack_floor, 250U);
  client_->add("events.a", 250, 260);
  EXPECT_EQ(client_->look("EVENTS", "job").pending, 10U);
}

TEST_F(JetStreamFeed, AMessageHasItsHeaders) {
  client_->add("events.a", 0, 1);
  const auto feed = must_open(spec(), {});
  ASSERT_TRUE(poll_until(
      *feed,
      [n = 0]() mutable { return n++ == 3; },
      [](const broker_message& message) {
        EXPECT_EQ(message.key, "k7");
        EXPECT_EQ(message.content_type, "application/json");
        EXPECT_EQ(message.schema_version, 4U);
        EXPECT_EQ(message.offset, 1U);
        EXPECT_GT(message.time_ms, 1'600'000'000'000U);
      }));
}

TEST_F(JetStreamFeed, ReadsOneSubjectOfAStream) {
  client_->add("events.a", 0, 3);
  client_->add("events.b", 0, 5);
  auto with = spec();
  with.subject = "events.b";
  kept_log log;
  const auto feed = must_open(with, {});
  ASSERT_TRUE(take_until(*feed, log, 5));
  expect_numbered(log, "EVENTS/events.b", 5);
  EXPECT_EQ(log.next.at("EVENTS/events.b"), 9U);
}

TEST_F(JetStreamFeed, TheLogCountsNotWhatTheConsumerRemembers) {
  client_->add("events.a", 0, 20);
  kept_log log;
  {
    const auto feed = must_open(spec(), {});
    kept_log lost;
    ASSERT_TRUE(take_until(*feed, lost, 20));
    for (std::size_t i = 0; i < 5; ++i) log.values["EVENTS"].push_back(lost.values["EVENTS"][i]);
    log.next["EVENTS"] = 6;
    log.size = 5;
  }
  const auto feed = must_open(spec(), log.next);
  ASSERT_TRUE(take_until(*feed, log, 20));
  expect_numbered(log, "EVENTS", 20);
}

TEST_F(JetStreamFeed, GoesOnWhereTheConsumerStandsWhenTheLogKnowsNothing) {
  client_->add("events.a", 0, 20);
  {
    const auto feed = must_open(spec(), {});
    kept_log log;
    ASSERT_TRUE(take_until(*feed, log, 20));
    ASSERT_TRUE(poll_until(
        *feed, [&] { return client_->look("EVENTS", "job").unacked == 0; }, [](const auto&) {}));
  }
  client_->add("events.a", 20, 25);
  kept_log log;
  const auto feed = must_open(spec(), {});
  ASSERT_TRUE(take_until(*feed, log, 5));
  EXPECT_EQ(log.values["EVENTS"].front(), "e20");
}

TEST_F(JetStreamFeed, LosesAndDoublesNothingWhenReaderAndServerAreKilled) {
  const auto seed = tests::test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr std::size_t count = 2'000;
  kept_log log;
  std::size_t added = 100;
  client_->add("events.a", 0, added);
  auto feed = must_open(spec(), {});
  while (log.size < count) {
    const std::size_t until = std::min(added, log.size + random() % 200);
    ASSERT_TRUE(poll_until(
        *feed,
        [&] { return log.size >= until; },
        [&](const broker_message& message) {
          log.take(message);
          if (random() % 3 == 0) {
            ASSERT_TRUE(feed->commit("EVENTS", message.offset + 1));
          }
        },
        1 + random() % 64));
    switch (random() % 3) {
      case 0: {  // the reader dies with messages in its hands
        std::vector<broker_message> dropped;
        ASSERT_TRUE(feed->poll(1ms, 50, dropped));
        feed = must_open(spec(), log.next);
        break;
      }
      case 1:
        restart();
        break;
      default:
        break;
    }
    const auto more = std::min<std::size_t>(count - added, random() % 300);
    client_->add("events.a", added, added + more);
    added += more;
  }
  expect_numbered(log, "EVENTS", count);
}

TEST_F(JetStreamFeed, AReaderLosesAndDoublesNothingWhenItAndTheServerAreKilled) {
  const auto seed = tests::test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  shared_log log;
  std::size_t added = 0;
  for (int round = 0; round < 6; ++round) {
    const auto more = 50 + random() % 300;
    client_->add("events.a", added, added + more);
    added += more;
    const reading now(must_open(spec(), log.copy().next), log, seed + added);
    ASSERT_TRUE(log.wait_for(added - random() % more));
    if (random() % 2 == 0) {
      restart();
      ASSERT_TRUE(log.wait_for(added));
    }
  }
  const reading last(must_open(spec(), log.copy().next), log, seed);
  ASSERT_TRUE(log.wait_for(added));
  expect_numbered(log.copy(), "EVENTS", added);
}

TEST_F(JetStreamFeed, IsNotConnectedWhileTheServerIsGoneAndComesBack) {
  client_->add("events.a", 0, 5);
  kept_log log;
  const auto feed = must_open(spec(), {});
  ASSERT_TRUE(take_until(*feed, log, 5));
  client_.reset();
  server_.kill();
  ASSERT_TRUE(poll_until(
      *feed, [&] { return !feed->look().connected; }, [](const auto&) {}));
  EXPECT_FALSE(feed->look().last_error.empty());
  server_.start();
  client_ = std::make_unique<nats_client>(server_.url());
  client_->add("events.a", 5, 10);
  ASSERT_TRUE(take_until(*feed, log, 10));
  expect_numbered(log, "EVENTS", 10);
  EXPECT_EQ(feed->look().reconnects, 1U);
}

TEST_F(JetStreamFeed, AConsumerThatWasTakenAwayIsMadeAnew) {
  client_->add("events.a", 0, 5);
  kept_log log;
  const auto feed = must_open(spec(), {});
  ASSERT_TRUE(take_until(*feed, log, 5));
  client_->remove_consumer("EVENTS", "job");
  client_->add("events.a", 5, 10);
  ASSERT_TRUE(take_until(*feed, log, 10));
  expect_numbered(log, "EVENTS", 10);
}

TEST_F(JetStreamFeed, AStreamThatIsNotThereFails) {
  auto with = spec();
  with.topics = {"OTHER"};
  const auto failure = failure_of(*must_open(with, {}));
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->code, errc::io_error);
  EXPECT_NE(failure->detail.find("OTHER"), std::string::npos) << failure->detail;
}

TEST_F(JetStreamFeed, AStreamThatEndsBeforeTheLogFails) {
  client_->add("events.a", 0, 5);
  const auto failure = failure_of(*must_open(spec(), {{"EVENTS", 9}}));
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->code, errc::bad_input);
  EXPECT_NE(failure->detail.find("ends at sequence 5"), std::string::npos) << failure->detail;
}

TEST_F(JetStreamFeed, MessagesThatAreGoneAreCounted) {
  client_->add("events.a", 0, 10);
  client_->remove_through("EVENTS", 4);
  kept_log log;
  const auto feed = must_open(spec(), {{"EVENTS", 2}});
  ASSERT_TRUE(take_until(*feed, log, 6));
  EXPECT_EQ(log.values["EVENTS"].front(), "e4");
  EXPECT_EQ(feed->look().missing, 3U);
}

TEST_F(JetStreamFeed, ADeadLetterHasTheReason) {
  client_->make_stream("DEAD", {"dead.events"});
  client_->add("events.a", 0, 1);
  auto with = spec();
  with.dead_letter = "dead.events";
  const auto feed = must_open(with, {});
  bool sent = false;
  ASSERT_TRUE(poll_until(
      *feed,
      [&] { return sent; },
      [&](const broker_message& message) {
        EXPECT_TRUE(feed->dead_letter(message, "no event"));
        sent = true;
      }));
  EXPECT_EQ(client_->letter("DEAD", 1, "reason"), "no event e0");
  EXPECT_EQ(client_->letter("DEAD", 1, "partition"), "EVENTS e0");
  EXPECT_EQ(feed->look().dead_letters_lost, 0U);
}

TEST_F(JetStreamFeed, ADeadLetterThatWouldComeBackIsRefused) {
  client_->add("events.a", 0, 1);
  auto with = spec();
  with.dead_letter = "events.dead";
  for (const char* subject : {"", "events.*", "events.>"}) {
    with.subject = subject;
    const auto failure = failure_of(*must_open(with, {}));
    ASSERT_TRUE(failure) << subject;
    EXPECT_EQ(failure->code, errc::bad_config);
    EXPECT_NE(failure->detail.find("would come back"), std::string::npos) << failure->detail;
  }
  with.subject = "events.a";  // leaves the letters out
  kept_log log;
  EXPECT_TRUE(take_until(*must_open(with, {}), log, 1));
}

TEST(JetStreamSubjects, APatternTakesWordsByDots) {
  for (const auto& [pattern, subject] : {std::pair{"a", "a"},
                                         {"a.*", "a.b"},
                                         {"*.b", "a.b"},
                                         {"a.>", "a.b.c"},
                                         {">", "a"},
                                         {"a.*.c", "a.b.c"}}) {
    EXPECT_TRUE(takes_subject(pattern, subject)) << pattern << " " << subject;
  }
  for (const auto& [pattern, subject] : {std::pair{"a", "b"},
                                         {"a", "a.b"},
                                         {"a.b", "a"},
                                         {"a.*", "a"},
                                         {"a.*", "a.b.c"},
                                         {"a.>", "a"},
                                         {"*", "a.b"}}) {
    EXPECT_FALSE(takes_subject(pattern, subject)) << pattern << " " << subject;
  }
}

TEST_F(JetStreamFeed, ADeadLetterNoStreamTakesIsCounted) {
  client_->add("events.a", 0, 1);
  auto with = spec();
  with.dead_letter = "dead.events";
  const auto feed = must_open(with, {});
  bool sent = false;
  ASSERT_TRUE(poll_until(
      *feed,
      [&] { return sent; },
      [&](const broker_message& message) {
        EXPECT_TRUE(feed->dead_letter(message, "no event"));
        sent = true;
      }));
  EXPECT_EQ(feed->look().dead_letters_lost, 1U);
}

TEST_F(JetStreamFeed, PausedItReadsNothing) {
  client_->add("events.a", 0, 5);
  const auto feed = must_open(spec(), {});
  feed->pause();
  std::vector<broker_message> messages;
  ASSERT_TRUE(feed->poll(10ms, 10, messages));
  EXPECT_TRUE(messages.empty());
  feed->resume();
  kept_log log;
  EXPECT_TRUE(take_until(*feed, log, 5));
}

TEST(JetStreamFeedPassword, AWrongOneFailsInTheServersWords) {
  if (find_server("nats-server").empty()) GTEST_SKIP() << "nats-server is not installed";
  nats_server server({"--user", "u", "--pass", "right"});
  server.start();
  feed_spec spec;
  spec.broker = feed_spec::kind::jetstream;
  spec.endpoints = server.url();
  spec.topics = {"EVENTS"};
  spec.group = "job";
  spec.user = "u";
  spec.password = "wrong";
  const auto failure = failure_of(*must_open(spec, {}));
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->code, errc::io_error);
  EXPECT_NE(failure->detail.find("uthorization"), std::string::npos) << failure->detail;
}

}  // namespace
}  // namespace headrace::worker
