#pragma once

#include "kernels/runtime/device.hpp"

/// Which pairs of fields a thread of dot_interaction's kernel has: index logic, host and device.
namespace headrace::kernels {

/// Fields in a tile's row and column.
constexpr unsigned dot_tile = 4;

/// Fields that stand at a distance of `stride` make up a tile: I, I + stride, I + 2 stride, …, so
/// that neighbouring threads read neighbouring rows of shared memory. Fields beyond the last are
/// padding.
HEADRACE_BOTH constexpr unsigned dot_stride(unsigned fields) {
  return (fields + dot_tile - 1) / dot_tile;
}

/// Pairs of tiles (I, J) with J <= I: together they have each pair of different fields once, the
/// diagonal ones twice (there only a > b counts).
HEADRACE_BOTH constexpr unsigned dot_tiles(unsigned stride) { return stride * (stride + 1) / 2; }

struct dot_tile_index {
  unsigned i;
  unsigned j;
};

/// The t-th pair of tiles, row by row of the lower triangle.
HEADRACE_BOTH constexpr dot_tile_index dot_tile_at(unsigned t) {
  unsigned i = 0;
  while (t > i) {
    t -= i + 1;
    ++i;
  }
  return {i, t};
}

/// Where the pair (i, j) stands in a row of outputs, in either order; i != j.
HEADRACE_BOTH constexpr unsigned dot_pair(unsigned i, unsigned j) {
  return i > j ? i * (i - 1) / 2 + j : j * (j - 1) / 2 + i;
}

}  // namespace headrace::kernels
