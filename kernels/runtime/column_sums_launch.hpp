#pragma once

#include "kernels/runtime/column_sums_kernel.hpp"

namespace headrace::kernels {

/// Adds `count` rows of partial sums to out [columns]: 32 columns a block.
template <class Launch>
void launch_column_sums(const device::column_sums_view& view, const Launch& launch) {
  constexpr std::uint32_t a_block = device::column_sums_columns;
  launch(launch_shape{.grid = {(view.columns + a_block - 1) / a_block},
                      .threads = a_block * device::column_sums_groups,
                      .shared_bytes = a_block * device::column_sums_groups * sizeof(float)},
         device::column_sums_kernel,
         view);
}

/// Adds all rows to out [columns]: at once where they are few, else by slices. A slice is a block
/// in y, of which a grid has 65,535: more rows than those slices have go in turns.
template <class Launch>
void launch_row_sums(const device::row_sums_view& view, const Launch& launch) {
  if (view.count <= device::column_slice_rows) {
    launch_column_sums({.partials = view.rows,
                        .stride = view.columns,
                        .count = view.count,
                        .columns = view.columns,
                        .out = view.out},
                       launch);
    return;
  }
  constexpr std::uint32_t a_block = device::column_sums_columns;
  constexpr std::uint32_t slices_max = 65'535;
  const std::uint32_t slices = device::column_slices(view.count);
  for (std::uint32_t s = 0; s < slices; s += slices_max) {
    const std::uint32_t first = s * device::column_slice_rows;
    device::row_sums_view some = view;
    some.rows += std::size_t{first} * view.columns;
    some.partials += std::size_t{s} * view.columns;
    some.count -= first;
    const std::uint32_t left = slices - s;
    launch(launch_shape{.grid = {(view.columns + a_block - 1) / a_block,
                                 left < slices_max ? left : slices_max},
                        .threads = a_block * device::column_sums_groups,
                        .shared_bytes = a_block * device::column_sums_groups * sizeof(float)},
           device::slice_sums_kernel,
           some);
  }
  launch_column_sums({.partials = view.partials,
                      .stride = view.columns,
                      .count = slices,
                      .columns = view.columns,
                      .out = view.out},
                     launch);
}

}  // namespace headrace::kernels
