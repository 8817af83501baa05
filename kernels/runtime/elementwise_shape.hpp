#pragma once

#include "kernels/runtime/launch_shape.hpp"

#include <algorithm>
#include <cstddef>

namespace headrace::kernels {

/// For kernels of which a thread has every n-th element: one a thread up to 1,024 blocks of 256,
/// more than any device has at work at a time; beyond that threads go round.
constexpr launch_shape elementwise_shape(std::size_t size) {
  constexpr unsigned threads = 256;
  const std::size_t blocks = (size + threads - 1) / threads;
  return {.grid = {static_cast<unsigned>(std::min<std::size_t>(blocks, 1024))}, .threads = threads};
}

}  // namespace headrace::kernels
