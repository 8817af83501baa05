#include "ps/table/table.hpp"

#include "base/random.hpp"
#include "kernels/init_rows/init_rows.hpp"
#include "ps/shard/test_push.hpp"
#include "ps/table/huge_region.hpp"
#include "ps/table/row_index.hpp"
#include "ps/table/row_slab.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <set>
#include <utility>
#include <vector>

namespace headrace::ps {
namespace {

using schemas::optimizer_kind;

constexpr std::uint64_t secret = 0x5EC2E7;

std::uint64_t inverse_of(std::uint64_t odd) {
  std::uint64_t inverse = odd;
  for (int i = 0; i < 6; ++i) inverse *= 2 - odd * inverse;  // Newton, modulo 2^64
  return inverse;
}

/// mix64 backwards: how an attacker who knew the secret would choose keys.
std::uint64_t unmix64(std::uint64_t x) {
  x ^= (x >> 31) ^ (x >> 62);
  x *= inverse_of(0x94D049BB133111EBULL);
  x ^= (x >> 27) ^ (x >> 54);
  x *= inverse_of(0xBF58476D1CE4E5B9ULL);
  x ^= (x >> 30) ^ (x >> 60);
  return x - 0x9E3779B97F4A7C15ULL;
}

/// A slab of bare headers with its index.
struct indexed {
  row_header* add(std::uint64_t key) {
    const std::uint32_t row = slab.make(key);
    index.insert(row);
    return slab.at(row);
  }
  void drop(std::uint64_t key) { slab.free(index.erase(key)); }
  row_slab slab{0};
  row_index index{slab, secret};
};

// ---- huge_region ----

TEST(HugeRegion, IsZeroedAndAlignedFromOneHugePageOn) {
  for (const std::size_t bytes : {std::size_t{1},
                                  std::size_t{4096},
                                  huge_region::page_bytes - 1,
                                  huge_region::page_bytes,
                                  huge_region::page_bytes + 1}) {
    const huge_region region(bytes);
    ASSERT_GE(region.size(), bytes);
    EXPECT_EQ(region.data()[0], std::byte{0});
    EXPECT_EQ(region.data()[region.size() - 1], std::byte{0});
    const std::size_t page = bytes < huge_region::page_bytes ? 4096 : huge_region::page_bytes;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(region.data()) % page, 0U) << bytes;
    std::memset(region.data(), 1, region.size());
  }
}

TEST(HugeRegion, MovesWithoutCopying) {
  huge_region first(8192);
  first.data()[5] = std::byte{9};
  const std::byte* at = first.data();
  huge_region second(std::move(first));
  EXPECT_EQ(second.data(), at);
  huge_region third;
  third = std::move(second);
  EXPECT_EQ(third.data()[5], std::byte{9});
}

// ---- row_slab ----

TEST(RowSlab, RowsAreZeroedApartAndNeverMove) {
  for (const std::size_t floats : {1U, 2U, 7U, 64U, 2048U}) {
    row_slab slab(floats * sizeof(float));
    EXPECT_EQ(slab.stride() % 8, 0U);
    EXPECT_GE(slab.stride(), sizeof(row_header) + floats * sizeof(float));
    EXPECT_LT(slab.stride(), sizeof(row_header) + floats * sizeof(float) + 8);
    std::vector<row_header*> rows;
    for (std::uint64_t key = 0; key < 1'000; ++key) {
      row_header* row = slab.at(slab.make(key));
      const auto* bytes = reinterpret_cast<const std::byte*>(row) + sizeof(row->key);
      EXPECT_TRUE(std::all_of(
          bytes, bytes + slab.stride() - 8, [](std::byte b) { return b == std::byte{0}; }));
      std::memset(static_cast<void*>(row), 0xFF, slab.stride());
      row->key = key;
      rows.push_back(row);
    }
    for (std::uint32_t i = 0; i < 1'000; ++i) {
      EXPECT_EQ(slab.at(i), rows[i]);
      EXPECT_EQ(rows[i]->key, i);
    }
  }
}

TEST(RowSlab, CountsOnlyThePagesThatRowsTouched) {
  row_slab slab(64 * sizeof(float));
  EXPECT_EQ(slab.bytes(), 0U);
  slab.make(1);
  constexpr std::size_t small = std::size_t{32} << 10;
  EXPECT_LE(slab.bytes(), small);
  for (std::uint64_t key = 2; key <= 300'000; ++key) slab.make(key);  // three slabs
  EXPECT_GE(slab.bytes(), 300'000 * slab.stride());
  EXPECT_LE(slab.bytes(), 300'000 * slab.stride() + huge_region::page_bytes + small);
}

// ---- row_index ----

TEST(RowIndex, FindsEveryKeyWhileItGrows) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE(testing::Message() << "HEADRACE_SEED=" << seed);
  random_stream random(seed);
  indexed rows;
  std::vector<std::uint64_t> keys;
  bool saw_growth = false;
  for (int i = 0; i < 40'000; ++i) {
    const std::uint64_t key = i % 3 == 0 ? static_cast<std::uint64_t>(i) : random.next();
    if (rows.index.find(key) != nullptr) continue;
    rows.add(key);
    keys.push_back(key);
    const std::uint64_t old = keys[random.next_below(keys.size())];
    ASSERT_NE(rows.index.find(old), nullptr) << "after " << keys.size() << " rows";
    ASSERT_EQ(rows.index.find(old)->key, old);
    saw_growth = saw_growth || rows.index.growing();
  }
  EXPECT_TRUE(saw_growth);
  EXPECT_EQ(rows.index.size(), keys.size());
  std::vector<row_header*> found(keys.size());
  rows.index.find(keys, found);
  for (std::size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(found[i]->key, keys[i]);
}

TEST(RowIndex, FindsManyAsItFindsOneAtEverySizeAndStateOfGrowth) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE(testing::Message() << "HEADRACE_SEED=" << seed);
  random_stream random(seed);
  indexed rows;
  for (std::uint64_t made = 0; made < 3'000; ++made) {
    rows.add(2 * made);
    if (made % 7 != 0) continue;
    std::vector<std::uint64_t> keys(random.next_below(70));
    for (std::uint64_t& key : keys)
      key = random.next_below(4 * made + 4);  // half of the even ones, no odd one
    std::vector<row_header*> found(keys.size());
    rows.index.find(keys, found);
    for (std::size_t i = 0; i < keys.size(); ++i) {
      const bool there = keys[i] % 2 == 0 && keys[i] <= 2 * made;
      ASSERT_EQ(found[i] != nullptr, there) << keys[i] << " at " << made;
      ASSERT_EQ(found[i], rows.index.find(keys[i]));
    }
  }
}

TEST(RowIndex, AGrowthEndsByAdvanceAlone) {
  indexed rows;
  std::uint64_t key = 0;
  while (!rows.index.growing()) rows.add(key++);
  for (int step = 0; rows.index.growing(); ++step) {
    ASSERT_LT(step, 1'000);
    rows.index.advance(10);
  }
  for (std::uint64_t k = 0; k < key; ++k) ASSERT_NE(rows.index.find(k), nullptr);
}

TEST(RowIndex, ProbesOfRandomKeysStayShort) {
  indexed rows;
  for (std::uint64_t key = 0; key < 200'000; ++key) rows.add(key);
  EXPECT_LT(rows.index.probe_max(), 200U);  // about 60 at a load of 5/8
}

TEST(RowIndex, KeysAimedAtOnePlaceMakeItGrowAndAreFound) {
  indexed rows;
  std::vector<std::uint64_t> keys;
  // The same high 28 bits: one home in any table below 2^28 slots; tags agree, too, for a half of
  // them.
  for (std::uint64_t i = 0; i < 2'000; ++i) {
    const std::uint64_t hash = (0xABCDEF1ULL << 36) | (i << 32 >> 1) | (i % 2 == 0 ? i : 77);
    keys.push_back(unmix64(hash) ^ secret);
    ASSERT_EQ(mix64(keys.back() ^ secret), hash);
  }
  std::set<std::uint64_t> different(keys.begin(), keys.end());
  for (const std::uint64_t key : different) rows.add(key);
  for (const std::uint64_t key : different) {
    ASSERT_NE(rows.index.find(key), nullptr);
    ASSERT_EQ(rows.index.find(key)->key, key);
  }
  EXPECT_EQ(rows.index.size(), different.size());
  EXPECT_LE(rows.index.bytes(),
            different.size() * 8 * 32);  // crowding stops growing at a load of 1/8
}

TEST(RowIndex, AKeyAddedWhileCrowdedIsNotLost) {
  // 300 keys of one home cross the probe bound once, with the last insert before growth being the
  // newest row.
  indexed rows;
  for (std::uint64_t i = 0; i < 300; ++i) {
    const std::uint64_t key = unmix64((0x1234567ULL << 36) | i) ^ secret;
    rows.add(key);
    ASSERT_NE(rows.index.find(key), nullptr) << i;
    rows.index.advance(10'000);
    ASSERT_NE(rows.index.find(key), nullptr) << i;
  }
}

TEST(RowIndex, TakesFiveMillionKeys) {
  indexed rows;
  constexpr std::uint64_t n = 5'000'000;
  for (std::uint64_t key = 0; key < n; ++key) rows.add(key * 0x9E3779B97F4A7C15ULL);
  std::vector<std::uint64_t> keys(100'000);
  for (std::uint64_t i = 0; i < keys.size(); ++i)
    keys[i] = (i * 50 + i % 50) * 0x9E3779B97F4A7C15ULL;
  std::vector<row_header*> found(keys.size());
  rows.index.find(keys, found);
  for (std::size_t i = 0; i < keys.size(); ++i) ASSERT_EQ(found[i]->key, keys[i]);
  EXPECT_LE(rows.index.bytes(), n * 40);
}

TEST(RowIndex, FindsWhatIsLeftAfterAnyOrderOfInsertsAndDeletes) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE(testing::Message() << "HEADRACE_SEED=" << seed);
  random_stream random(seed);
  indexed rows;
  std::set<std::uint64_t> there;
  for (int step = 0; step < 60'000; ++step) {
    const std::uint64_t key = random.next_below(4'000);
    if (!there.contains(key)) {
      const bool reuse = !rows.index.growing();
      rows.index.insert(rows.slab.make(key, reuse));
      there.insert(key);
    } else if (!rows.index.growing()) {
      rows.drop(key);
      there.erase(key);
    }
    if (step % 64 != 0) continue;
    std::vector<std::uint64_t> keys(4'000);
    for (std::uint64_t i = 0; i < keys.size(); ++i) keys[i] = i;
    std::vector<row_header*> found(keys.size());
    rows.index.find(keys, found);
    for (const std::uint64_t each : keys) {
      ASSERT_EQ(found[each] != nullptr, there.contains(each)) << each << " after " << step;
      ASSERT_TRUE(found[each] == nullptr || found[each]->key == each);
    }
  }
  EXPECT_EQ(rows.index.size(), there.size());
  EXPECT_EQ(rows.slab.live(), there.size());
}

// ---- table ----

TEST(Table, EvictsCleanRowsUntilItKeepsItsBudgetAndNeverOthers) {
  schemas::table_spec spec = one_table(optimizer_kind::add, 8).tables[0];
  spec.memory_bytes = 64 << 10;
  table rows(spec);
  std::vector<std::uint64_t> keys(4'000);
  for (std::uint64_t i = 0; i < keys.size(); ++i) keys[i] = 3 * i;
  std::vector<row_header*> made(keys.size());
  rows.find_or_make(keys, made);
  for (std::size_t i = 0; i < made.size(); ++i) {
    made[i]->lsn = i % 2 == 0 ? 1 : 9;  // what record 9 changed is not settled
    if (i % 5 == 0) made[i]->flags |= row_flag::pinned_once;
    if (i % 7 == 0) rows.mark_dirty(*made[i]);
  }
  while (rows.growing()) rows.evict(lsn{8}, 1'000);
  for (int round = 0; round < 16; ++round) rows.evict(lsn{8}, SIZE_MAX);
  EXPECT_FALSE(rows.complete());
  std::size_t left = 0;
  for (std::size_t i = 0; i < keys.size(); ++i) {
    const bool kept = i % 2 != 0 || i % 5 == 0 || i % 7 == 0;
    if (rows.find(keys[i]) != nullptr) ++left;
    ASSERT_TRUE(!kept || rows.find(keys[i]) == made[i]) << i;
  }
  EXPECT_EQ(left, rows.rows());
  EXPECT_LT(left, keys.size());
  for (row_header* row : rows.take_dirty()) row->flags &= ~row_flag::dirty;
  rows.visit([](row_header& row) { row.flags &= ~row_flag::pinned; });
  for (int round = 0; round < 16; ++round) rows.evict(lsn{9}, SIZE_MAX);
  EXPECT_FALSE(rows.over_budget());
  EXPECT_LE(rows.rows() * 64, spec.memory_bytes);
  EXPECT_GT(rows.rows() * 128, spec.memory_bytes);
}

TEST(Table, MakesRowsWithTheirInitialValuesAndAccumulators) {
  schemas::table_spec spec = one_table(optimizer_kind::adagrad, 5).tables[0];
  spec.optimizer.first_order_columns = 1;
  spec.optimizer.first_initial_accumulator = 0.5F;
  spec.optimizer.initial_accumulator = 0.25F;
  table rows(spec);
  ASSERT_EQ(rows.shape().payload_bytes, 10 * sizeof(float));
  const std::vector<std::uint64_t> keys = {3, 9, UINT64_MAX, 0};
  std::vector<row_header*> made(keys.size());
  rows.find_or_make(keys, made);
  std::vector<float> initial(keys.size() * 5);
  kernels::init_rows_ref({.keys = keys,
                          .seed = spec.init.seed,
                          .scale = spec.init.scale,
                          .first_order_columns = 1,
                          .dim = 5,
                          .values = initial,
                          .rows = {}});
  for (std::size_t i = 0; i < keys.size(); ++i) {
    EXPECT_EQ(made[i]->key, keys[i]);
    EXPECT_EQ(made[i]->lsn, 0U);
    EXPECT_EQ(made[i]->count, 0U);
    const auto* floats = reinterpret_cast<const float*>(payload(made[i]));
    EXPECT_TRUE(
        std::equal(floats, floats + 5, initial.begin() + static_cast<std::ptrdiff_t>(i * 5)));
    EXPECT_EQ(floats[0], 0.0F);
    EXPECT_NE(floats[1], 0.0F);
    EXPECT_EQ(floats[5], 0.5F);
    for (int column = 6; column < 10; ++column) EXPECT_EQ(floats[column], 0.25F);
  }
}

TEST(Table, FindNeverMakesAndRowsKeepTheirPlace) {
  table rows(one_table(optimizer_kind::add, 3).tables[0]);
  std::vector<std::uint64_t> keys(3'000);
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = i * i;
  std::vector<row_header*> found(keys.size());
  rows.find(keys, found);
  EXPECT_TRUE(std::ranges::all_of(found, [](const row_header* row) { return row == nullptr; }));
  EXPECT_EQ(rows.rows(), 0U);
  std::vector<row_header*> made(1'000);
  rows.find_or_make(std::span(keys).first(1'000), made);
  for (int pass = 0; pass < 2; ++pass) {
    rows.find_or_make(keys, found);
    EXPECT_EQ(rows.rows(), keys.size());
    for (std::size_t i = 0; i < made.size(); ++i) ASSERT_EQ(found[i], made[i]);
  }
  table moved(std::move(rows));
  EXPECT_EQ(moved.find(keys[7]), found[7]);
  std::size_t seen = 0;
  moved.visit([&](const row_header&) { ++seen; });
  EXPECT_EQ(seen, keys.size());
}

TEST(Table, ARowOf256BytesTakesAtMost330BytesWithItsIndex) {
  table rows(one_table(optimizer_kind::add, 64).tables[0]);
  std::vector<std::uint64_t> keys(1'000);
  std::vector<row_header*> made(keys.size());
  for (std::uint64_t batch = 0; batch < 1'000; ++batch) {
    for (std::uint64_t i = 0; i < keys.size(); ++i) keys[i] = batch * 1'000 + i;
    rows.find_or_make(keys, made);
  }
  EXPECT_LE(rows.bytes(), 330U * 1'000'000);
}

}  // namespace
}  // namespace headrace::ps
