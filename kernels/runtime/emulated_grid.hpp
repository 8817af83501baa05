#pragma once

#include "kernels/runtime/device.hpp"
#include "kernels/runtime/emulated_block.hpp"

#include <cstdint>

namespace headrace::kernels {

/// How a kernel is emulated: its launch, and the seed that orders blocks and threads.
struct emulation {
  grid_index grid = {};
  unsigned threads = 32;
  std::size_t shared_bytes = 0;
  std::uint64_t seed = 0;
};

/// The block numbers 0 ... blocks - 1 in an order drawn from `seed`.
std::vector<std::uint64_t> block_order(std::uint64_t blocks, std::uint64_t seed);

/// Runs a kernel written in device.hpp's words on this thread. Throws std::logic_error at what a
/// GPU wouldn't forgive (emulated_block). `args` are passed by value, as a launch does.
template <class Kernel, class... Args>
void emulate(const emulation& how, const Kernel& kernel, Args... args) {
  const launch_shape shape{how.grid, how.threads, how.shared_bytes};
  const std::uint64_t columns = how.grid.x;
  const std::uint64_t layer = columns * how.grid.y;
  device::emulated_block block(shape);
  for (const std::uint64_t i : block_order(layer * how.grid.z, how.seed)) {
    const grid_index index{static_cast<unsigned>(i % columns),
                           static_cast<unsigned>(i % layer / columns),
                           static_cast<unsigned>(i / layer)};
    block.run(index, how.seed + i, [&] { kernel(args...); });
  }
}

}  // namespace headrace::kernels
