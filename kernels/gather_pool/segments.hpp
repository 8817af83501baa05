#pragma once

#include "kernels/runtime/device.hpp"

#include <cstdint>

/// Index logic of sums over sorted occurrences: which positions belong to a row, and how a long
/// row's are cut into tiles, so that no row is one team's work alone. Functions of the data only,
/// never of the device: sums have one order everywhere.
namespace headrace::kernels::device {

/// Positions of a tile. Rows with at most as many occurrences are short.
constexpr std::uint32_t tile_positions = 256;

/// Sorted positions [begin, end).
struct segment {
  std::uint32_t begin;
  std::uint32_t end;
};

HEADRACE_BOTH bool is_long(segment row) { return row.end - row.begin > tile_positions; }

HEADRACE_BOTH std::uint32_t tiles_of(std::uint32_t positions) {
  return positions / tile_positions + (positions % tile_positions != 0 ? 1U : 0U);
}

/// The part of a row that lies in a tile; begin == end where none does.
HEADRACE_BOTH segment part_in_tile(segment row, std::uint32_t tile) {
  const std::uint64_t first = std::uint64_t{tile} * tile_positions;
  const std::uint64_t last = first + tile_positions;
  const std::uint64_t begin = row.begin > first ? row.begin : first;
  const std::uint64_t end = row.end < last ? row.end : last;
  if (begin >= end) return {row.end, row.end};
  return {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)};
}

/// A tile meets at most two long rows: the one its first position belongs to (slot 0) and the one
/// its last position belongs to, where that is another (slot 1). Anything between them is shorter
/// than a tile. So the slot of a long row in its first tile is 1 unless it begins the tile, in all
/// others 0.
HEADRACE_BOTH unsigned slot_in_tile(segment row, std::uint32_t tile) {
  return row.begin > std::uint64_t{tile} * tile_positions ? 1U : 0U;
}

/// The bag that occurrence `i` belongs to: offsets [bags + 1] ascending from 0, offsets[bags] > i.
HEADRACE_BOTH std::uint32_t bag_of(const std::uint32_t* offsets,
                                   std::uint32_t bags,
                                   std::uint32_t i) {
  std::uint32_t low = 0;  // offsets[low] <= i < offsets[high]
  std::uint32_t high = bags;
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    if (offsets[middle] <= i) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace headrace::kernels::device
