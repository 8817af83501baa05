#pragma once

#include "kernels/dot_interaction/dot_interaction_kernel.hpp"

#include <algorithm>

/// Launch shapes of dot_interaction's kernels. `launch(shape, kernel, args…)` queues one.
namespace headrace::kernels {

/// A thread a pair of tiles, up to 128: 27 fields have 28 pairs of tiles and a warp a sample, 64
/// have 136 and two pairs in some threads.
constexpr unsigned dot_threads(unsigned fields) {
  return std::min((dot_tiles(dot_stride(fields)) + 31) / 32 * 32, 128U);
}

constexpr std::size_t dot_fields_bytes(unsigned fields) {
  return std::size_t{dot_stride(fields)} * dot_tile * device::dot_pitch * sizeof(float);
}

/// fields <= 64: dot_interaction_fields_max.
template <class Launch>
void launch_dot_forward(const device::dot_forward_view& view, const Launch& launch) {
  if (view.samples == 0 || view.fields < 2) return;
  const launch_shape shape = {.grid = {view.samples},
                              .threads = dot_threads(view.fields),
                              .shared_bytes = dot_fields_bytes(view.fields)};
  const bool one_each = dot_tiles(dot_stride(view.fields)) <= shape.threads;
  if (one_each) return launch(shape, device::dot_forward_kernel<1>, view);
  launch(shape, device::dot_forward_kernel<2>, view);
}

template <class Launch>
void launch_dot_backward(const device::dot_backward_view& view, const Launch& launch) {
  if (view.samples == 0 || view.fields == 0 || view.dim == 0) return;
  const unsigned padded = dot_stride(view.fields) * dot_tile;
  launch(launch_shape{.grid = {view.samples},
                      .threads = 128,
                      .shared_bytes = dot_fields_bytes(view.fields) +
                                      std::size_t{padded} * padded * sizeof(float)},
         device::dot_backward_kernel,
         view);
}

}  // namespace headrace::kernels
