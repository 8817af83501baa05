#include "ps/table/eviction.hpp"

#include "base/random.hpp"
#include "base/zipf.hpp"
#include "ps/cache/cache_policy.hpp"
#include "ps/shard/test_push.hpp"
#include "ps/table/row_update.hpp"
#include "ps/table/table.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <vector>

namespace headrace::ps {
namespace {

using schemas::optimizer_kind;

constexpr std::size_t row_bytes = 32 + 8 + 8 * 16 / 5;  // of one float, index included

/// A table over its budget, and the records of all rows as a store would have them. Written back
/// after every batch, so that nothing but eviction decides what stays.
struct budgeted {
  explicit budgeted(std::size_t rows_max) : rows(spec_for(rows_max)) {}
  static schemas::table_spec spec_for(std::size_t rows_max) {
    schemas::table_spec spec = one_table(optimizer_kind::add, 1).tables[0];
    spec.memory_bytes = rows_max * row_bytes;
    return spec;
  }

  /// Pulls what is not here from the store, pushes all of it, evicts. Gives how many were here.
  std::size_t use(const std::vector<std::uint64_t>& keys) {
    ++now;
    std::size_t hits = 0;
    for (const std::uint64_t key : keys) {
      if (rows.find(key) != nullptr) {
        ++hits;
      } else if (const auto found = stored.find(key); found != stored.end()) {
        row_header* made = rows.make(key);
        made->count = found->second.count;
        made->lsn = found->second.lsn;
        made->last_seen_ms = found->second.last_seen_ms;
        rows.arrived(*made);
      }
    }
    block_data block;
    block.keys = keys;
    block.values.assign(keys.size(), 1.0F);
    update_rows(rows, block.view(), {}, lsn{now}, now);
    for (row_header* row : rows.take_dirty()) {
      row->flags &= ~row_flag::dirty;
      stored[row->key] = *row;
    }
    while (rows.over_budget()) {
      if (rows.evict(lsn{now}, SIZE_MAX) == 0 && !rows.growing()) break;
    }
    return hits;
  }
  std::size_t here(std::uint64_t first, std::uint64_t last) const {
    std::size_t sum = 0;
    for (std::uint64_t key = first; key <= last; ++key) sum += rows.find(key) != nullptr ? 1 : 0;
    return sum;
  }

  table rows;
  std::map<std::uint64_t, row_header> stored;
  std::uint64_t now = 0;
};

std::vector<std::uint64_t> range(std::uint64_t first, std::uint64_t last) {
  std::vector<std::uint64_t> keys;
  for (std::uint64_t key = first; key <= last; ++key) keys.push_back(key);
  return keys;
}

TEST(Eviction, RowsUsedOnceWashThroughATenthOfTheRows) {
  budgeted of(1'000);
  for (int i = 0; i < 5; ++i) of.use(range(1, 1'000));
  for (std::uint64_t first = 10'001; first < 18'000; first += 50) of.use(range(first, first + 49));
  EXPECT_FALSE(of.rows.over_budget());
  EXPECT_GE(of.here(1, 1'000), 890U);
  EXPECT_GE(of.here(17'951, 18'000), 50U) << "the newest are not refused";
}

TEST(Eviction, ARowThatIsStoredWithManyUsesStaysAndOneWithoutLeaves) {
  budgeted of(1'000);
  of.use(range(1, 1'000));
  row_header many{};
  many.count = 12;
  many.last_seen_ms = of.now;
  of.stored[5'001] = many;
  row_header none = many;
  none.count = 0;
  of.stored[5'002] = none;
  EXPECT_EQ(of.use(range(5'001, 5'002)), 0U);
  for (std::uint64_t first = 20'001; first < 22'000; first += 50) of.use(range(first, first + 49));
  EXPECT_EQ(of.here(5'001, 5'001), 1U);
  EXPECT_EQ(of.here(5'002, 5'002), 0U);
}

TEST(Eviction, GoesOnWhereOnlyMarkedRowsMayLeave) {
  budgeted of(1'000);
  for (int i = 0; i < 3; ++i) of.use(range(1, 1'000));
  for (std::uint64_t first = 10'001; first < 11'000; first += 50) of.use(range(first, first + 49));
  of.rows.visit([](row_header& row) {
    if ((row.flags & (row_flag::first_victim | row_flag::newcomer)) == 0)
      row.flags |= row_flag::pinned_once;
  });
  of.use(range(30'001, 30'090));
  EXPECT_FALSE(of.rows.over_budget());
}

TEST(Eviction, KeepsWhatTheMeasuredPolicyKeeps) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE(testing::Message() << "HEADRACE_SEED=" << seed);
  constexpr std::size_t capacity = 2'500;
  constexpr std::size_t batch = 50;
  random_stream random(seed);
  const zipf_rejection_inversion draw(0.99, 50'000);
  budgeted of(capacity);
  const auto history = make_cache_policy(cache_policy_kind::clock_history, capacity, seed);
  const auto plain = make_cache_policy(cache_policy_kind::clock, capacity, seed);
  double uses = 0;
  double ours = 0;
  double known = 0;
  double unknown = 0;
  for (int i = 0; i < 8'000; ++i) {
    std::set<std::uint64_t> keys;
    while (keys.size() < batch) keys.insert(mix64(draw(random)) >> 1);
    const std::vector<std::uint64_t> sorted(keys.begin(), keys.end());
    const std::size_t hits = of.use(sorted);
    std::size_t history_hits = 0;
    std::size_t plain_hits = 0;
    for (const std::uint64_t key : sorted) {
      history_hits += history->access(key) ? 1 : 0;
      plain_hits += plain->access(key) ? 1 : 0;
    }
    if (i < 4'000) continue;
    uses += static_cast<double>(batch);
    ours += static_cast<double>(hits);
    known += static_cast<double>(history_hits);
    unknown += static_cast<double>(plain_hits);
  }
  EXPECT_NEAR(ours / uses, known / uses, 0.01);
  EXPECT_GT(ours / uses, unknown / uses + 0.01);
}

}  // namespace
}  // namespace headrace::ps
