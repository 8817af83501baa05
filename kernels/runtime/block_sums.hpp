#pragma once

#include "kernels/runtime/device.hpp"

#include <cstddef>
#include <cstdint>

/// Sums over a grid in double, in a fixed order: a block leaves its sum, one block adds those up.
namespace headrace::kernels::device {

/// Threads of the blocks below, and the most blocks whose sums one block then adds.
constexpr unsigned sum_threads = 256;
constexpr unsigned sum_blocks_max = 1024;

/// The sum over a block of sum_threads, in thread 0. `scratch`: 8 doubles of shared memory that
/// nobody else uses until the next barrier but one.
HEADRACE_DEVICE double block_sum(double value, double* scratch) {
  const double own = warp_sum(value);
  if (lane() == 0) scratch[warp()] = own;
  sync_block();
  double total = 0.0;
  if (thread_index() == 0) {
    for (unsigned w = 0; w < sum_threads / warp_threads; ++w) total += scratch[w];
  }
  sync_block();
  return total;
}

/// out[k] = Σ_b partials[k, b]: `kinds` sums of `blocks` parts each, in one block. Shared: 8
/// doubles.
HEADRACE_KERNEL void add_block_sums_kernel(const double* partials,
                                           std::uint32_t blocks,
                                           std::uint32_t kinds,
                                           double* out) {
  auto* scratch = reinterpret_cast<double*>(shared_memory());
  for (std::uint32_t k = 0; k < kinds; ++k) {
    double sum = 0.0;
    for (std::uint32_t b = thread_index(); b < blocks; b += sum_threads) {
      sum += partials[std::size_t{k} * blocks + b];
    }
    sum = block_sum(sum, scratch);
    if (thread_index() == 0) out[k] = sum;
  }
}

}  // namespace headrace::kernels::device

namespace headrace::kernels {

constexpr std::size_t block_sum_bytes = device::sum_threads / warp_threads * sizeof(double);

/// Blocks over n elements, four a thread: of n alone, so that a sum's order is the same on every
/// device.
constexpr std::uint32_t sum_blocks(std::size_t n) {
  const std::size_t blocks = (n + 4 * device::sum_threads - 1) / (4 * device::sum_threads);
  if (blocks < 1) return 1;
  return blocks < device::sum_blocks_max ? static_cast<std::uint32_t>(blocks)
                                         : device::sum_blocks_max;
}

}  // namespace headrace::kernels
