#pragma once

#include <cstddef>

namespace headrace::kernels {

/// How many blocks a grid has in each direction, or which of them one is.
struct grid_index {
  unsigned x = 1;
  unsigned y = 1;
  unsigned z = 1;
  bool operator==(const grid_index&) const = default;
};

/// How a kernel is launched: blocks are one-dimensional, 1 to 1,024 threads; `shared_bytes` is the
/// dynamic shared memory of each.
struct launch_shape {
  grid_index grid = {};
  unsigned threads = 32;
  std::size_t shared_bytes = 0;
};

constexpr unsigned warp_threads = 32;

}  // namespace headrace::kernels
