#pragma once

#include "kernels/runtime/device.hpp"

#include <cstdint>

/// Which tile of which expert a block of a grouped product has: index logic, host and device.
namespace headrace::kernels {

/// Columns of a tile.
constexpr unsigned grouped_columns = 128;

/// Rows of an expert's tiles, by how many rows it has: a tile of 128 for 5 rows would throw most of
/// its multiplications away.
HEADRACE_BOTH constexpr unsigned grouped_tile_rows(std::uint32_t rows) {
  if (rows <= 16) return 16;
  return rows <= 64 ? 64 : 128;
}

HEADRACE_BOTH constexpr std::uint32_t grouped_row_tiles(std::uint32_t rows) {
  const unsigned of_tile = grouped_tile_rows(rows);
  return rows / of_tile + (rows % of_tile != 0 ? 1 : 0);
}

/// Tiles of an expert with `rows` rows, `column_tiles` of them beside each other; none without
/// rows.
HEADRACE_BOTH constexpr std::uint32_t grouped_tiles_of(std::uint32_t rows,
                                                       std::uint32_t column_tiles) {
  return grouped_row_tiles(rows) * column_tiles;
}

/// A tile: rows [row, row + tile_rows) of the expert's own, columns of the column tile.
struct grouped_tile {
  std::uint32_t expert;
  std::uint32_t row;
  std::uint32_t column_tile;
  unsigned tile_rows;
};

/// The expert of tile `t`: the last whose tiles don't begin behind it. `begins` [experts + 1]:
/// exclusive sums of grouped_tiles_of, so experts without rows have no tile.
HEADRACE_BOTH constexpr std::uint32_t grouped_expert_of(const std::uint32_t* begins,
                                                        std::uint32_t experts,
                                                        std::uint32_t t) {
  std::uint32_t low = 0;
  std::uint32_t high = experts;
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    if (begins[middle] <= t) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

/// Tile t < begins[experts]. Row tiles go first: blocks that run at the same time read the same
/// columns of an expert's weights.
HEADRACE_BOTH constexpr grouped_tile grouped_tile_at(const std::uint32_t* offsets,
                                                     const std::uint32_t* begins,
                                                     std::uint32_t experts,
                                                     std::uint32_t t) {
  const std::uint32_t e = grouped_expert_of(begins, experts, t);
  const std::uint32_t rows = offsets[e + 1] - offsets[e];
  const std::uint32_t row_tiles = grouped_row_tiles(rows);
  const std::uint32_t own = t - begins[e];
  const unsigned of_tile = grouped_tile_rows(rows);
  return {e, own % row_tiles * of_tile, own / row_tiles, of_tile};
}

}  // namespace headrace::kernels
