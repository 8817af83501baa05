#pragma once

#include "kernels/runtime/device.hpp"

#include <cstdint>

/// Which tile of which group a block of a persistent grid works on, from sizes of groups that only
/// the device knows: blocks take tiles block, block + grid, block + 2 grid … of all tiles, those of
/// group 0 first. No tile number is left unused, so uneven groups cost no more than even ones but
/// for their last, partly filled tiles.
namespace headrace::kernels {

HEADRACE_BOTH constexpr std::uint32_t tiles_of(std::uint32_t n, std::uint32_t tile) {
  return n / tile + (n % tile != 0 ? 1 : 0);
}

/// Groups of the rows of the result: each has its own tiles of rows, of which each has
/// `column_tiles`.
struct tiles_by_rows {
  std::uint32_t tile_rows = 1;
  std::uint32_t column_tiles = 1;
  HEADRACE_BOTH constexpr std::uint32_t operator()(std::uint32_t rows) const {
    return tiles_of(rows, tile_rows) * column_tiles;
  }
};

/// Groups of the rows that are summed over: a group that has any has all `tiles` of its result.
struct tiles_by_sums {
  std::uint32_t tiles = 1;
  HEADRACE_BOTH constexpr std::uint32_t operator()(std::uint32_t rows) const {
    return rows == 0 ? 0 : tiles;
  }
};

/// The most tiles that `rows` rows in `groups` groups can have: what the host sizes a grid by.
HEADRACE_BOTH constexpr std::uint64_t tiles_at_most(std::uint32_t rows,
                                                    std::uint32_t groups,
                                                    const tiles_by_rows& count) {
  const std::uint32_t partial = groups < rows ? groups : rows;
  return (std::uint64_t{rows} / count.tile_rows + partial) * count.column_tiles;
}

namespace device {

/// Tile `nth` of a group with rows [begin, end); none: there are no more.
struct group_tile {
  bool none = true;
  std::uint32_t group = 0;
  std::uint32_t nth = 0;
  std::uint32_t begin = 0;
  std::uint32_t end = 0;
};

/// A warp's search for ascending tile numbers: it counts the tiles of 32 groups at once.
template <class Count>
class tile_search {
 public:
  HEADRACE_DEVICE tile_search(const std::uint32_t* offsets,
                              std::uint32_t groups,
                              const Count& count)
      : offsets_(offsets), groups_(groups), count_(count) {
    look_at(0);
  }

  /// `number` is at least that of the call before. All lanes get the same answer.
  HEADRACE_DEVICE group_tile find(std::uint32_t number) {
    std::uint32_t here = shuffle(through_, warp_threads - 1);
    while (number - before_ >= here) {
      if (first_ + warp_threads >= groups_) return {};
      before_ += here;
      look_at(first_ + warp_threads);
      here = shuffle(through_, warp_threads - 1);
    }
    const std::uint32_t wanted = number - before_;
    const std::uint32_t place = warp_sum(through_ <= wanted ? 1U : 0U);
    const std::uint32_t skipped = shuffle(through_ - own_, place);
    return {false, first_ + place, wanted - skipped, shuffle(begin_, place), shuffle(end_, place)};
  }

 private:
  HEADRACE_DEVICE void look_at(std::uint32_t first) {
    first_ = first;
    const std::uint32_t group = first + lane();
    begin_ = group < groups_ ? offsets_[group] : 0;
    end_ = group < groups_ ? offsets_[group + 1] : 0;
    own_ = count_(end_ - begin_);
    through_ = own_;
    HEADRACE_UNROLL
    for (unsigned step = 1; step < warp_threads; step *= 2) {
      const std::uint32_t before = shuffle_up(through_, step);
      if (lane() >= step) through_ += before;
    }
  }

  const std::uint32_t* offsets_;
  std::uint32_t groups_;
  Count count_;
  std::uint32_t first_ = 0;   // of the 32 groups looked at
  std::uint32_t before_ = 0;  // tiles of the groups before them
  std::uint32_t begin_ = 0;   // rows of this lane's group
  std::uint32_t end_ = 0;
  std::uint32_t own_ = 0;      // its tiles
  std::uint32_t through_ = 0;  // tiles of the groups looked at up to it
};

}  // namespace device
}  // namespace headrace::kernels
