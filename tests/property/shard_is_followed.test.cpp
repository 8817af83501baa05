// The two ends of following a shard (ps/delta/followers.hpp, serve/follow_plan.hpp) over links that
// lose, repeat and reorder, with a shard whose rows lie on its disk, which is stopped and started:
// no row of a replica is ever older than its stamp, and once all is quiet they are those of the
// shard. HEADRACE_SEED=n runs from seed n.
#include "base/clock.hpp"
#include "base/random.hpp"
#include "ps/delta/followers.hpp"
#include "ps/shard/test_push.hpp"
#include "serve/follow_plan.hpp"
#include "storage/memory_log.hpp"
#include "storage/memory_row_store.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace headrace {
namespace {

constexpr std::uint64_t keys_in_use = 120;
constexpr std::uint64_t job = 0xABCD;
const schemas::source_id clicks{"clicks", 1};

/// Works and what follows wait until the test lets them go.
class queued_background final : public ps::background {
 public:
  struct state {
    std::deque<std::pair<std::function<void()>, std::function<void()>>> works;
    std::deque<std::function<void()>> done;
  };
  explicit queued_background(std::shared_ptr<state> of) : state_(std::move(of)) {}
  void run(std::function<void()> work, std::function<void()> done) override {
    state_->works.emplace_back(std::move(work), std::move(done));
  }
  void finish() override {
    while (!state_->works.empty()) step(*state_);
  }
  static void step(state& of) {
    auto one = std::move(of.works.front());
    of.works.pop_front();
    one.first();
    of.done.push_back(std::move(one.second));
  }

 private:
  std::shared_ptr<state> state_;
};

/// An int8 and an fp32 table; rows begin at 0 and count pushes in every column.
schemas::job_schema counting_tables(std::uint64_t memory_bytes) {
  auto schema = ps::one_table(schemas::optimizer_kind::add, 12);
  schema.tables[0].init.scale = 0.0F;
  schema.tables[0].memory_bytes = memory_bytes;
  auto narrow = schema.tables[0];
  narrow.id = table_id{1};
  narrow.name = "narrow";
  narrow.dim = 3;
  schema.tables.push_back(narrow);
  return schema;
}

using counts = std::map<std::uint64_t, std::uint64_t>;  // of pushes, by key

/// A shard over a log and a row store that outlive it, with those who follow it.
struct server {
  server(std::uint64_t memory_bytes, const ps::followers::settings& who)
      : schema(counting_tables(memory_bytes)), how(who) {
    history.push_back({});
    open();
  }
  ~server() { close(); }

  void close() {
    told = nullptr;
    at = nullptr;  // finishes its works
    queue->done.clear();
  }
  void open() {
    close();
    ps::durable_shard::parts parts;
    parts.state = std::make_unique<ps::shard>(shard_id{0}, schema, ps::shard_limits{}, epoch{1});
    parts.log = std::make_unique<storage::memory_log>(disk);
    parts.rows = &rows;
    parts.time = &time;
    parts.io = std::make_unique<queued_background>(queue);
    parts.deliver = [](lsn, const storage::append_outcome&) {
      FAIL() << "the log answers at once";
    };
    parts.how.rows_per_piece = 16;
    auto opened = ps::durable_shard::open(std::move(parts));
    ASSERT_TRUE(opened.ok()) << opened.error().detail;
    at = std::move(*opened);
    told = std::make_unique<ps::followers>(*at, how);
    if (unacknowledged) send();
  }
  ps::followers::moment now() const { return {time.steady_ns(), time.now_ms()}; }

  void push(random_stream& random) {
    if (unacknowledged) return;
    std::vector<ps::block_data> blocks;
    next = history.back();
    for (std::uint32_t table = 0; table < 2; ++table) {
      ps::block_data block;
      block.table = table_id{table};
      block.dim = schema.tables[table].dim;
      std::set<std::uint64_t> keys;
      const std::uint64_t range = random.next_below(2) == 0 ? 6 : keys_in_use;
      for (std::uint64_t n = 1 + random.next_below(10); n > 0; --n)
        keys.insert(random.next_below(range));
      block.keys.assign(keys.begin(), keys.end());
      block.values.assign(block.keys.size() * block.dim, 1.0F);
      for (const std::uint64_t key : keys) ++next[key + table * keys_in_use];
      blocks.push_back(std::move(block));
    }
    auto section = ps::section_of(clicks, batch + 1, batch, blocks);
    section.pulled_version = at->state().version();
    section.accepted_ms = next_accepted = time.now_ms();
    ++batch;
    unacknowledged = schemas::encode(section);
    send();
  }
  void send() {
    at->push(*unacknowledged, [this](const frame& bytes) {
      const auto ack = schemas::decode_push_ack(bytes);
      ASSERT_EQ(ack->status, errc::ok) << ack->detail;
      if (!unacknowledged) return;
      unacknowledged.reset();
      history.push_back(next);
      accepted.push_back(next_accepted);
    });
    told->advance(now());
  }
  void let_go(random_stream& random) {
    if (!queue->works.empty() && (queue->done.empty() || random.next_below(2) == 0))
      return queued_background::step(*queue);
    if (queue->done.empty()) return;
    auto one = std::move(queue->done.front());
    queue->done.pop_front();
    one();
    ASSERT_FALSE(at->failed());
    told->advance(now());
  }
  void settle(random_stream& random) {
    while (!queue->works.empty() || !queue->done.empty()) let_go(random);
  }

  std::shared_ptr<storage::memory_log::contents> disk =
      std::make_shared<storage::memory_log::contents>();
  storage::memory_row_store rows;
  manual_clock time;
  std::shared_ptr<queued_background::state> queue = std::make_shared<queued_background::state>();
  schemas::job_schema schema;
  ps::followers::settings how;
  std::unique_ptr<ps::durable_shard> at;
  std::unique_ptr<ps::followers> told;
  std::uint64_t batch = 0;
  std::optional<frame> unacknowledged;
  counts next;
  std::uint64_t next_accepted = 0;
  std::vector<counts> history;          // at each version
  std::vector<std::uint64_t> accepted;  // of the push that made version i + 1
};

struct sent {
  std::uint64_t id = 0;
  frame bytes;
};

/// A replica's process, and what is on the wire between it and the shard.
struct replica_process {
  replica_process(server& of, std::uint64_t name) : from(of) { restart(name); }

  void restart(std::uint64_t name) {
    plan = nullptr;
    requests.clear();
    answers->clear();
    answers = std::make_shared<std::vector<sent>>();
    held = std::make_unique<serve::replica>(from.schema, schemas::delta_codecs(from.schema), 9);
    serve::follow_plan::settings how;
    how.job_fingerprint = job;
    how.subscriber = name;
    how.interval_ms = 10;
    how.wait_ms = 60;
    how.patience_ms = 40;
    how.pause_ms_least = 2;
    how.pause_ms_max = 30;
    how.bytes_max = 700;
    plan = std::make_unique<serve::follow_plan>(how, *held);
  }
  void ask() {
    while (auto due = plan->due(from.time.steady_ns()))
      requests.push_back({due->id, schemas::encode(due->asks)});
  }
  static std::optional<sent> pick(std::vector<sent>& of, random_stream& random, bool lossy) {
    if (of.empty()) return std::nullopt;
    const std::size_t at = lossy && random.next_below(4) == 0 ? random.next_below(of.size()) : 0;
    sent one = of[at];
    if (!lossy || random.next_below(6) != 0) of.erase(of.begin() + static_cast<std::ptrdiff_t>(at));
    if (lossy && random.next_below(8) == 0) return std::nullopt;
    return one;
  }
  void deliver_request(random_stream& random, bool lossy) {
    const auto one = pick(requests, random, lossy);
    if (!one) return;
    const auto asks = schemas::decode_follow_request(one->bytes);
    ASSERT_TRUE(asks.ok());
    from.told->take(
        *asks,
        [to = answers, id = one->id](const schemas::follow_reply& reply) {
          to->push_back({id, schemas::encode(reply)});
        },
        from.now());
  }
  void deliver_answer(random_stream& random, bool lossy) {
    const auto one = pick(*answers, random, lossy);
    if (!one) return;
    const auto before = held->stamp();
    plan->take(shard_id{0}, one->id, one->bytes, from.time.steady_ns(), from.time.now_ms());
    const auto after = held->stamp();
    ASSERT_GE(after.version, before.version);
    ASSERT_GE(after.accepted_ms, before.accepted_ms);
  }
  std::vector<float> column(std::uint32_t table) const {
    std::vector<std::uint64_t> keys;
    for (std::uint64_t key = 0; key < keys_in_use; ++key) keys.push_back(key);
    const std::size_t dim = from.schema.tables[table].dim;
    std::vector<float> values(keys.size() * dim);
    CHECK(held->read(table_id{table}, keys, values).ok());
    std::vector<float> first;
    for (std::size_t i = 0; i < keys.size(); ++i) first.push_back(values[i * dim]);
    return first;
  }
  static double pushes(const counts& of, std::uint32_t table, std::uint64_t key) {
    const auto at = of.find(key + table * keys_in_use);
    return at == of.end() ? 0.0 : static_cast<double>(at->second);
  }
  /// Rows count pushes: each has at least those of the stamp's version, and every event accepted
  /// before the stamp is in that version.
  void check_stamp() const {
    const auto stamp = held->stamp();
    if (!stamp.whole || stamp.version == 0) return;
    ASSERT_LT(stamp.version, from.history.size());
    for (std::uint32_t table = 0; table < 2; ++table) {
      const auto values = column(table);
      for (std::uint64_t key = 0; key < keys_in_use; ++key) {
        const double least = pushes(from.history[stamp.version], table, key);
        ASSERT_GE(values[key], least * (1.0 - 1.0 / 127.0))
            << "key " << key << " of table " << table << " is older than version " << stamp.version;
      }
    }
    if (stamp.version == from.accepted.size()) return;
    ASSERT_GE(from.accepted[stamp.version], stamp.accepted_ms);
  }

  server& from;
  std::unique_ptr<serve::replica> held;
  std::unique_ptr<serve::follow_plan> plan;
  std::vector<sent> requests;
  std::shared_ptr<std::vector<sent>> answers = std::make_shared<std::vector<sent>>();
};

struct totals {
  std::uint64_t deltas = 0;
  std::uint64_t resumed = 0;
  std::uint64_t refused = 0;
  std::uint64_t sessions = 0;
  std::uint64_t cold = 0;  // requests to a shard that had rows on its disk only
};

void run(std::uint64_t seed, totals& sum) {
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  random_stream random(seed);
  ps::followers::settings how;
  how.subscribers_max = 3;
  how.silent_ms = 400;
  how.yield_ms = 80;
  how.bytes_least = 200 + random.next_below(800);
  how.cold_bytes_max = 500;
  how.pending_max = random.next_below(3) == 0 ? 60 : 10'000;
  // Some shards have room for a third of their rows, some for all.
  const std::uint64_t memory = random.next_below(2) == 0 ? 0 : 40 * (64 + 48);
  server from(memory, how);
  std::uint64_t names = 0;
  std::vector<std::unique_ptr<replica_process>> all;
  for (int i = 0; i < 3; ++i) all.push_back(std::make_unique<replica_process>(from, ++names));
  const auto count = [&](const replica_process& one) {
    const auto seen = one.plan->count();
    sum.deltas += seen.deltas;
    sum.resumed += seen.resumed;
    sum.refused += seen.refused;
    sum.sessions += seen.sessions;
  };
  for (int step = 0; step < 1'500; ++step) {
    replica_process& one = *all[random.next_below(all.size())];
    const std::uint64_t draw = random.next_below(1'000);
    if (draw < 200) {
      from.push(random);
    } else if (draw < 350) {
      from.time.advance_ms(random.next_below(draw < 340 ? 6 : 60));
      from.told->advance(from.now());
    } else if (draw < 500) {
      one.ask();
    } else if (draw < 650) {
      sum.cold += from.at->state().has_cold_rows() ? 1 : 0;
      one.deliver_request(random, true);
    } else if (draw < 800) {
      one.deliver_answer(random, true);
    } else if (draw < 990) {
      from.let_go(random);
    } else if (draw < 993) {
      from.open();
    } else if (draw < 996) {
      count(one);
      one.restart(++names);
    } else {
      one.answers->clear();
    }
    if (testing::Test::HasFatalFailure()) return;
    if (step % 4 == 0) one.check_stamp();
    if (testing::Test::HasFatalFailure()) return;
  }
  // Quiet: each replica comes to be what the shard is, and its stamp says so.
  from.settle(random);
  ASSERT_FALSE(from.unacknowledged.has_value());
  const std::uint64_t version = from.history.size() - 1;
  ASSERT_EQ(from.at->state().version(), version);
  for (int round = 0; round < 3'000; ++round) {
    from.time.advance_ms(1);
    from.told->advance(from.now());
    bool all_there = true;
    for (const auto& one : all) {
      one->ask();
      while (!one->requests.empty()) one->deliver_request(random, false);
      from.settle(random);
      while (!one->answers->empty()) one->deliver_answer(random, false);
      all_there = all_there && one->held->stamp().version == version &&
                  !one->held->state(shard_id{0}).installing;
    }
    if (testing::Test::HasFatalFailure()) return;
    if (all_there) break;
  }
  for (const auto& one : all) {
    count(*one);
    ASSERT_EQ(one->held->stamp().version, version) << one->plan->count().trouble;
    one->check_stamp();
    for (std::uint32_t table = 0; table < 2; ++table) {
      const auto values = one->column(table);
      for (std::uint64_t key = 0; key < keys_in_use; ++key) {
        const double expected = replica_process::pushes(from.history.back(), table, key);
        ASSERT_NEAR(values[key], expected, expected / 127.0) << "key " << key;
      }
    }
  }
}

TEST(AShardIsFollowed, WhateverGetsLostOrStopsReplicasComeToHaveItsRows) {
  const std::uint64_t first = ps::test_seed();
  totals sum;
  for (std::uint64_t seed = first; seed < first + 16; ++seed) {
    run(seed, sum);
    if (HasFatalFailure()) return;
  }
  // The links and the shards were as bad as they are meant to be.
  EXPECT_GT(sum.deltas, 500U);
  EXPECT_GT(sum.resumed, 40U);
  EXPECT_GT(sum.sessions, 60U);
  EXPECT_GT(sum.cold, 300U);
}

// ---- when who is answered ----

struct asked {
  explicit asked(server& of) : from(of) {}

  /// Asks, and says which answers have come so far.
  std::size_t ask(std::uint64_t subscriber, std::uint64_t session, std::uint64_t number) {
    schemas::follow_request asks;
    asks.subscriber = subscriber;
    asks.session = session;
    asks.number = number;
    asks.interval_ms = 50;
    asks.wait_ms = 500;
    asks.bytes_max = 1 << 20;
    from.told->take(
        asks, [this](const schemas::follow_reply& one) { replies.push_back(one); }, from.now());
    return replies.size();
  }
  std::size_t after_ms(std::uint64_t ms) {
    from.time.advance_ms(ms);
    from.told->advance(from.now());
    return replies.size();
  }
  /// Asks for what follows the last answer.
  std::size_t go_on(std::uint64_t subscriber = 1) {
    const auto last = delta();
    return ask(subscriber, last.session, last.number);
  }
  schemas::delta delta() const { return schemas::decode_delta(replies.back().delta).value(); }

  server& from;
  std::vector<schemas::follow_reply> replies;
};

TEST(AShardIsFollowed, ChangesAreGatheredForAnIntervalAndToldAtOnceWhereTheLinkWasIdle) {
  random_stream random(1);
  server from(0, {});
  from.push(random);
  asked by(from);
  ASSERT_EQ(by.ask(1, 0, 0), 1U) << "a session begins at once";
  EXPECT_TRUE(by.delta().whole);
  EXPECT_EQ(by.delta().version, 1U);
  EXPECT_GE(by.delta().session, from.time.now_ms() * 1'000);
  EXPECT_EQ(by.go_on(), 1U) << "nothing changed";
  from.push(random);
  EXPECT_EQ(by.after_ms(49), 1U) << "changes are gathered";
  from.push(random);
  ASSERT_EQ(by.after_ms(1), 2U);
  EXPECT_EQ(by.delta().version, 3U);
  by.go_on();
  EXPECT_EQ(by.after_ms(200), 2U);
  from.push(random);
  ASSERT_EQ(by.replies.size(), 3U) << "the link was idle";
  by.go_on();
  EXPECT_EQ(by.after_ms(499), 3U);
  ASSERT_EQ(by.after_ms(1), 4U) << "a beat";
  EXPECT_TRUE(by.delta().blocks.empty());
  EXPECT_EQ(by.delta().version, 4U);
}

TEST(AShardIsFollowed, ARequestTakesThePlaceOfTheOneBeforeAndAsksForWhatGotLost) {
  random_stream random(2);
  server from(0, {});
  from.push(random);
  asked by(from);
  by.ask(1, 0, 0);
  const auto first = by.delta();
  ASSERT_EQ(by.ask(1, 0, 0), 2U) << "the first answer was lost";
  EXPECT_EQ(by.delta().session, first.session) << "the session is the same";
  EXPECT_EQ(by.delta().follows, 0U);
  EXPECT_GT(by.delta().number, first.number);
  EXPECT_FALSE(by.delta().blocks.empty());
  by.go_on();
  by.go_on();
  from.push(random);
  EXPECT_EQ(by.after_ms(50), 3U) << "the request before is not answered";
  const auto lost = by.delta();
  ASSERT_EQ(by.ask(1, lost.session, lost.follows), 4U);
  EXPECT_EQ(by.delta().follows, lost.follows);
  EXPECT_FALSE(by.delta().blocks.empty());
  // Another life of the shard has other sessions.
  from.open();
  ASSERT_EQ(by.go_on(), 5U);
  EXPECT_GT(by.delta().session, lost.session);
  EXPECT_EQ(by.delta().follows, 0U);
  EXPECT_EQ(by.delta().number, 1U);
}

TEST(AShardIsFollowed, NothingIsKeptForNobodyAndTheSilentMakeRoom) {
  random_stream random(3);
  ps::followers::settings how;
  how.subscribers_max = 2;
  server from(0, how);
  from.push(random);
  EXPECT_EQ(from.told->count().unsorted_rows, 0U);
  asked by(from);
  by.ask(1, 0, 0);
  by.after_ms(1'000);
  by.ask(2, 0, 0);
  by.ask(3, 0, 0);
  EXPECT_EQ(by.replies.back().status, errc::overloaded);
  EXPECT_NE(by.replies.back().detail.find("2 replicas follow shard 0"), std::string::npos);
  EXPECT_GT(by.replies.back().retry_after_ms, 0U);
  by.after_ms(how.yield_ms);
  by.ask(3, 0, 0);
  EXPECT_EQ(by.replies.back().status, errc::ok) << "the first was silent for longest";
  from.push(random);
  EXPECT_GT(from.told->count().unsorted_rows, 0U);
  by.after_ms(how.silent_ms);
  EXPECT_EQ(from.told->count().subscribers, 0U);
  from.push(random);
  EXPECT_EQ(from.told->count().unsorted_rows, 0U);
  EXPECT_EQ(from.told->count().bytes, 0U);
}

// ---- since when events are in ----

schemas::push_section accepted(const schemas::source_id& source,
                               std::uint64_t ms,
                               schemas::lane lane = schemas::lane::rows) {
  schemas::push_section push;
  push.source = source;
  push.lane = lane;
  push.accepted_ms = ms;
  return push;
}

TEST(AcceptedStamps, AreTheLeastOfTheSourcesThatPush) {
  ps::accepted_stamps at;
  EXPECT_EQ(at.least(), 0U);
  at.note(accepted({"a", 1}, 100, schemas::lane::dense));
  EXPECT_EQ(at.least(), 100U) << "nothing else is known of it";
  at.note(accepted({"a", 1}, 90));
  EXPECT_EQ(at.least(), 90U) << "lane rows counts";
  at.note(accepted({"a", 1}, 0));
  at.note(accepted({"a", 1}, 80));
  EXPECT_EQ(at.least(), 90U);
  at.note(accepted({"b", 1}, 50));
  EXPECT_EQ(at.least(), 50U);
  at.note(accepted({"b", 2}, 60));
  at.note(accepted({"b", 1}, 300));
  EXPECT_EQ(at.least(), 60U) << "generation 2 took its place";
  at.note(accepted({"b", 2}, schemas::source_ended_ms));
  EXPECT_EQ(at.least(), 90U) << "nobody waits for b any more";
  at.note(accepted({"a", 1}, schemas::source_ended_ms));
  EXPECT_EQ(at.least(), 100U) << "the newest that was said";
  at.note(accepted({"b", 2}, 95));
  EXPECT_EQ(at.least(), 95U) << "it goes on all the same";
}

}  // namespace
}  // namespace headrace
