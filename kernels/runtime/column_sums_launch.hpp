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

}  // namespace headrace::kernels
