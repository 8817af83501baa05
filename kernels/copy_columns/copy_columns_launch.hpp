#pragma once

#include "kernels/copy_columns/copy_columns_kernel.hpp"
#include "kernels/runtime/elementwise_shape.hpp"

/// Launch shape of copy_columns. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

template <class Launch>
void launch_copy_columns(const device::copy_columns_view& view, const Launch& launch) {
  const std::size_t size = view.rows * view.columns;
  if (size == 0) return;
  launch(elementwise_shape(size), device::copy_columns_kernel, view);
}

}  // namespace headrace::kernels
