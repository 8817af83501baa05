#pragma once

#include "kernels/runtime/elementwise_shape.hpp"
#include "kernels/scaled_sum/scaled_sum_kernel.hpp"

/// Launch shape of scaled_sum. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

template <class Launch>
void launch_scaled_sum(const device::scaled_sum_view& view, const Launch& launch) {
  if (view.size == 0) return;
  launch(elementwise_shape(view.size), device::scaled_sum_kernel, view);
}

}  // namespace headrace::kernels
