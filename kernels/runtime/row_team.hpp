#pragma once

#include "kernels/runtime/device.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>

/// Rows of floats shared by a team of threads: a warp, or a block of several.
namespace headrace::kernels::device {

/// Four neighbouring columns.
struct alignas(16) four_floats {
  float v[4];
};

/// Four columns from `c` on; those at or beyond `dim` are 0. `aligned`: row and c are multiples of
/// 16 bytes, and so is dim.
HEADRACE_DEVICE four_floats load_four(const float* row, unsigned c, unsigned dim, bool aligned) {
  four_floats out = {{0.0F, 0.0F, 0.0F, 0.0F}};
  if (aligned) {
    if (c < dim) out = std::bit_cast<four_floats>(load_16(row + c));
    return out;
  }
  HEADRACE_UNROLL
  for (unsigned j = 0; j < 4; ++j) {
    if (c + j < dim) out.v[j] = row[c + j];
  }
  return out;
}

HEADRACE_DEVICE void store_four(
    float* row, unsigned c, unsigned dim, bool aligned, const four_floats& from) {
  if (aligned) {
    if (c < dim) store_16(row + c, std::bit_cast<words_4>(from));
    return;
  }
  HEADRACE_UNROLL
  for (unsigned j = 0; j < 4; ++j) {
    if (c + j < dim) row[c + j] = from.v[j];
  }
}

/// Which row of the grid this thread's team has. A team is a warp (Team 32, several a block) or the
/// whole block.
template <unsigned Team>
HEADRACE_DEVICE std::size_t team_index() {
  if constexpr (Team == 32) {
    return std::size_t{block_index().x} * (block_threads() / 32) + warp();
  } else {
    return block_index().x;
  }
}

/// The number of teams in the grid.
template <unsigned Team>
HEADRACE_DEVICE std::size_t team_count() {
  return std::size_t{grid_blocks().x} * (Team == 32 ? block_threads() / 32 : 1);
}

/// This thread's part of a row of `dim` columns: of step s, the four from column(s) on.
template <unsigned Team>
struct row_part {
  unsigned dim;
  bool aligned;

  HEADRACE_DEVICE unsigned column(unsigned step) const {
    const unsigned member = Team == 32 ? lane() : thread_index();
    return (step * Team + member) * 4;
  }
  HEADRACE_DEVICE four_floats load(const float* row, unsigned step) const {
    return load_four(row, column(step), dim, aligned);
  }
  HEADRACE_DEVICE void store(float* row, unsigned step, const four_floats& from) const {
    store_four(row, column(step), dim, aligned, from);
  }
};

/// Sum over the team, the same bits in every thread: warps by their tree, then warp after warp.
/// `scratch`: Team / 32 floats of shared memory, unused for a warp.
template <unsigned Team>
HEADRACE_DEVICE float team_sum(float value, float* scratch) {
  const float own = warp_sum(value);
  if constexpr (Team == 32) {
    return own;
  } else {
    if (lane() == 0) scratch[warp()] = own;
    sync_block();
    float total = 0.0F;
    for (unsigned w = 0; w < Team / 32; ++w) total += scratch[w];
    sync_block();
    return total;
  }
}

}  // namespace headrace::kernels::device
