#pragma once

#include "kernels/runtime/device.hpp"

#include <cstddef>

/// to = scale * from, or to += scale * from: product and sum are each rounded once, so the CPU
/// library's entry (headrace_scale) has the same bits.
namespace headrace::kernels::device {

struct scaled_sum_view {
  const float* from;  // [size]
  float* to;          // [size], may be `from`
  std::size_t size;
  float scale;
  bool add;
};

/// A thread has every n-th element. Any grid.
HEADRACE_KERNEL void scaled_sum_kernel(scaled_sum_view view) {
  const std::size_t step = std::size_t{grid_blocks().x} * block_threads();
  for (std::size_t i = std::size_t{block_index().x} * block_threads() + thread_index();
       i < view.size;
       i += step) {
    const float scaled = view.scale * view.from[i];
    view.to[i] = view.add ? view.to[i] + scaled : scaled;
  }
}

}  // namespace headrace::kernels::device
