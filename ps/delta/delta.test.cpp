#include "kernels/runtime/half.hpp"
#include "ps/delta/change_index.hpp"
#include "ps/delta/delta_builder.hpp"
#include "ps/shard/test_push.hpp"
#include "storage/memory_row_store.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <ctime>
#include <map>
#include <set>

// The whole of it, with losses and replicas, is in tests/property/replica_follows.test.cpp.
namespace headrace::ps {
namespace {

std::vector<pending_row> rows_of(std::initializer_list<std::uint64_t> keys, float size = 1.0F) {
  std::vector<pending_row> rows;
  for (const std::uint64_t key : keys) rows.push_back({.key = key, .size = size});
  return rows;
}

std::vector<std::uint64_t> numbers(std::uint64_t from, std::uint64_t to) {
  std::vector<std::uint64_t> all;
  for (; from < to; ++from) all.push_back(from);
  return all;
}

TEST(PendingRows, KeepEachRowOnceWithItsOldestGeneration) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE("seed " + std::to_string(seed));
  random_stream random(seed);
  pending_rows rows;
  std::map<std::uint64_t, pending_row> model;
  for (std::uint32_t generation = 0; generation < 200; ++generation) {
    std::map<std::uint64_t, pending_row> drawn;
    for (std::uint64_t n = random.next_below(30); n > 0; --n) {
      const std::uint64_t key = random.next_below(500);
      drawn[key] = {.key = key, .size = 1.0F, .generation = generation};
    }
    std::vector<pending_row> list;
    for (const auto& [key, row] : drawn) {
      list.push_back(row);
      const auto [at, fresh] = model.try_emplace(key, row);
      if (!fresh) at->second.size += row.size;
    }
    rows.add(std::move(list));
    ASSERT_LE(rows.rows_at_most(), 2 * model.size() + 30);
  }
  const auto& all = rows.all();
  ASSERT_EQ(all.size(), model.size());
  auto expected = model.begin();
  for (const pending_row& row : all) {
    EXPECT_EQ(row.key, expected->second.key);
    EXPECT_EQ(row.size, expected->second.size);
    EXPECT_EQ(row.generation, expected->second.generation);
    ++expected;
  }
}

TEST(PendingRows, RunsAreMergedWhateverTheirNumber) {
  for (const std::size_t runs : {1U, 2U, 3U, 7U, 8U}) {
    std::vector<pending_row> rows;
    std::vector<std::size_t> ends;
    std::set<std::uint64_t> keys;
    for (std::size_t run = 0; run < runs; ++run) {
      for (std::uint64_t key = run; key < 40; key += 1 + run) {
        rows.push_back({.key = key, .size = 1.0F});
        keys.insert(key);
      }
      ends.push_back(rows.size());
    }
    const auto told = static_cast<float>(rows.size());
    merge_runs(rows, ends);
    ASSERT_EQ(rows.size(), keys.size());
    EXPECT_TRUE(std::ranges::is_sorted(rows, {}, &pending_row::key));
    float sum = 0.0F;
    for (const pending_row& row : rows) sum += row.size;
    EXPECT_EQ(sum, told);
  }
}

feed_limits small_deltas(std::size_t rows) {
  return {.delta_bytes_max = rows * 10, .window_max = 4, .pending_max = 1'000};
}

TEST(DeltaFeed, ARowThatChangesAHundredTimesIsSentOnce) {
  delta_feed feed(1, {10}, small_deltas(100));
  ASSERT_TRUE(feed.plan({}));
  for (std::uint64_t i = 0; i < 100; ++i) feed.absorb(table_id{0}, rows_of({7}));
  const auto plan = feed.plan({lsn{100}, 100, 5});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->keys[0], (std::vector<std::uint64_t>{7}));
  EXPECT_EQ(plan->said, (feed_position{lsn{100}, 100, 5}));
  EXPECT_FALSE(feed.plan({lsn{100}, 100, 6})) << "nothing changed since";
  EXPECT_TRUE(feed.plan({lsn{100}, 100, 6}, true)) << "asked to say that it lives";
}

TEST(DeltaFeed, NothingIsSaidBeforeEveryFirstRowWasSent) {
  delta_feed feed(1, {10}, small_deltas(10));
  feed.add_first(table_id{0}, numbers(0, 25));
  for (int i = 0; i < 2; ++i) {
    const auto plan = feed.plan({lsn{9}, 9, 90});
    ASSERT_TRUE(plan);
    EXPECT_FALSE(plan->whole);
    EXPECT_EQ(plan->said, feed_position{});
    EXPECT_EQ(plan->rows(), 10U);
  }
  const auto last = feed.plan({lsn{9}, 9, 91});
  ASSERT_TRUE(last);
  EXPECT_TRUE(last->whole);
  EXPECT_EQ(last->said, (feed_position{lsn{9}, 9, 91}));
}

TEST(DeltaFeed, LargeChangesGoFirstAndTheVersionStillMovesOn) {
  delta_feed feed(1, {10}, small_deltas(10));
  ASSERT_TRUE(feed.plan({}));
  feed.acknowledge(1);
  std::vector<pending_row> quiet;
  for (const std::uint64_t key : numbers(0, 20)) quiet.push_back({.key = key, .size = 0.001F});
  feed.absorb(table_id{0}, quiet);
  auto plan = feed.plan({lsn{1}, 1, 0});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->said.version, 0U) << "half of version 1 waits";
  feed.acknowledge(2);
  feed.absorb(table_id{0}, rows_of({500, 501, 502}, 9.0F));
  plan = feed.plan({lsn{2}, 2, 0});
  ASSERT_TRUE(plan);
  EXPECT_TRUE(std::ranges::includes(plan->keys[0], std::vector<std::uint64_t>{500, 501, 502}));
  EXPECT_EQ(plan->rows(), 10U);
  EXPECT_EQ(plan->said.version, 0U) << "rows sent early raise no version";
  feed.acknowledge(3);
  plan = feed.plan({lsn{2}, 2, 0});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->said.version, 2U);
}

TEST(DeltaFeed, UnderLoadTheVersionSaidFollowsThatOfTheShard) {
  // Twelve new rows each time and room for ten, each change larger than those before.
  delta_feed feed(1, {10}, small_deltas(10));
  std::uint64_t said = 0;
  for (std::uint64_t version = 1; version <= 60; ++version) {
    std::vector<pending_row> rows;
    for (const std::uint64_t key : numbers(12 * version, 12 * version + 12))
      rows.push_back({.key = key, .size = static_cast<float>(version)});
    feed.absorb(table_id{0}, rows);
    const auto plan = feed.plan({lsn{version}, version, version});
    ASSERT_TRUE(plan);
    EXPECT_GE(plan->said.version, said);
    said = plan->said.version;
    feed.acknowledge(plan->number);
  }
  EXPECT_GE(said, 20U);
}

TEST(DeltaFeed, WhereTheRowsOfADeltaEndBeforeItsBytesTheOldestAndTheLargestStillGoFirst) {
  constexpr std::uint64_t more = schemas::delta_rows_max + 10'000;
  feed_limits limits{.delta_bytes_max = 600'000, .window_max = 4, .pending_max = 2 * more};
  delta_feed feed(1, {1}, limits);
  ASSERT_TRUE(feed.plan({}));
  feed.absorb(table_id{0}, rows_of({1'000'000}, 0.001F));
  ASSERT_TRUE(feed.plan({lsn{1}, 1, 0}));
  ASSERT_TRUE(feed.resume(1).ok()) << "it got lost";
  std::vector<pending_row> rows;
  for (const std::uint64_t key : numbers(0, more)) rows.push_back({.key = key, .size = 1.0F});
  rows.push_back({.key = 2'000'000, .size = 9.0F});
  feed.absorb(table_id{0}, std::move(rows));
  const auto plan = feed.plan({lsn{2}, 2, 0});
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->said.version, 1U);
  EXPECT_EQ(plan->keys[0].back(), 2'000'000U);
  EXPECT_LE(plan->rows(), schemas::delta_rows_max);
  EXPECT_GE(plan->rows(), 600'000U / 3) << "half full at least";
}

TEST(DeltaFeed, ARowThatChangesBeforeItsFirstDeltaIsSentOnce) {
  delta_feed feed(1, {10, 10}, small_deltas(10));
  feed.add_first(table_id{0}, numbers(0, 20));
  feed.add_first(table_id{1}, numbers(0, 20));
  ASSERT_TRUE(feed.plan({lsn{1}, 1, 0}));
  feed.acknowledge(1);
  std::map<std::uint64_t, int> sent;
  for (std::uint64_t version = 2; version < 30; ++version) {
    // 3 waits for its first delta still, 15 had it, 70 is new.
    if (version == 2) feed.absorb(table_id{0}, rows_of({3, 15, 70}));
    const auto plan = feed.plan({lsn{version}, version, 0});
    ASSERT_TRUE(plan);
    feed.acknowledge(plan->number);
    EXPECT_LE(plan->rows(), 10U);
    for (const std::uint64_t key : plan->keys[0]) ++sent[key];
    if (!plan->whole) continue;
    EXPECT_EQ(plan->said.version, version);
    break;
  }
  EXPECT_EQ(sent.size(), 12U) << "20 less 10 sent before, and 15, and 70";
  for (const auto& [key, times] : sent) EXPECT_EQ(times, 1) << key;
}

TEST(DeltaFeed, ASessionBeginsInStepsOfWhatItSends) {
  // 15,000 deltas: where each passed over all rows that wait, this took minutes.
  delta_feed feed(1, {10}, small_deltas(20));
  feed.add_first(table_id{0}, numbers(0, 300'000));
  const std::size_t bytes = feed.bytes();
  const auto begun = std::clock();
  std::uint64_t rows = 0;
  for (std::uint64_t version = 1;; ++version) {
    feed.absorb(table_id{0}, rows_of({version, 300'000 - version}));
    const auto plan = feed.plan({lsn{version}, version, 0});
    ASSERT_TRUE(plan);
    feed.acknowledge(plan->number);
    rows += plan->rows();
    ASSERT_LE(feed.bytes(), 2 * bytes);
    if (plan->whole) break;
    ASSERT_LT(std::clock() - begun, 8 * CLOCKS_PER_SEC);
  }
  EXPECT_GE(rows, 300'000U);
  EXPECT_LT(feed.bytes(), 10'000U);
}

TEST(DeltaFeed, ASlowSubscriberHasAWindowAndLosesNothing) {
  delta_feed feed(1, {10}, small_deltas(10));
  std::uint64_t version = 0;
  for (int i = 0; i < 4; ++i) {
    feed.absorb(table_id{0}, rows_of({version}));
    ++version;
    ASSERT_TRUE(feed.plan({lsn{version}, version, 0}));
  }
  feed.absorb(table_id{0}, rows_of({99}));
  EXPECT_FALSE(feed.plan({lsn{5}, 5, 0})) << "four deltas are on their way";
  ASSERT_TRUE(feed.resume(1).ok()) << "three got lost";
  const auto again = feed.plan({lsn{5}, 5, 0});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->keys[0], (std::vector<std::uint64_t>{1, 2, 3, 99}));
  EXPECT_EQ(again->number, 5U) << "a number never names two deltas";
  EXPECT_EQ(again->follows, 1U);
  EXPECT_EQ(again->said.version, 5U);
  EXPECT_EQ(feed.resume(0).error().code, errc::gap);
  EXPECT_EQ(feed.resume(6).error().code, errc::gap);
}

TEST(DeltaFeed, TooManyRowsEndTheSession) {
  delta_feed feed(1, {10}, small_deltas(10));
  ASSERT_TRUE(feed.plan({}));
  for (std::uint64_t i = 0; i < 500; ++i) {
    std::vector<pending_row> rows;
    for (const std::uint64_t key : numbers(0, 900)) rows.push_back({.key = key});
    feed.absorb(table_id{0}, rows);
    ASSERT_FALSE(feed.has_lapsed()) << "the same rows again are not more";
    ASSERT_LE(feed.bytes(), 32U * 2'000);
  }
  std::vector<pending_row> rows;
  for (const std::uint64_t key : numbers(900, 1'100)) rows.push_back({.key = key});
  feed.absorb(table_id{0}, rows);
  EXPECT_TRUE(feed.has_lapsed());
  EXPECT_FALSE(feed.plan({lsn{1}, 1, 0}));
  EXPECT_EQ(feed.resume(0).error().code, errc::gap);
}

TEST(DeltaFeed, RowsThatLieElsewhereAreWaitedFor) {
  delta_feed feed(1, {10}, small_deltas(10));
  feed.wait_for_more();
  feed.add_first(table_id{0}, numbers(0, 5));
  auto plan = feed.plan({lsn{1}, 1, 0});
  ASSERT_TRUE(plan);
  EXPECT_FALSE(plan->whole);
  EXPECT_FALSE(feed.plan({lsn{1}, 1, 0})) << "nothing to send while more is looked for";
  feed.add_first(table_id{0}, numbers(5, 9));
  feed.all_known();
  plan = feed.plan({lsn{1}, 1, 0});
  ASSERT_TRUE(plan);
  EXPECT_TRUE(plan->whole);
  EXPECT_EQ(plan->keys[0], numbers(5, 9));
}

/// A shard whose changes are told, and what it is pushed.
struct told_shard {
  explicit told_shard(schemas::job_schema schema)
      : codecs(schemas::delta_codecs(schema)),
        changes(delta_row_bytes(schema, codecs)),
        state(shard_id{0}, std::move(schema), shard_limits{}, headrace::epoch{1}) {
    state.report_changes(&changes);
  }
  void push(std::vector<std::uint64_t> keys, float value) {
    block_data block;
    block.dim = state.schema().tables[0].dim;
    block.values.assign(keys.size() * block.dim, value);
    block.keys = std::move(keys);
    const std::vector<block_data> blocks{std::move(block)};
    auto section = section_of({"s", 1}, batch + 1, batch, blocks);
    section.pulled_version = state.version();
    ++batch;
    const auto decision = state.decide(received(section), ++now_ms);
    CHECK(decision.record.has_value());
    const auto ack = state.commit(decision.record->lsn);
    ASSERT_TRUE(ack.applied) << ack.detail;
  }
  schemas::delta next(delta_feed& feed) {
    const auto plan = changes.plan(feed, now_ms);
    CHECK(plan.has_value());
    auto read = schemas::decode_delta(build_delta(state, *plan, codecs));
    CHECK(read.ok());
    return std::move(*read);
  }

  std::vector<schemas::value_codec> codecs;
  change_index changes;
  shard state;
  std::uint64_t batch = 0;
  std::uint64_t now_ms = 1'000;
};

TEST(DeltaBuilder, SendsTheNewestValuesAndWhatIsGone) {
  told_shard from(one_table(schemas::optimizer_kind::add, 16));
  from.push({1, 2, 3}, 0.5F);
  EXPECT_EQ(from.changes.unsorted_rows(), 0U) << "nobody follows";
  delta_feed& feed = begin_feed(from.changes, from.state, 7);
  auto first = from.next(feed);
  EXPECT_TRUE(first.whole);
  EXPECT_EQ(first.version, 1U);
  ASSERT_EQ(first.blocks.size(), 1U);
  EXPECT_EQ(first.blocks[0].keys.size(), 3U);

  from.push({2, 9}, 0.25F);
  const auto record = from.state.remove({.table = table_id{0}, .keys = {3}}, 5);
  ASSERT_TRUE(record);
  from.state.commit(record->lsn);
  const auto second = from.next(feed);
  EXPECT_EQ(second.version, from.state.version());
  EXPECT_EQ(second.lsn, from.state.applied());
  ASSERT_EQ(second.blocks.size(), 1U);
  EXPECT_TRUE(std::ranges::equal(second.blocks[0].keys, std::vector<std::uint64_t>{2, 9}));
  EXPECT_TRUE(std::ranges::equal(second.blocks[0].gone, std::vector<std::uint64_t>{3}));
  const float scale = kernels::half_to_float(second.blocks[0].scales[0]);
  const auto code = static_cast<std::int8_t>(second.blocks[0].values[0]);
  std::vector<float> exact;
  from.state.visit(table_id{0}, [&](row_key key, std::uint32_t, std::span<const float> values) {
    if (key.value == 2) exact.assign(values.begin(), values.end());
  });
  ASSERT_FALSE(exact.empty());
  EXPECT_LE(std::fabs(exact[0] - static_cast<float>(code) * scale), scale / 2 * (1 + 0x1p-15F));
}

TEST(DeltaBuilder, ARowThatTheSweepFindsIdleIsGone) {
  auto schema = one_table(schemas::optimizer_kind::add, 8);
  schema.tables[0].expiry.ttl_ms = 100;
  told_shard from(schema);
  from.push({1, 2}, 0.5F);
  delta_feed& feed = begin_feed(from.changes, from.state, 7);
  from.next(feed);
  from.now_ms += 1'000;
  from.push({2}, 0.5F);
  storage::memory_row_store store;
  ASSERT_TRUE(from.state.flush(store).ok());
  from.state.tidy(1'000);
  const auto told = from.next(feed);
  ASSERT_EQ(told.blocks.size(), 1U);
  EXPECT_TRUE(std::ranges::equal(told.blocks[0].keys, std::vector<std::uint64_t>{2}));
  EXPECT_TRUE(std::ranges::equal(told.blocks[0].gone, std::vector<std::uint64_t>{1}));
}

TEST(ChangeIndex, RowsThatASweepFindsIdleAreHandedOnInTime) {
  change_index changes({10}, 4);
  delta_feed& feed = changes.open(1, {});
  for (std::uint64_t key = 0; key < 10; ++key) {
    changes.removed(table_id{0}, {&key, 1});
    ASSERT_LT(changes.unsorted_rows(), 4U);
  }
  const auto plan = changes.plan(feed, 1);
  ASSERT_TRUE(plan);
  EXPECT_EQ(plan->keys[0], numbers(0, 10));
}

TEST(DeltaBuilder, AFeedThatIsClosedCostsNothingMore) {
  told_shard from(one_table(schemas::optimizer_kind::add, 8));
  delta_feed& one = begin_feed(from.changes, from.state, 1);
  delta_feed& other = begin_feed(from.changes, from.state, 2);
  from.push({4}, 1.0F);
  from.changes.close(one);
  EXPECT_EQ(from.next(other).blocks.size(), 1U);
  from.changes.close(other);
  EXPECT_FALSE(from.changes.has_followers());
  from.push({5}, 1.0F);
  EXPECT_EQ(from.changes.unsorted_rows(), 0U);
}

}  // namespace
}  // namespace headrace::ps
