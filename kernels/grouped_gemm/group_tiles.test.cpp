#include "kernels/grouped_gemm/group_tiles.hpp"

#include "base/random.hpp"
#include "kernels/runtime/emulated_cases.hpp"
#include "kernels/runtime/emulated_grid.hpp"

#include <gtest/gtest.h>

#include <vector>

namespace headrace::kernels {
namespace {

struct wanted_tile {
  std::uint32_t group = 0;
  std::uint32_t nth = 0;
};

/// Offsets of groups of up to `most` rows, a third of them empty.
std::vector<std::uint32_t> drawn_offsets(std::uint32_t groups,
                                         std::uint32_t most,
                                         random_stream& draw) {
  std::vector<std::uint32_t> offsets{0};
  for (std::uint32_t g = 0; g < groups; ++g) {
    const auto rows = static_cast<std::uint32_t>(draw.next_below(most + 1));
    offsets.push_back(offsets.back() + (draw.next_below(3) == 0 ? 0 : rows));
  }
  return offsets;
}

template <class Count>
std::vector<wanted_tile> all_tiles(const std::vector<std::uint32_t>& offsets, const Count& count) {
  std::vector<wanted_tile> tiles;
  for (std::uint32_t g = 0; g + 1 < offsets.size(); ++g) {
    for (std::uint32_t n = 0; n < count(offsets[g + 1] - offsets[g]); ++n) tiles.push_back({g, n});
  }
  return tiles;
}

/// Every block of a grid of one warp asks for its tiles, and for those behind the last.
template <class Count>
void check_search(const std::vector<std::uint32_t>& offsets, const Count& count) {
  const std::vector<wanted_tile> wanted = all_tiles(offsets, count);
  constexpr std::uint32_t blocks = 3;
  std::vector<unsigned> found(wanted.size());
  emulate({.grid = {blocks}, .threads = 32, .seed = test_seed()}, [&] {
    device::tile_search search(
        offsets.data(), static_cast<std::uint32_t>(offsets.size() - 1), count);
    for (std::uint32_t number = device::block_index().x; number < wanted.size() + 7;
         number += blocks) {
      const device::group_tile tile = search.find(number);
      ASSERT_EQ(tile.none, number >= wanted.size()) << number;
      if (tile.none) continue;
      EXPECT_EQ(tile.group, wanted[number].group) << number;
      EXPECT_EQ(tile.nth, wanted[number].nth) << number;
      EXPECT_EQ(tile.begin, offsets[tile.group]);
      EXPECT_EQ(tile.end, offsets[tile.group + 1]);
      found[number] += device::lane() == 0 ? 1 : 0;
    }
  });
  EXPECT_EQ(found, std::vector<unsigned>(wanted.size(), 1));
}

TEST(GroupTiles, EveryTileIsFoundOnceByOneBlock) {
  random_stream draw(test_seed());
  for (const std::uint32_t groups : {1U, 2U, 31U, 32U, 33U, 64U, 100U}) {
    const std::vector<std::uint32_t> offsets = drawn_offsets(groups, 40, draw);
    check_search(offsets, tiles_by_rows{16, 3});
    check_search(offsets, tiles_by_sums{4});
  }
}

TEST(GroupTiles, GroupsMayAllBeEmpty) {
  check_search({0, 0}, tiles_by_rows{16, 3});
  check_search(std::vector<std::uint32_t>(65, 0), tiles_by_rows{16, 1});
  check_search(std::vector<std::uint32_t>(40, 0), tiles_by_sums{2});
}

TEST(GroupTiles, TheGridIsNeverTooSmall) {
  random_stream draw(test_seed());
  std::uint64_t met = 0;
  for (int i = 0; i < 200; ++i) {
    const auto groups = static_cast<std::uint32_t>(1 + draw.next_below(9));
    const std::vector<std::uint32_t> offsets = drawn_offsets(groups, 20, draw);
    const tiles_by_rows count{8, 2};
    const std::uint64_t most = tiles_at_most(offsets.back(), groups, count);
    EXPECT_LE(all_tiles(offsets, count).size(), most);
    met += all_tiles(offsets, count).size() == most ? 1 : 0;
  }
  EXPECT_GT(met, 0U) << "the bound is met by some";
}

}  // namespace
}  // namespace headrace::kernels
