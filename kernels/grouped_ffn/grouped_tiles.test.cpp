#include "kernels/grouped_ffn/grouped_tiles.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <set>
#include <tuple>

namespace headrace::kernels {
namespace {

TEST(GroupedTiles, CoverEachRowAndColumnOfEachExpertOnce) {
  random_stream random(test_seed());
  for (int round = 0; round < 200; ++round) {
    const auto experts = static_cast<std::uint32_t>(1 + random.next_below(9));
    const auto column_tiles = static_cast<std::uint32_t>(1 + random.next_below(4));
    std::vector<std::uint32_t> offsets = {0};
    std::vector<std::uint32_t> begins = {0};
    for (std::uint32_t e = 0; e < experts; ++e) {
      const std::uint64_t most = random.next_below(2) == 0 ? 20 : 400;
      const auto rows = static_cast<std::uint32_t>(random.next_below(3) * random.next_below(most));
      offsets.push_back(offsets.back() + rows);
      begins.push_back(begins.back() + grouped_tiles_of(rows, column_tiles));
    }
    std::set<std::tuple<std::uint32_t, std::uint32_t, std::uint32_t>> seen;  // expert, row, column
    for (std::uint32_t t = 0; t < begins.back(); ++t) {
      const grouped_tile tile = grouped_tile_at(offsets.data(), begins.data(), experts, t);
      ASSERT_LT(tile.expert, experts);
      ASSERT_LT(tile.column_tile, column_tiles);
      const std::uint32_t rows = offsets[tile.expert + 1] - offsets[tile.expert];
      ASSERT_LT(tile.row, rows) << "an empty tile, seed " << test_seed();
      ASSERT_EQ(tile.tile_rows, grouped_tile_rows(rows));
      for (std::uint32_t r = tile.row; r < std::min(tile.row + tile.tile_rows, rows); ++r) {
        ASSERT_TRUE(seen.emplace(tile.expert, r, tile.column_tile).second) << "twice";
      }
    }
    ASSERT_EQ(seen.size(), std::size_t{offsets.back()} * column_tiles) << "seed " << test_seed();
  }
}

TEST(GroupedTiles, AreOfTheSizeThatFewRowsNeed) {
  EXPECT_EQ(grouped_tile_rows(1), 16U);
  EXPECT_EQ(grouped_tile_rows(16), 16U);
  EXPECT_EQ(grouped_tile_rows(17), 64U);
  EXPECT_EQ(grouped_tile_rows(64), 64U);
  EXPECT_EQ(grouped_tile_rows(65), 128U);
  EXPECT_EQ(grouped_tiles_of(0, 7), 0U);
  EXPECT_EQ(grouped_tiles_of(129, 7), 14U);
}

}  // namespace
}  // namespace headrace::kernels
