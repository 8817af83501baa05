#include "kernels/gather_pool/segments.hpp"

#include "base/random.hpp"
#include "kernels/runtime/test_cases.hpp"

#include <map>
#include <set>
#include <utility>
#include <vector>

namespace headrace::kernels {
namespace {

using namespace device;

TEST(Segments, TilesOfALongRowCoverItOnceAndShareNoSlot) {
  random_stream random(test_seed());
  for (int round = 0; round < 200; ++round) {
    SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(test_seed()) + ", round " +
                 std::to_string(round));
    std::vector<segment> rows;
    std::uint32_t at = 0;
    for (int i = 0; i < 12; ++i) {
      const std::uint32_t lengths[] = {1, 3, 255, 256, 257, 511, 512, 513, 1'000};
      const std::uint32_t length = lengths[random.next_below(9)];
      rows.push_back({at, at + length});
      at += length;
    }
    std::set<std::pair<std::uint32_t, unsigned>> taken;
    for (const segment row : rows) {
      EXPECT_EQ(is_long(row), row.end - row.begin > 256);
      if (!is_long(row)) continue;
      std::uint32_t next = row.begin;
      for (std::uint32_t tile = 0; tile < tiles_of(at); ++tile) {
        const segment part = part_in_tile(row, tile);
        if (part.begin == part.end) continue;
        EXPECT_EQ(part.begin, next);
        EXPECT_EQ(part.begin / tile_positions, tile);
        EXPECT_EQ((part.end - 1) / tile_positions, tile);
        EXPECT_TRUE(taken.insert({tile, slot_in_tile(row, tile)}).second) << "tile " << tile;
        next = part.end;
      }
      EXPECT_EQ(next, row.end);
    }
  }
}

TEST(Segments, TheEndOfTheRangeDoesNotWrap) {
  const segment row = {0xFFFFFF00U, 0xFFFFFFFFU};
  EXPECT_EQ(tiles_of(0xFFFFFFFFU), 0x1000000U);
  const segment part = part_in_tile(row, 0xFFFFFFU);
  EXPECT_EQ(part.begin, 0xFFFFFF00U);
  EXPECT_EQ(part.end, 0xFFFFFFFFU);
}

TEST(Segments, TheBagOfAnOccurrenceSkipsEmptyBags) {
  const std::vector<std::uint32_t> offsets = {0, 0, 2, 2, 2, 5, 6, 6};
  const std::uint32_t wanted[] = {1, 1, 4, 4, 4, 5};
  for (std::uint32_t i = 0; i < 6; ++i) EXPECT_EQ(bag_of(offsets.data(), 7, i), wanted[i]) << i;
}

}  // namespace
}  // namespace headrace::kernels
