#pragma once

#include "kernels/runtime/device.hpp"

#include <cstddef>
#include <cstdint>

/// Moves the columns of rows that lie at a stride to rows at another.
namespace headrace::kernels::device {

struct copy_columns_view {
  const float* from;  // [rows, from_stride]
  float* to;          // [rows, to_stride]
  std::size_t from_stride;
  std::size_t to_stride;
  std::size_t rows;
  std::size_t columns;
};

/// A thread has every n-th value of [rows, columns]: neighbours read and write neighbours. Any
/// grid.
HEADRACE_KERNEL void copy_columns_kernel(copy_columns_view view) {
  const std::size_t step = std::size_t{grid_blocks().x} * block_threads();
  const std::size_t size = view.rows * view.columns;
  for (std::size_t i = std::size_t{block_index().x} * block_threads() + thread_index(); i < size;
       i += step) {
    const std::size_t row = i / view.columns;
    const std::size_t column = i % view.columns;
    view.to[row * view.to_stride + column] = view.from[row * view.from_stride + column];
  }
}

}  // namespace headrace::kernels::device
