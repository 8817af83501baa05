#pragma once

#include "kernels/gather_pool/gather_pool_kernel.hpp"
#include "kernels/gather_pool/segments.hpp"

#include <bit>
#include <cstdint>

/// The gradient of pooling on a device: occurrences are sorted by row, so that each row is summed
/// by one team in the order of the CPU, without atomics. A long row's tiles are summed side by side
/// first (segments.hpp), then one after another: bits of its own there, the same each run.
namespace headrace::kernels::device {

/// What is sorted along with an occurrence's row: its bag and its weight.
using occurrence = std::uint64_t;

HEADRACE_BOTH occurrence make_occurrence(std::uint32_t bag, float weight) {
  return std::uint64_t{bag} << 32 | std::bit_cast<std::uint32_t>(weight);
}
HEADRACE_BOTH std::uint32_t bag_in(occurrence of) { return static_cast<std::uint32_t>(of >> 32); }
HEADRACE_BOTH float weight_in(occurrence of) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(of));
}

struct pool_gradients_view {
  const std::uint32_t* inverse;      // [n] < rows
  const float* weights;              // [n], or null
  const std::uint32_t* offsets;      // [bags + 1]
  const float* out_gradients;        // [bags, dim]
  float* row_gradients;              // [rows, dim], added to
  occurrence* occurrences;           // [n] between stages
  const std::uint32_t* sorted_rows;  // [n] inverse, ascending
  const occurrence* sorted;          // [n] occurrences in that order, equal rows as they were
  segment* segments;                 // [rows]
  float* partials;                   // [tiles, 2, dim]
  std::uint32_t n;
  std::uint32_t rows;
  std::uint32_t bags;
  std::uint32_t dim;
  bool vectors;
};

/// A thread an occurrence.
HEADRACE_KERNEL void make_occurrences_kernel(pool_gradients_view view) {
  const std::uint64_t i = std::uint64_t{block_index().x} * block_threads() + thread_index();
  if (i >= view.n) return;
  const auto at = static_cast<std::uint32_t>(i);
  const std::uint32_t bag = bag_of(view.offsets, view.bags, at);
  view.occurrences[i] = make_occurrence(bag, weight_of(view.weights, at));
}

/// A thread a row: nobody has occurrences yet.
HEADRACE_KERNEL void clear_segments_kernel(pool_gradients_view view) {
  const std::uint64_t row = std::uint64_t{block_index().x} * block_threads() + thread_index();
  if (row < view.rows) view.segments[row] = {0, 0};
}

/// A thread a sorted position: where a row begins and ends.
HEADRACE_KERNEL void find_segments_kernel(pool_gradients_view view) {
  const std::uint64_t i = std::uint64_t{block_index().x} * block_threads() + thread_index();
  if (i >= view.n) return;
  const std::uint32_t row = view.sorted_rows[i];
  const auto at = static_cast<std::uint32_t>(i);
  if (i == 0 || view.sorted_rows[i - 1] != row) view.segments[row].begin = at;
  if (i + 1 == view.n || view.sorted_rows[i + 1] != row) view.segments[row].end = at + 1;
}

HEADRACE_DEVICE four_columns load_term(const pool_gradients_view& view,
                                       occurrence of,
                                       std::uint32_t c) {
  const float* bag = view.out_gradients + std::uint64_t{bag_in(of)} * view.dim;
  return load_columns(bag, c, view.dim, view.vectors);
}

/// sum + weight * out_gradient over positions in order.
HEADRACE_DEVICE four_columns summed(const pool_gradients_view& view,
                                    segment of,
                                    std::uint32_t c,
                                    four_columns sum) {
  std::uint32_t i = of.begin;
  for (; of.end - i >= rows_in_flight; i += rows_in_flight) {
    four_columns values[rows_in_flight];
    float weights[rows_in_flight];
    HEADRACE_UNROLL
    for (unsigned k = 0; k < rows_in_flight; ++k) {
      const occurrence one = view.sorted[i + k];
      values[k] = load_term(view, one, c);
      weights[k] = weight_in(one);
    }
    HEADRACE_UNROLL
    for (unsigned k = 0; k < rows_in_flight; ++k) add_weighted(sum, weights[k], values[k]);
  }
  for (; i < of.end; ++i) {
    const occurrence one = view.sorted[i];
    add_weighted(sum, weight_in(one), load_term(view, one, c));
  }
  return sum;
}

/// A team for each slot of a tile: the part of a long row that lies there, to `partials`.
HEADRACE_KERNEL void sum_tiles_kernel(pool_gradients_view view) {
  const unsigned lanes = team_lanes(view.dim);
  const std::uint64_t team = team_row(lanes);
  const auto tile = static_cast<std::uint32_t>(team / 2);
  if (tile >= tiles_of(view.n)) return;
  const auto slot = static_cast<unsigned>(team % 2);
  const std::uint64_t first = std::uint64_t{tile} * tile_positions;
  const std::uint64_t last = first + tile_positions < view.n ? first + tile_positions : view.n;
  const segment row = view.segments[view.sorted_rows[slot == 0 ? first : last - 1]];
  if (!is_long(row) || slot_in_tile(row, tile) != slot) return;
  const segment part = part_in_tile(row, tile);
  float* to = view.partials + team * view.dim;
  for (std::uint32_t c = first_column(lanes); c < view.dim; c += lanes * columns_a_lane) {
    const four_columns sum = summed(view, part, c, {{0.0F, 0.0F, 0.0F, 0.0F}});
    store_columns(to, c, view.dim, view.vectors, sum);
  }
}

/// sum + what sum_tiles left of a long row, tile after tile.
HEADRACE_DEVICE four_columns tiles_summed(const pool_gradients_view& view,
                                          segment row,
                                          std::uint32_t c,
                                          four_columns sum) {
  const std::uint32_t last = (row.end - 1) / tile_positions;
  for (std::uint32_t tile = row.begin / tile_positions; tile <= last; ++tile) {
    const std::uint64_t at = std::uint64_t{tile} * 2 + slot_in_tile(row, tile);
    const four_columns part =
        load_columns(view.partials + at * view.dim, c, view.dim, view.vectors);
    add_weighted(sum, 1.0F, part);
  }
  return sum;
}

/// A team a row; rows without occurrences are left alone.
HEADRACE_KERNEL void sum_rows_kernel(pool_gradients_view view) {
  const unsigned lanes = team_lanes(view.dim);
  const std::uint64_t at = team_row(lanes);
  if (at >= view.rows) return;
  const segment row = view.segments[at];
  if (row.begin == row.end) return;
  float* to = view.row_gradients + at * view.dim;
  for (std::uint32_t c = first_column(lanes); c < view.dim; c += lanes * columns_a_lane) {
    const four_columns before = load_columns(to, c, view.dim, view.vectors);
    const four_columns sum =
        is_long(row) ? tiles_summed(view, row, c, before) : summed(view, row, c, before);
    store_columns(to, c, view.dim, view.vectors, sum);
  }
}

}  // namespace headrace::kernels::device
