#pragma once

#include "kernels/runtime/warp_match.hpp"

#include <cstddef>
#include <cstdint>

/// Columns of unique rows by sample and field on a device (gather_fields.hpp has the maths): the
/// bits of the CPU, which also multiplies, then adds. Backward sums a row of many places in tiles
/// of 64 first, so that no row is one warp's work alone: bits of its own there, a function of
/// `order` alone, so the same each run.
namespace headrace::kernels::device {

struct gather_fields_view {
  const float* rows;             // [u, width]
  const std::uint32_t* inverse;  // [places]
  const float* values;           // [places], or null: all 1
  float* out;                    // [places, dim]
  std::size_t places;            // samples * fields
  std::uint32_t width;
  std::uint32_t first_column;
  std::uint32_t dim;
};

/// A thread has every n-th value of [places, dim]. Any grid.
HEADRACE_KERNEL void gather_fields_kernel(gather_fields_view view) {
  const std::size_t step = std::size_t{grid_blocks().x} * block_threads();
  const std::size_t size = view.places * view.dim;
  for (std::size_t i = std::size_t{block_index().x} * block_threads() + thread_index(); i < size;
       i += step) {
    const std::size_t place = i / view.dim;
    const std::size_t column = view.first_column + i % view.dim;
    const float value = view.rows[std::size_t{view.inverse[place]} * view.width + column];
    view.out[i] = view.values == nullptr ? value : view.values[place] * value;
  }
}

/// Ordered places of a tile of the backward pass.
constexpr std::uint32_t field_tile = 64;

struct gather_fields_backward_view {
  const std::uint32_t* inverse;  // [places]
  const std::uint32_t* order;    // [places] by (inverse, place)
  const float* values;           // [places], or null
  const float* out_gradients;    // [places, dim]
  float* row_gradients;          // [u, width], added to
  float* partials;               // [whole_field_tiles(places), dim] between the stages
  std::uint32_t places;
  std::uint32_t width;
  std::uint32_t first_column;
  std::uint32_t dim;
};

/// Tiles that have all their places.
HEADRACE_BOTH std::uint32_t whole_field_tiles(std::uint32_t places) { return places / field_tile; }

/// Places of a row's run [begin, …) before the next tile begins, at most.
HEADRACE_BOTH std::uint32_t places_before_tile(std::uint32_t begin) {
  return (field_tile - begin % field_tile) % field_tile;
}

HEADRACE_DEVICE std::uint32_t ordered_row(const gather_fields_backward_view& view,
                                          std::uint32_t at) {
  return view.inverse[view.order[at]];
}

/// How many of the places `from`, `from` + step, …, at most `limit`, are of `row`, up to the first
/// that isn't: 32 a look, the lanes of a warp together.
HEADRACE_DEVICE std::uint32_t run_of_row(const gather_fields_backward_view& view,
                                         std::uint32_t row,
                                         std::uint64_t from,
                                         std::uint32_t step,
                                         std::uint32_t limit) {
  std::uint32_t found = 0;
  while (true) {
    const std::uint64_t mine = std::uint64_t{found} + lane();
    const std::uint64_t at = from + mine * step;
    const bool same = mine < limit && at < view.places &&
                      ordered_row(view, static_cast<std::uint32_t>(at)) == row;
    const unsigned votes = ballot(same);
    if (votes != 0xFFFFFFFFU) return found + bits_set(votes & ~(votes + 1));
    found += warp_threads;
  }
}

/// sum + value * gradient over `count` ordered places, one after another, in column c.
HEADRACE_DEVICE float places_summed(const gather_fields_backward_view& view,
                                    std::uint32_t begin,
                                    std::uint32_t count,
                                    unsigned c,
                                    float sum) {
  constexpr unsigned in_flight = 8;
  std::uint32_t i = 0;
  for (; count - i >= in_flight; i += in_flight) {
    float terms[in_flight];
    HEADRACE_UNROLL
    for (unsigned k = 0; k < in_flight; ++k) {
      const std::uint32_t place = view.order[begin + i + k];
      const float gradient = view.out_gradients[std::size_t{place} * view.dim + c];
      terms[k] = view.values == nullptr ? gradient : view.values[place] * gradient;
    }
    HEADRACE_UNROLL
    for (unsigned k = 0; k < in_flight; ++k) sum = sum + terms[k];
  }
  for (; i < count; ++i) {
    const std::uint32_t place = view.order[begin + i];
    const float gradient = view.out_gradients[std::size_t{place} * view.dim + c];
    sum = sum + (view.values == nullptr ? gradient : view.values[place] * gradient);
  }
  return sum;
}

/// sum + what gather_fields_tiles_kernel left of `count` tiles, one after another.
HEADRACE_DEVICE float tiles_summed(const gather_fields_backward_view& view,
                                   std::uint32_t tile,
                                   std::uint32_t count,
                                   unsigned c,
                                   float sum) {
  HEADRACE_UNROLL_BY(8)
  for (std::uint32_t t = 0; t < count; ++t)
    sum = sum + view.partials[(std::size_t{tile} + t) * view.dim + c];
  return sum;
}

/// A warp has a whole tile and sums it where one row has all its places; lanes are columns. Grid:
/// any whose warps cover the tiles.
HEADRACE_KERNEL void gather_fields_tiles_kernel(gather_fields_backward_view view) {
  const std::uint32_t tile = block_index().x * (block_threads() / warp_threads) + warp();
  if (tile >= whole_field_tiles(view.places)) return;
  const std::uint32_t begin = tile * field_tile;
  if (ordered_row(view, begin) != ordered_row(view, begin + field_tile - 1)) return;
  float* to = view.partials + std::size_t{tile} * view.dim;
  for (unsigned c = lane(); c < view.dim; c += warp_threads)
    to[c] = places_summed(view, begin, field_tile, c, 0.0F);
}

/// A warp has the ordered place that its number says, and does the row that begins there, if one
/// does: its places up to a tile, the sums of whole tiles, the places behind them. A row without a
/// whole tile is summed in the CPU's order. Lanes are columns. Grid: any whose warps cover the
/// places.
HEADRACE_KERNEL void gather_fields_backward_kernel(gather_fields_backward_view view) {
  const std::uint32_t begin = block_index().x * (block_threads() / warp_threads) + warp();
  if (begin >= view.places) return;
  const std::uint32_t row = ordered_row(view, begin);
  if (begin > 0 && ordered_row(view, begin - 1) == row) return;
  const std::uint32_t before = places_before_tile(begin);
  const std::uint32_t head = run_of_row(view, row, begin, 1, before);
  const std::uint32_t first = begin + head;  // of a tile, unless the row ends before
  const std::uint64_t last = std::uint64_t{first} + field_tile - 1;
  const std::uint32_t tiles =
      head < before ? 0 : run_of_row(view, row, last, field_tile, view.places);
  const std::uint32_t rest = first + tiles * field_tile;
  const std::uint32_t tail = head < before ? 0 : run_of_row(view, row, rest, 1, field_tile);
  float* to = view.row_gradients + std::size_t{row} * view.width + view.first_column;
  for (unsigned c = lane(); c < view.dim; c += warp_threads) {
    float sum = places_summed(view, begin, head, c, to[c]);
    sum = tiles_summed(view, first / field_tile, tiles, c, sum);
    to[c] = places_summed(view, rest, tail, c, sum);
  }
}

}  // namespace headrace::kernels::device
