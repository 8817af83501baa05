// Shards, their feeds and replicas over links that lose, repeat and reorder, for thousands of
// random steps: whatever a replica's stamp says of a shard, its rows are those of the shard at that
// version or newer, and once a link is quiet exactly those a pull in the same codec gives.
// HEADRACE_SEED=n runs from seed n.
#include "base/random.hpp"
#include "kernels/quantize_rows/quantize_rows.hpp"
#include "ps/delta/delta_builder.hpp"
#include "ps/shard/test_push.hpp"
#include "serve/replica.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>
#include <set>
#include <vector>

namespace headrace {
namespace {

constexpr std::uint64_t keys_in_use = 150;
constexpr std::size_t pending_max = 250;

schemas::job_schema two_tables() {
  auto schema = ps::one_table(schemas::optimizer_kind::add, 12);
  auto narrow = schema.tables[0];
  narrow.id = table_id{1};
  narrow.name = "dense";
  narrow.dim = 3;
  schema.tables.push_back(narrow);
  return schema;
}

/// A shard that counts: column 0 of a row is the sum of what was pushed to it, and never falls but
/// by a removal.
struct source {
  source()
      : codecs(schemas::delta_codecs(schema)),
        changes(ps::delta_row_bytes(schema, codecs), 64),
        state(shard_id{0}, schema, ps::shard_limits{}, epoch{1}) {
    state.report_changes(&changes);
  }
  void push(random_stream& random) {
    std::vector<ps::block_data> blocks;
    for (std::uint32_t table = 0; table < 2; ++table) {
      std::set<std::uint64_t> keys;
      // Half of all pushes hit few keys again and again.
      const std::uint64_t range = random.next_below(2) == 0 ? 8 : keys_in_use;
      for (std::uint64_t n = 1 + random.next_below(12); n > 0; --n)
        keys.insert(random.next_below(range));
      ps::block_data block;
      block.table = table_id{table};
      block.dim = schema.tables[table].dim;
      block.keys.assign(keys.begin(), keys.end());
      for (std::size_t i = 0; i < keys.size() * block.dim; ++i)
        block.values.push_back(static_cast<float>(random.next_unit()));
      blocks.push_back(std::move(block));
    }
    auto section = ps::section_of({"s", 1}, batch + 1, batch, blocks);
    section.pulled_version = state.version();
    ++batch;
    const auto decision = state.decide(ps::received(section), ++now_ms);
    ASSERT_TRUE(decision.record.has_value()) << decision.ack.detail;
    ASSERT_TRUE(state.commit(decision.record->lsn).applied);
    remember();
  }
  void remove(random_stream& random) {
    std::set<std::uint64_t> keys;
    for (int i = 0; i < 3; ++i) keys.insert(random.next_below(keys_in_use));
    const auto record =
        state.remove({.table = table_id{0}, .keys = {keys.begin(), keys.end()}}, ++now_ms);
    ASSERT_TRUE(record.has_value());
    state.commit(record->lsn);
    remember();
  }
  /// What a pull of every key gives now, in the codec of deltas: rows of each table.
  std::vector<std::vector<float>> pulled() const {
    std::vector<std::vector<float>> all;
    std::vector<std::uint64_t> keys;
    for (std::uint64_t key = 0; key < keys_in_use; ++key) keys.push_back(key);
    for (std::uint32_t table = 0; table < 2; ++table) {
      schemas::pull_section section;
      section.blocks.push_back({table_id{table}, codecs[table], keys});
      const auto reply = schemas::decode_pull_reply(state.pull(section));
      CHECK(reply.ok());
      const schemas::pulled_block& block = reply->blocks.at(0);
      std::vector<float> values(keys.size() * block.dim);
      if (codecs[table] == schemas::value_codec::int8) {
        kernels::dequantize_rows(
            {.codes = {reinterpret_cast<const std::int8_t*>(block.values.data()),
                       block.values.size()},
             .scales = block.scales,
             .dim = block.dim,
             .values = values});
      } else {
        values.assign(block.fp32_values().begin(), block.fp32_values().end());
      }
      all.push_back(std::move(values));
    }
    return all;
  }
  /// Which keys had been changed last at which version: for "at that version or newer".
  void remember() { history[state.version()] = pulled(); }

  schemas::job_schema schema = two_tables();
  std::vector<schemas::value_codec> codecs;
  ps::change_index changes;
  ps::shard state;
  std::uint64_t batch = 0;
  std::uint64_t now_ms = 1'000;
  std::uint64_t sessions = 0;
  std::map<std::uint64_t, std::vector<std::vector<float>>> history;
};

/// A subscriber, its feed, and what is on the wire between them.
struct follower {
  explicit follower(source& of) : from(of) {}

  void subscribe(const ps::feed_limits& how) {
    if (feed != nullptr) from.changes.close(*feed);
    feed = &ps::begin_feed(from.changes, from.state, ++from.sessions, how);
    limits = how;
  }
  void restart() { state = std::make_unique<serve::replica>(from.schema, from.codecs, 9); }
  void send() {
    if (feed->has_lapsed()) {
      ++lapses;
      subscribe(limits);
    }
    const auto plan = from.changes.plan(*feed, from.now_ms);
    if (!plan) return;
    for (const auto& keys : plan->keys) ASSERT_TRUE(std::ranges::is_sorted(keys));
    wire.push_back(ps::build_delta(from.state, *plan, from.codecs));
    ASSERT_LE(wire.back().size(), limits.delta_bytes_max + 400);
  }
  /// One frame arrives; `lossy`: perhaps not, perhaps twice, perhaps before others.
  void deliver(random_stream& random, bool lossy) {
    if (wire.empty()) return;
    const std::size_t at = lossy && random.next_below(4) == 0 ? random.next_below(wire.size()) : 0;
    const frame bytes = wire[at];
    if (!lossy || random.next_below(5) != 0)
      wire.erase(wire.begin() + static_cast<std::ptrdiff_t>(at));
    if (lossy && random.next_below(6) == 0) return;
    const auto message = schemas::decode_delta(bytes);
    ASSERT_TRUE(message.ok());
    const auto before = state->stamp();
    const auto got = state->apply(*message);
    ASSERT_GE(state->stamp().version, before.version);
    ASSERT_GE(state->stamp().accepted_ms, before.accepted_ms);
    const auto at_shard = state->state(shard_id{0});
    if (got.ok()) {
      if (at_shard.session == feed->session()) feed->acknowledge(at_shard.number);
      ++taken;
      return;
    }
    ASSERT_EQ(got.error().code, errc::gap) << got.error().detail;
    ++gaps;
    if (message->session != feed->session()) return;
    const bool mine = at_shard.session == feed->session();
    if (!feed->resume(mine ? at_shard.number : 0).ok()) subscribe(limits);
  }
  std::vector<float> rows(std::uint32_t table) const {
    std::vector<std::uint64_t> keys;
    for (std::uint64_t key = 0; key < keys_in_use; ++key) keys.push_back(key);
    std::vector<float> values(keys.size() * from.schema.tables[table].dim);
    CHECK(state->read(table_id{table}, keys, values).ok());
    return values;
  }
  /// Each row is what it was at the version of the stamp, or at a later one.
  void check_no_row_is_older() const {
    const std::uint64_t version = state->stamp().version;
    if (!state->stamp().whole || version == 0) return;
    for (std::uint32_t table = 0; table < 2; ++table) {
      const auto held = rows(table);
      const std::size_t dim = from.schema.tables[table].dim;
      for (std::uint64_t key = 0; key < keys_in_use; ++key) {
        const auto row = std::span(held).subspan(key * dim, dim);
        const auto is_at = [&](const auto& then) {
          const auto was = std::span(then.second[table]).subspan(key * dim, dim);
          return close(row, was);
        };
        ASSERT_TRUE(std::any_of(from.history.find(version), from.history.end(), is_at))
            << "key " << key << " of table " << table << " is older than version " << version;
      }
    }
  }
  /// Absent rows are exact here and quantized in a pull, hence the bound.
  static bool close(std::span<const float> a, std::span<const float> b) {
    float most = 0.0F;
    for (const float value : b) most = std::max(most, std::fabs(value));
    for (std::size_t i = 0; i < a.size(); ++i) {
      if (a[i] != b[i] && !(most < 0.02F && std::fabs(a[i] - b[i]) <= most / 127.0F)) return false;
    }
    return true;
  }

  source& from;
  ps::delta_feed* feed = nullptr;
  ps::feed_limits limits;
  std::unique_ptr<serve::replica> state;
  std::vector<frame> wire;
  std::uint64_t taken = 0;
  std::uint64_t gaps = 0;
  std::uint64_t lapses = 0;
};

ps::feed_limits draw_limits(random_stream& random) {
  return {.delta_bytes_max = 120 + random.next_below(random.next_below(2) == 0 ? 300 : 8'000),
          .window_max = 1 + random.next_below(5),
          .pending_max = random.next_below(8) == 0 ? 40 : pending_max};
}

void run(std::uint64_t seed, std::uint64_t& taken, std::uint64_t& gaps, std::uint64_t& lapses) {
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  random_stream random(seed);
  source from;
  std::vector<std::unique_ptr<follower>> followers;
  for (int i = 0; i < 3; ++i) {
    auto& one = *followers.emplace_back(std::make_unique<follower>(from));
    one.restart();
    one.subscribe(draw_limits(random));
  }
  for (int step = 0; step < 400; ++step) {
    follower& one = *followers[random.next_below(followers.size())];
    const std::uint64_t draw = random.next_below(100);
    if (draw < 35) {
      from.push(random);
    } else if (draw < 38) {
      from.remove(random);
    } else if (draw < 65) {
      one.send();
    } else if (draw < 97) {
      one.deliver(random, true);
    } else if (draw < 98) {  // the replica's process ends
      one.restart();
      one.subscribe(draw_limits(random));
    } else if (draw < 99) {  // the subscription ends
      one.subscribe(draw_limits(random));
    } else {
      one.wire.clear();
    }
    if (testing::Test::HasFatalFailure()) return;
    if (step % 8 == 0) one.check_no_row_is_older();
    for (const auto& each : followers) {
      // Pending rows once or in two runs, those on their way, and what vectors hold in reserve.
      ASSERT_LE(each->feed->bytes(), 5 * 16 * 2 * keys_in_use + 64 * 400U);
    }
    if (testing::Test::HasFatalFailure()) return;
  }
  // Quiet: everything arrives, and every replica is what the shard is.
  const auto expected = from.pulled();
  for (const auto& one : followers) {
    for (int round = 0; round < 2'000; ++round) {
      // Who hears nothing for a while asks for what follows.
      const auto now = one->state->state(shard_id{0});
      const bool mine = now.session == one->feed->session();
      if (!one->feed->resume(mine ? now.number : 0).ok()) one->subscribe(one->limits);
      one->send();
      while (!one->wire.empty()) one->deliver(random, false);
      if (testing::Test::HasFatalFailure()) return;
      if (one->state->stamp().version == from.state.version() && one->feed->in_flight() == 0) break;
    }
    ASSERT_EQ(one->state->stamp().version, from.state.version());
    ASSERT_FALSE(one->state->state(shard_id{0}).installing);
    for (std::uint32_t table = 0; table < 2; ++table) {
      const auto held = one->rows(table);
      const std::size_t dim = from.schema.tables[table].dim;
      for (std::uint64_t key = 0; key < keys_in_use; ++key) {
        ASSERT_TRUE(follower::close(std::span(held).subspan(key * dim, dim),
                                    std::span(expected[table]).subspan(key * dim, dim)))
            << "key " << key << " of table " << table;
      }
    }
    taken += one->taken;
    gaps += one->gaps;
    lapses += one->lapses;
  }
}

TEST(ReplicaFollows, WhateverGetsLostTheRowsAreThoseOfTheVersionThatIsSaid) {
  const std::uint64_t first = ps::test_seed();
  std::uint64_t taken = 0;
  std::uint64_t gaps = 0;
  std::uint64_t lapses = 0;
  for (std::uint64_t seed = first; seed < first + 12; ++seed) {
    run(seed, taken, gaps, lapses);
    if (HasFatalFailure()) return;
  }
  // The links were as bad as they are meant to be.
  EXPECT_GT(taken, 500U);
  EXPECT_GT(gaps, 50U);
  EXPECT_GT(lapses, 0U);
}

}  // namespace
}  // namespace headrace
