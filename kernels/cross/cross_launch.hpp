#pragma once

#include "kernels/cross/cross_kernel.hpp"
#include "kernels/runtime/column_sums_launch.hpp"

/// Launch shapes of cross's kernels. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

/// Rows of a block: enough that the bias and the partial sums are little beside them, 16, and more
/// where a grid has 65,535 blocks in y.
constexpr std::uint32_t cross_block_rows(std::uint32_t rows) {
  const std::uint32_t at_least = (rows + 65'534) / 65'535;
  return at_least > 16 ? at_least : 16;
}
constexpr std::uint32_t cross_row_blocks(std::uint32_t rows) {
  return (rows + cross_block_rows(rows) - 1) / cross_block_rows(rows);
}
/// Floats of the backward pass's partial sums.
constexpr std::size_t cross_partials(std::uint32_t rows, std::uint32_t dim) {
  return std::size_t{cross_row_blocks(rows)} * dim;
}

constexpr launch_shape cross_launch_shape(std::uint32_t rows, std::uint32_t dim) {
  return {
      .grid = {(dim + device::cross_columns - 1) / device::cross_columns, cross_row_blocks(rows)},
      .threads = device::cross_threads};
}

/// view.block_rows is set here.
template <class Launch>
void launch_cross_forward(device::cross_forward_view view, const Launch& launch) {
  if (view.rows == 0 || view.dim == 0) return;
  view.block_rows = cross_block_rows(view.rows);
  launch(cross_launch_shape(view.rows, view.dim), device::cross_forward_kernel, view);
}

template <class Launch>
void launch_cross_backward(device::cross_backward_view view,
                           float* bias_gradients,
                           const Launch& launch) {
  if (view.rows == 0 || view.dim == 0) return;
  view.block_rows = cross_block_rows(view.rows);
  launch(cross_launch_shape(view.rows, view.dim), device::cross_backward_kernel, view);
  launch_column_sums(
      device::column_sums_view{
          view.bias_partials, view.dim, cross_row_blocks(view.rows), view.dim, bias_gradients},
      launch);
}

}  // namespace headrace::kernels
