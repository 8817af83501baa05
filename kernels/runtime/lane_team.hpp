#pragma once

#include "kernels/runtime/device.hpp"

#include <cstddef>
#include <cstdint>

/// Narrow rows side by side in a warp: a team of 1, 2, 4 … 32 neighbouring lanes has a row.
namespace headrace::kernels::device {

/// Columns that a lane moves at a time: 16 bytes of f32.
constexpr unsigned columns_a_lane = 4;

/// Lanes for rows of `dim` columns: enough that each has at most four, the whole warp for wide
/// rows.
HEADRACE_BOTH unsigned team_lanes(std::uint32_t dim) {
  unsigned lanes = 1;
  while (lanes < warp_threads && lanes * columns_a_lane < dim) lanes *= 2;
  return lanes;
}

/// Threads of a block of teams: four warps, so that many blocks are resident whatever a row needs.
constexpr unsigned team_block_threads = 128;

/// Blocks for one team a row.
HEADRACE_BOTH unsigned team_blocks(std::uint32_t rows, std::uint32_t dim) {
  const unsigned a_block = team_block_threads / team_lanes(dim);
  return rows / a_block + (rows % a_block != 0 ? 1U : 0U);
}

/// The row of this lane's team; may lie beyond the last one: such a team still takes part in
/// shuffles.
HEADRACE_DEVICE std::uint64_t team_row(unsigned lanes) {
  return (std::uint64_t{block_index().x} * block_threads() + thread_index()) / lanes;
}

/// This lane's first column; the next ones are at steps of 4 * lanes.
HEADRACE_DEVICE std::uint32_t first_column(unsigned lanes) {
  return thread_index() % lanes * columns_a_lane;
}

/// The largest over the lanes of a team, in each of them. All lanes of the warp call it.
HEADRACE_DEVICE float team_max(float value, unsigned lanes) {
  for (unsigned step = lanes / 2; step > 0; step /= 2) {
    const float other = shuffle_xor(value, step);
    value = other > value ? other : value;
  }
  return value;
}

/// |value| without a call that only one compiler has; NaN stays one.
HEADRACE_DEVICE float magnitude(float value) { return value < 0.0F ? -value : value; }

/// Four neighbouring columns.
struct alignas(16) four_columns {
  float at[columns_a_lane];
};

/// Four columns of a row of floats from `c` on, zeros from `dim` on. `vectors`: the row is 16-byte
/// aligned and dim a multiple of 4.
HEADRACE_DEVICE four_columns load_columns(const float* row,
                                          std::uint32_t c,
                                          std::uint32_t dim,
                                          bool vectors) {
  four_columns out = {{0.0F, 0.0F, 0.0F, 0.0F}};
  if (vectors) {
    if (c < dim) out = *reinterpret_cast<const four_columns*>(row + c);
    return out;
  }
  HEADRACE_UNROLL
  for (unsigned j = 0; j < columns_a_lane; ++j) {
    if (c + j < dim) out.at[j] = row[c + j];
  }
  return out;
}

HEADRACE_DEVICE void store_columns(
    float* row, std::uint32_t c, std::uint32_t dim, bool vectors, const four_columns& from) {
  if (vectors) {
    if (c < dim) *reinterpret_cast<four_columns*>(row + c) = from;
    return;
  }
  HEADRACE_UNROLL
  for (unsigned j = 0; j < columns_a_lane; ++j) {
    if (c + j < dim) row[c + j] = from.at[j];
  }
}

/// Whether rows of `dim` elements of `bytes` each can be moved in groups of four.
HEADRACE_BOTH bool moves_in_fours(const void* first, std::uint32_t dim, unsigned bytes) {
  return dim % columns_a_lane == 0 &&
         reinterpret_cast<std::uintptr_t>(first) % (columns_a_lane * bytes) == 0;
}

}  // namespace headrace::kernels::device
