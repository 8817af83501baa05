#pragma once

#include "kernels/gather_fields/gather_fields_kernel.hpp"
#include "kernels/runtime/elementwise_shape.hpp"

/// Launch shapes of gather_fields. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

template <class Launch>
void launch_gather_fields(const device::gather_fields_view& view, const Launch& launch) {
  const std::size_t size = view.places * view.dim;
  if (size == 0) return;
  launch(elementwise_shape(size), device::gather_fields_kernel, view);
}

/// Eight warps a block: a row's warp waits for nobody. A row of many occurrences has one warp: a
/// field of few values is where this is slow.
template <class Launch>
void launch_gather_fields_backward(const device::gather_fields_backward_view& view,
                                   const Launch& launch) {
  constexpr unsigned warps = 8;
  if (view.places == 0) return;
  launch(launch_shape{.grid = {(view.places + warps - 1) / warps}, .threads = 32 * warps},
         device::gather_fields_backward_kernel,
         view);
}

}  // namespace headrace::kernels
