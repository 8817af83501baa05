#include "kernels/attention/mask.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <string>
#include <vector>

namespace headrace::kernels {
namespace {

/// Calls check(mask) with every mask of a few small windows and globals.
template <class Check>
void for_each_mask(const Check& check) {
  for (const bool causal : {false, true}) {
    for (const std::size_t window : {0UL, 1UL, 2UL, 5UL, 40UL, attention_mask::no_window}) {
      for (const std::size_t globals : {0UL, 1UL, 3UL, 8UL, 40UL}) {
        SCOPED_TRACE("causal " + std::to_string(causal) + ", window " + std::to_string(window) +
                     ", globals " + std::to_string(globals));
        check(attention_mask{.causal = causal, .window = window, .globals = globals});
      }
    }
  }
}

/// Whether any query of [first, last) sees each of n keys.
std::vector<bool> seen_keys(const attention_mask& mask,
                            std::size_t first,
                            std::size_t last,
                            std::size_t n) {
  std::vector<bool> seen(n);
  for (std::size_t i = first; i < last; ++i) {
    for (std::size_t j = 0; j < n; ++j) seen[j] = seen[j] || sees(mask, i, j);
  }
  return seen;
}

TEST(AttentionMask, FollowsItsRule) {
  const attention_mask causal = {.causal = true, .window = 2, .globals = 1};
  EXPECT_TRUE(sees(causal, 5, 5));
  EXPECT_TRUE(sees(causal, 5, 4));
  EXPECT_FALSE(sees(causal, 5, 3));  // a window of 2 counts the query itself
  EXPECT_TRUE(sees(causal, 5, 0));
  EXPECT_FALSE(sees(causal, 0, 1));  // a global query does not see what comes after it
  const attention_mask both = {.window = 2, .globals = 1};
  EXPECT_TRUE(sees(both, 5, 6));
  EXPECT_FALSE(sees(both, 5, 7));
  EXPECT_TRUE(sees(both, 0, 7));
  EXPECT_TRUE(sees(both, 7, 0));
}

TEST(AttentionMask, TilesVisitedHoldExactlyTheKeysThatAreSeen) {
  constexpr std::size_t tile = 4;
  for_each_mask([](const attention_mask& mask) {
    for (const std::size_t n : {1UL, 7UL, 23UL}) {
      for (std::size_t first = 0; first < n; ++first) {
        for (std::size_t last = first + 1; last <= n; last += 3) {
          const std::vector<bool> seen = seen_keys(mask, first, last, n);
          const key_ranges ranges = visible_keys(mask, first, last, n);
          std::vector<bool> visited(n);
          for (std::size_t t = next_tile(ranges, 0, tile); t < ranges.end;
               t = next_tile(ranges, t + tile, tile)) {
            ASSERT_EQ(t % tile, 0U);
            const key_span part = within_tile(ranges, t, t + tile);
            if (part.begin >= part.end) continue;
            ASSERT_LE(part.end, n);
            ASSERT_TRUE(seen[part.begin]) << first << ", " << last << " of " << n;
            ASSERT_TRUE(seen[part.end - 1]) << first << ", " << last << " of " << n;
            for (std::size_t j = part.begin; j < part.end; ++j) {
              ASSERT_FALSE(visited[j]);
              visited[j] = true;
            }
          }
          for (std::size_t j = 0; j < n; ++j) ASSERT_LE(seen[j], visited[j]) << "key " << j;
        }
      }
    }
  });
}

}  // namespace
}  // namespace headrace::kernels
