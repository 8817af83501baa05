#include "worker/ingest/redis_feed.hpp"

#include "tests/support/test_brokers.hpp"
#include "worker/ingest/feed_support.hpp"
#include "worker/ingest/redis_link.hpp"
#include "worker/ingest/test_reading.hpp"

#include <csignal>
#include <random>

namespace headrace::worker {
namespace {

using tests::redis_server;

using namespace std::chrono_literals;

class RedisFeed : public ::testing::Test {
 protected:
  void SetUp() override {
    if (find_server("redis-server").empty()) GTEST_SKIP() << "redis-server is not installed";
    server_.start();
  }
  feed_spec spec() const {
    feed_spec made;
    made.broker = feed_spec::kind::redis;
    made.endpoints = server_.endpoint();
    made.topics = {"clicks"};
    made.group = "job";
    made.client_id = "test";
    return made;
  }
  redis_answer ask(const std::vector<std::string_view>& words) {
    redis_link link;
    EXPECT_TRUE(link.connect(server_.endpoint(), "", ""));
    auto answer = link.ask(words);
    EXPECT_NE(answer, nullptr) << link.why();
    return answer;
  }
  void add(std::size_t from, std::size_t to) {
    redis_link link;
    ASSERT_TRUE(link.connect(server_.endpoint(), "", ""));
    for (auto i = from; i < to; ++i) {
      const auto value = "e" + std::to_string(i);
      ASSERT_NE(link.ask({"XADD", "clicks", "*", "value", value, "key", "k7"}), nullptr);
    }
  }
  /// Of the group: what XINFO GROUPS says.
  long long group_fact(std::string_view name) {
    const auto groups = ask({"XINFO", "GROUPS", "clicks"});
    if (groups->elements == 0) return -1;
    return member_of(groups->element[0], name)->integer;
  }

  redis_server server_;
};

TEST_F(RedisFeed, ReadsAStreamInOrderAndShowsItsLag) {
  add(0, 250);
  kept_log log;
  const auto feed = must_open(spec(), {});
  ASSERT_TRUE(take_until(*feed, log, 250));
  expect_numbered(log, "clicks", 250);
  EXPECT_TRUE(feed->look().connected);
  EXPECT_EQ(group_fact("pending"), 0);
  EXPECT_EQ(group_fact("lag"), 0);
  add(250, 260);
  EXPECT_EQ(group_fact("lag"), 10);
}

TEST_F(RedisFeed, WhatIsReadButNotInTheLogIsPending) {
  add(0, 10);
  const auto feed = must_open(spec(), {});
  std::vector<broker_message> messages;
  ASSERT_TRUE(feed->poll(1s, 100, messages));
  ASSERT_EQ(messages.size(), 10U);
  EXPECT_EQ(messages[0].key, "k7");
  EXPECT_EQ(redis_id_of_offset(messages[0].offset).substr(0, 13),
            std::to_string(messages[0].time_ms));
  EXPECT_EQ(group_fact("pending"), 10);
  EXPECT_EQ(feed->look().lag.at("clicks"), 10U);
  ASSERT_TRUE(feed->commit("clicks", messages[3].offset + 1));
  EXPECT_EQ(group_fact("pending"), 6);
}

TEST_F(RedisFeed, TheLogCountsNotWhatTheGroupRemembers) {
  add(0, 20);
  kept_log log;
  {
    const auto feed = must_open(spec(), {});
    kept_log lost;  // committed, and then the log lost its end
    ASSERT_TRUE(take_until(*feed, lost, 20));
    for (std::size_t i = 0; i < 5; ++i) log.values["clicks"].push_back(lost.values["clicks"][i]);
    const auto sixth = ask({"XRANGE", "clicks", "-", "+", "COUNT", "6"});
    log.next["clicks"] = *offset_of_redis_id(text_of(sixth->element[5]->element[0]));
    log.size = 5;
  }
  const auto feed = must_open(spec(), log.next);
  ASSERT_TRUE(take_until(*feed, log, 20));
  expect_numbered(log, "clicks", 20);
  EXPECT_EQ(group_fact("pending"), 0);
}

TEST_F(RedisFeed, GoesOnWhereTheGroupStandsWhenTheLogKnowsNothing) {
  add(0, 20);
  kept_log log;
  {
    const auto feed = must_open(spec(), {});
    std::vector<broker_message> messages;
    ASSERT_TRUE(feed->poll(1s, 100, messages));
    ASSERT_EQ(messages.size(), 20U);
    ASSERT_TRUE(feed->commit("clicks", messages[7].offset + 1));
  }
  const auto feed = must_open(spec(), {});
  ASSERT_TRUE(take_until(*feed, log, 12));
  EXPECT_EQ(log.values["clicks"].front(), "e8");
}

TEST_F(RedisFeed, LosesAndDoublesNothingWhenReaderAndServerAreKilled) {
  const auto seed = tests::test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  constexpr std::size_t count = 2'000;
  kept_log log;
  std::size_t added = 0;
  auto feed = must_open(spec(), {});
  add(0, added = 100);
  while (log.size < count) {
    std::size_t until = log.size + random() % 200;
    ASSERT_TRUE(poll_until(
        *feed,
        [&] { return log.size >= std::min(until, added); },
        [&](const broker_message& message) {
          log.take(message);
          if (random() % 3 == 0) {
            ASSERT_TRUE(feed->commit("clicks", message.offset + 1));
          }
        },
        1 + random() % 64));
    switch (random() % 3) {
      case 0: {  // the reader dies with messages in its hands
        std::vector<broker_message> dropped;
        ASSERT_TRUE(feed->poll(0ms, 50, dropped));
        feed = must_open(spec(), log.next);
        break;
      }
      case 1:
        server_.kill();
        server_.start();
        break;
      default:
        break;
    }
    const auto more = std::min<std::size_t>(count - added, random() % 300);
    add(added, added + more);
    added += more;
  }
  expect_numbered(log, "clicks", count);
}

TEST_F(RedisFeed, AReaderLosesAndDoublesNothingWhenItAndTheServerAreKilled) {
  const auto seed = tests::test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  shared_log log;
  std::size_t added = 0;
  for (int round = 0; round < 6; ++round) {
    const auto more = 50 + random() % 300;
    add(added, added + more);
    added += more;
    const reading now(must_open(spec(), log.copy().next), log, seed + added);
    ASSERT_TRUE(log.wait_for(added - random() % more));
    if (random() % 2 == 0) {
      server_.kill();
      server_.start();
      ASSERT_TRUE(log.wait_for(added));
    }
  }
  const reading last(must_open(spec(), log.copy().next), log, seed);
  ASSERT_TRUE(log.wait_for(added));
  expect_numbered(log.copy(), "clicks", added);
}

TEST_F(RedisFeed, IsNotConnectedWhileTheServerIsGoneAndComesBack) {
  add(0, 5);
  kept_log log;
  const auto feed = must_open(spec(), {});
  ASSERT_TRUE(take_until(*feed, log, 5));
  server_.kill();
  ASSERT_TRUE(poll_until(
      *feed, [&] { return !feed->look().connected; }, [](const auto&) {}));
  EXPECT_FALSE(feed->look().last_error.empty());
  server_.start();
  add(5, 10);
  ASSERT_TRUE(take_until(*feed, log, 10));
  expect_numbered(log, "clicks", 10);
  EXPECT_EQ(feed->look().reconnects, 1U);
}

TEST_F(RedisFeed, AStreamThatIsNotThereFailsInTheServersWords) {
  const auto feed = must_open(spec(), {});
  const auto failure = failure_of(*feed);
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->code, errc::io_error);
  EXPECT_NE(failure->detail.find("no such key"), std::string::npos) << failure->detail;
}

TEST_F(RedisFeed, ADeadLetterHasTheReason) {
  add(0, 1);
  auto with = spec();
  with.dead_letter = "clicks.dead";
  const auto feed = must_open(with, {});
  std::vector<broker_message> messages;
  ASSERT_TRUE(feed->poll(1s, 10, messages));
  ASSERT_EQ(messages.size(), 1U);
  ASSERT_TRUE(feed->dead_letter(messages[0], "no event"));
  const auto letters = ask({"XRANGE", "clicks.dead", "-", "+"});
  ASSERT_EQ(letters->elements, 1U);
  const auto* fields = letters->element[0]->element[1];
  EXPECT_EQ(text_of(member_of(fields, "value")), "e0");
  EXPECT_EQ(text_of(member_of(fields, "reason")), "no event");
  EXPECT_EQ(text_of(member_of(fields, "partition")), "clicks");
  EXPECT_EQ(text_of(member_of(fields, "key")), "k7");
  EXPECT_EQ(feed->look().dead_letters, 1U);
  EXPECT_EQ(feed->look().dead_letters_lost, 0U);
}

TEST_F(RedisFeed, ADeadLetterWithNowhereToGoIsCounted) {
  add(0, 1);
  const auto feed = must_open(spec(), {});
  std::vector<broker_message> messages;
  ASSERT_TRUE(feed->poll(1s, 10, messages));
  ASSERT_TRUE(feed->dead_letter(messages.at(0), "no event"));
  EXPECT_EQ(feed->look().dead_letters_lost, 1U);
}

TEST_F(RedisFeed, PausedItReadsNothing) {
  add(0, 5);
  const auto feed = must_open(spec(), {});
  feed->pause();
  std::vector<broker_message> messages;
  ASSERT_TRUE(feed->poll(10ms, 10, messages));
  EXPECT_TRUE(messages.empty());
  feed->resume();
  kept_log log;
  EXPECT_TRUE(take_until(*feed, log, 5));
}

TEST_F(RedisFeed, AnIdThatDoesNotFitFailsByName) {
  add(0, 3);
  (void)ask({"XADD", "clicks", "9000000000000-5", "value", "e3"});
  const auto feed = must_open(spec(), {});
  kept_log log;
  ASSERT_TRUE(take_until(*feed, log, 3));
  const auto failure = failure_of(*feed);
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->code, errc::bad_input);
  EXPECT_NE(failure->detail.find("9000000000000-5"), std::string::npos) << failure->detail;
}

TEST_F(RedisFeed, TheLargestIdFailsByName) {
  constexpr std::string_view largest = "18446744073709551615-18446744073709551615";
  (void)ask({"XADD", "clicks", largest, "value", "e0"});
  (void)ask({"XGROUP", "CREATE", "clicks", "job", "$"});
  const auto failure = failure_of(*must_open(spec(), {}));  // behind it there is no offset
  ASSERT_TRUE(failure);
  EXPECT_EQ(failure->code, errc::bad_input);
  EXPECT_NE(failure->detail.find(largest), std::string::npos) << failure->detail;
}

TEST_F(RedisFeed, AStreamMadeAnewWithSmallerIdsFails) {
  add(0, 5);
  kept_log log;
  const auto feed = must_open(spec(), {});
  ASSERT_TRUE(take_until(*feed, log, 5));
  (void)ask({"EVAL",
             "redis.call('DEL', KEYS[1]) return redis.call('XADD', KEYS[1], '5-1', 'value', 'e5')",
             "1",
             "clicks"});
  const auto later = must_open(spec(), log.next);
  for (auto* each : {feed.get(), later.get()}) {
    const auto failure = failure_of(*each);
    ASSERT_TRUE(failure);
    EXPECT_EQ(failure->code, errc::bad_input);
    EXPECT_NE(failure->detail.find("ends at id 5-1"), std::string::npos) << failure->detail;
  }
}

TEST_F(RedisFeed, AStreamWhoseServerForgotItsEndIsReadOn) {
  add(0, 4);
  const auto kept = ask({"XRANGE", "clicks", "-", "+"});
  const std::string end(text_of(kept->element[3]->element[0]));
  add(4, 5);
  kept_log log;
  const auto feed = must_open(spec(), {});
  ASSERT_TRUE(take_until(*feed, log, 5));
  const auto all = ask({"XRANGE", "clicks", "-", "+"});
  const std::string lost(text_of(all->element[4]->element[0]));
  EXPECT_EQ(ask({"XDEL", "clicks", lost})->integer, 1);
  EXPECT_EQ(text_of(ask({"XSETID", "clicks", end}).get()), "OK");
  const auto later = must_open(spec(), log.next);
  add(5, 8);
  ASSERT_TRUE(take_until(*later, log, 8));
  expect_numbered(log, "clicks", 8);
}

TEST_F(RedisFeed, AStreamMadeAnewWithLargerIdsIsReadOn) {
  add(0, 5);
  kept_log log;
  const auto feed = must_open(spec(), {});
  ASSERT_TRUE(take_until(*feed, log, 5));
  // By the server's clock it may be of the same millisecond, and not larger.
  const std::string larger = redis_id_of_offset(log.next["clicks"] + (std::uint64_t{1} << 21));
  (void)ask({"EVAL",
             "redis.call('DEL', KEYS[1]) "
             "return redis.call('XADD', KEYS[1], ARGV[1], 'value', 'e5')",
             "1",
             "clicks",
             larger});
  add(6, 10);
  ASSERT_TRUE(take_until(*feed, log, 10));
  expect_numbered(log, "clicks", 10);
}

TEST_F(RedisFeed, TakesOnceWhatADeadConsumerHadAndWhatOfItIsLeft) {
  add(0, 10);
  const auto all = ask({"XRANGE", "clicks", "-", "+"});
  const auto id = [&](std::size_t i) { return text_of(all->element[i]->element[0]); };
  (void)ask({"XGROUP", "CREATE", "clicks", "job", "0"});
  (void)ask({"XREADGROUP", "GROUP", "job", "dead", "COUNT", "8", "STREAMS", "clicks", ">"});
  (void)ask({"XACK", "clicks", "job", id(0), id(1)});
  (void)ask({"XDEL", "clicks", id(2), id(5)});     // pending, and no more there
  (void)ask({"XTRIM", "clicks", "MINID", id(4)});  // and 3
  kept_log log;
  {
    const auto feed = must_open(spec(), {});
    ASSERT_TRUE(take_until(*feed, log, 5));
  }
  EXPECT_EQ(log.values["clicks"], (std::vector<std::string>{"e4", "e6", "e7", "e8", "e9"}));
  add(10, 12);
  const auto feed = must_open(spec(), log.next);
  ASSERT_TRUE(take_until(*feed, log, 7));
  EXPECT_EQ(log.values["clicks"].back(), "e11");
  EXPECT_EQ(group_fact("pending"), 0);  // also of those that are gone
}

TEST_F(RedisFeed, AnEntryWithoutAValueIsEmpty) {
  (void)ask({"XADD", "clicks", "*", "user", "7"});
  const auto feed = must_open(spec(), {});
  std::vector<broker_message> messages;
  ASSERT_TRUE(feed->poll(1s, 10, messages));
  ASSERT_EQ(messages.size(), 1U);
  EXPECT_TRUE(messages[0].value.empty());
  EXPECT_FALSE(messages[0].tombstone);
}

TEST(RedisFeedPassword, AWrongOneFailsInTheServersWords) {
  if (find_server("redis-server").empty()) GTEST_SKIP() << "redis-server is not installed";
  redis_server server({"--requirepass", "right"});
  server.start();
  feed_spec spec;
  spec.broker = feed_spec::kind::redis;
  spec.endpoints = server.endpoint();
  spec.topics = {"clicks"};
  spec.group = "job";
  for (const char* password : {"", "wrong"}) {
    spec.password = password;
    const auto failure = failure_of(*must_open(spec, {}));
    ASSERT_TRUE(failure);
    EXPECT_EQ(failure->code, errc::io_error);
    EXPECT_NE(failure->detail.find(*password == 0 ? "NOAUTH" : "WRONGPASS"), std::string::npos)
        << failure->detail;
  }
}

}  // namespace
}  // namespace headrace::worker
