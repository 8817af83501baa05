#include "kernels/attention/tile_schedule.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace headrace::kernels {
namespace {

using offsets = std::vector<std::uint32_t>;

offsets offsets_of(const std::vector<std::uint32_t>& lengths) {
  offsets sums = {0};
  for (const std::uint32_t n : lengths) sums.push_back(sums.back() + n);
  return sums;
}

/// Batches around the tiles' edges, empty sequences in every place, and one drawn.
std::vector<offsets> batches() {
  random_stream random(test_seed());
  std::vector<std::uint32_t> drawn;
  for (int s = 0; s < 1'100; ++s)
    drawn.push_back(
        static_cast<std::uint32_t>(random.next_below(4) == 0 ? 0 : random.next_below(70)));
  return {offsets_of({}),
          offsets_of({0}),
          offsets_of({1}),
          offsets_of({16, 16, 32}),
          offsets_of({0, 0, 5, 0, 17, 16, 15, 0}),
          offsets_of({64, 1, 0, 63, 130}),
          offsets_of(std::vector<std::uint32_t>(40, 0)),
          offsets_of(drawn)};
}

/// The search as a warp does it, a round at a time.
std::uint32_t find_sequence(const offsets& of, std::uint32_t number, std::uint32_t rows) {
  search_span span = {0, static_cast<std::uint32_t>(of.size() - 1)};
  while (span.count > 1) {
    std::uint32_t found = 0;
    for (std::uint32_t lane = 0; lane < 32; ++lane) {
      const std::uint32_t s = span.probe(lane);
      found += span.has_probe(lane) && first_tile(of[s], s, rows) <= number ? 1U : 0U;
    }
    span = span.narrowed(found);
  }
  return span.first;
}

TEST(AttentionTileSchedule, NumbersEveryTileOfABatchOnceAndFewOthers) {
  for (const offsets& of : batches()) {
    for (const std::uint32_t rows : {16U, 32U, 64U, 128U}) {
      const auto sequences = static_cast<std::uint32_t>(of.size() - 1);
      std::set<std::pair<std::uint32_t, std::uint32_t>> met;
      std::uint32_t unused = 0;
      for (std::uint32_t t = 0; t < tile_numbers(of.back(), sequences, rows); ++t) {
        const std::uint32_t s = find_sequence(of, t, rows);
        const sequence_tile tile = tile_of(t, s, of[s], of[s + 1], rows);
        if (tile.empty()) {
          ++unused;
          continue;
        }
        ASSERT_EQ(tile.first % rows, 0U);
        ASSERT_EQ(tile.last, std::min(tile.first + rows, of[s + 1] - of[s]));
        ASSERT_EQ(tile.offset, of[s]);
        ASSERT_TRUE(met.insert({s, tile.first}).second) << "met twice: " << s << ", " << tile.first;
      }
      std::size_t needed = 0;
      for (std::uint32_t s = 0; s < sequences; ++s) needed += (of[s + 1] - of[s] + rows - 1) / rows;
      ASSERT_EQ(met.size(), needed) << "rows " << rows << ", HEADRACE_SEED=" << test_seed();
      ASSERT_LE(unused, sequences);
    }
  }
}

TEST(AttentionTileSchedule, StartsWithTheLastTileOfASequence) {
  EXPECT_EQ(tile_of(0, 0, 0, 100, 16).first, 96U);
  EXPECT_EQ(tile_of(6, 0, 0, 100, 16).first, 0U);
}

template <class Check>
void for_each_mask(const Check& check) {
  for (const bool causal : {false, true}) {
    for (const std::size_t window :
         {0UL, 1UL, 2UL, 5UL, 7UL, 12UL, 40UL, attention_mask::no_window}) {
      for (const std::size_t globals : {0UL, 1UL, 3UL, 8UL, 9UL, 40UL}) {
        SCOPED_TRACE("causal " + std::to_string(causal) + ", window " + std::to_string(window) +
                     ", globals " + std::to_string(globals));
        check(attention_mask{.causal = causal, .window = window, .globals = globals});
      }
    }
  }
}

/// Pairs (query tile, key tile) of a sequence in which any query sees any key.
using tile_pairs = std::set<std::pair<std::uint32_t, std::uint32_t>>;
tile_pairs needed_pairs(const attention_mask& mask,
                        std::uint32_t n,
                        std::uint32_t queries,
                        std::uint32_t keys) {
  tile_pairs pairs;
  for (std::uint32_t i = 0; i < n; ++i) {
    for (std::uint32_t j = 0; j < n; ++j) {
      if (sees(mask, i, j)) pairs.insert({i / queries, j / keys});
    }
  }
  return pairs;
}

sequence_tile nth_tile(std::uint32_t t, std::uint32_t n, std::uint32_t rows) {
  return {0, 0, n, t * rows, std::min(n, (t + 1) * rows)};
}

TEST(AttentionTileSchedule, VisitsEveryPairOfTilesThatHasWorkOnceAndNoOther) {
  for_each_mask([](const attention_mask& mask) {
    for (const std::uint32_t n : {1U, 4U, 7U, 23U, 48U}) {
      for (const auto& [queries, keys] : {std::pair{4U, 4U}, {8U, 4U}, {4U, 8U}, {1U, 5U}}) {
        const tile_pairs needed = needed_pairs(mask, n, queries, keys);
        tile_pairs by_query;
        for (std::uint32_t t = 0; t * queries < n; ++t) {
          const tile_walk walk = walk_keys(narrowed(mask), nth_tile(t, n, queries), keys);
          for (std::uint32_t k = 0; k < walk.count; ++k) {
            ASSERT_TRUE(k == 0 || walk.at(k - 1) < walk.at(k));
            by_query.insert({t, walk.at(k)});
          }
        }
        ASSERT_EQ(by_query, needed) << n << " tokens, tiles " << queries << " by " << keys;
        tile_pairs by_key;
        for (std::uint32_t t = 0; t * keys < n; ++t) {
          const tile_walk walk = walk_queries(narrowed(mask), nth_tile(t, n, keys), queries);
          for (std::uint32_t k = 0; k < walk.count; ++k) {
            ASSERT_TRUE(k == 0 || walk.at(k - 1) < walk.at(k));
            by_key.insert({walk.at(k), t});
          }
        }
        ASSERT_EQ(by_key, needed) << n << " tokens, tiles " << queries << " by " << keys;
      }
    }
  });
}

TEST(AttentionTileSchedule, MasksInNarrowIntegersAsInWideOnes) {
  for_each_mask([](const attention_mask& mask) {
    for (std::int32_t i = 0; i < 30; ++i) {
      for (std::int32_t j = 0; j < 30; ++j) {
        const bool wide = sees(mask, static_cast<std::size_t>(i), static_cast<std::size_t>(j));
        ASSERT_EQ(sees(narrowed(mask), i, j), wide) << i << ", " << j;
      }
    }
  });
}

TEST(AttentionTileSchedule, CallsATileWholeOnlyWhereNothingIsHidden) {
  int whole = 0;
  int missed = 0;
  for_each_mask([&](const attention_mask& mask) {
    for (std::int32_t i = 0; i < 24; i += 4) {
      for (std::int32_t j = 0; j < 24; j += 4) {
        bool all = true;
        for (std::int32_t at = 0; at < 16; ++at)
          all = all && sees(narrowed(mask), i + at / 4, j + at % 4);
        const bool called = all_seen(narrowed(mask), i, i + 4, j, j + 4);
        ASSERT_TRUE(all || !called) << i << ", " << j;
        whole += called ? 1 : 0;
        missed += all && !called ? 1 : 0;
      }
    }
  });
  EXPECT_GT(whole, 0);
  EXPECT_LE(missed * 20, whole);  // tiles seen by two rules together are masked for nothing
}

TEST(AttentionTileSchedule, CallsATileHiddenExactlyWhereNothingIsSeen) {
  for_each_mask([](const attention_mask& mask) {
    for (std::int32_t i = 0; i < 24; i += 4) {
      for (std::int32_t j = 0; j < 24; j += 4) {
        bool any = false;
        for (std::int32_t at = 0; at < 16; ++at)
          any = any || sees(narrowed(mask), i + at / 4, j + at % 4);
        ASSERT_EQ(none_seen(narrowed(mask), i, i + 4, j, j + 4), !any) << i << ", " << j;
      }
    }
  });
}

TEST(AttentionTileSchedule, OfAWindowThatHidesNothingIsThatOfNoWindow) {
  for (const bool causal : {false, true}) {
    for (std::uint32_t first = 0; first < 48; first += 16) {
      const sequence_tile tile = {0, 0, 48, first, first + 16};
      const tile_walk all = walk_keys(narrowed(attention_mask{.causal = causal}), tile, 8);
      const tile_walk near = walk_keys(
          narrowed(attention_mask{.causal = causal, .window = 48, .globals = 3}), tile, 8);
      ASSERT_EQ(all.count, near.count);
      for (std::uint32_t k = 0; k < all.count; ++k) ASSERT_EQ(all.at(k), near.at(k));
    }
  }
}

TEST(AttentionTileSchedule, ReadsGlobalTilesThenTheWindows) {
  const attention_mask mask = {.causal = true, .window = 10, .globals = 5};
  const tile_walk walk = walk_keys(narrowed(mask), {0, 0, 200, 96, 112}, 8);
  ASSERT_EQ(walk.count, 5U);  // keys [0, 5) and [87, 112)
  EXPECT_EQ(walk.at(0), 0U);
  EXPECT_EQ(walk.at(1), 10U);
  EXPECT_EQ(walk.at(4), 13U);
}

}  // namespace
}  // namespace headrace::kernels
