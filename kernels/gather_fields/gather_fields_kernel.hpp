#pragma once

#include "kernels/runtime/device.hpp"

#include <cstddef>
#include <cstdint>

/// Columns of unique rows by sample and field on a device (gather_fields.hpp has the maths): the
/// same bits as on the CPU, which also multiplies, then adds, place after place.
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

struct gather_fields_backward_view {
  const std::uint32_t* inverse;  // [places]
  const std::uint32_t* order;    // [places] by (inverse, place)
  const float* values;           // [places], or null
  const float* out_gradients;    // [places, dim]
  float* row_gradients;          // [u, width], added to
  std::uint32_t places;
  std::uint32_t width;
  std::uint32_t first_column;
  std::uint32_t dim;
};

/// A warp has the ordered place that its number says, and does the row that begins there, if one
/// does: place after place, so in the CPU's order. Lanes are columns. Grid: any whose warps cover
/// the places.
HEADRACE_KERNEL void gather_fields_backward_kernel(gather_fields_backward_view view) {
  const std::uint32_t begin = block_index().x * (block_threads() / warp_threads) + warp();
  if (begin >= view.places) return;
  const std::uint32_t row = view.inverse[view.order[begin]];
  if (begin > 0 && view.inverse[view.order[begin - 1]] == row) return;
  float* to = view.row_gradients + std::size_t{row} * view.width + view.first_column;
  for (unsigned c = lane(); c < view.dim; c += warp_threads) {
    float sum = to[c];
    for (std::uint32_t i = begin; i < view.places; ++i) {
      const std::uint32_t place = view.order[i];
      if (view.inverse[place] != row) break;
      const float gradient = view.out_gradients[std::size_t{place} * view.dim + c];
      sum = sum + (view.values == nullptr ? gradient : view.values[place] * gradient);
    }
    to[c] = sum;
  }
}

}  // namespace headrace::kernels::device
