#pragma once

#include "kernels/runtime/device.hpp"

#include <cstddef>
#include <cstdint>

/// Tensors of an arena, and which of them a block of the device has: index logic, host and device.
namespace headrace::kernels {

/// A tensor of an arena of floats. plan_dense_blocks fills first_block; a CPU doesn't read it.
struct dense_tensor {
  std::uint64_t begin = 0;  // its first element in the arena
  std::uint64_t size = 0;
  std::uint64_t state_begin = 0;  // its first word in the state
  float rate = 0.0F;
  float l2 = 0.0F;
  float weight_decay = 0.0F;
  std::uint32_t first_block = 0;
};

/// Elements of a block: one tensor's, so that it has one rate.
constexpr std::uint32_t dense_block = 4096;

HEADRACE_BOTH constexpr std::uint32_t dense_blocks_of(std::uint64_t size) {
  return static_cast<std::uint32_t>((size + dense_block - 1) / dense_block);
}

/// Numbers the blocks of tensors one after another; returns how many there are.
inline std::uint32_t plan_dense_blocks(dense_tensor* tensors, std::size_t count) {
  std::uint32_t blocks = 0;
  for (std::size_t t = 0; t < count; ++t) {
    tensors[t].first_block = blocks;
    blocks += dense_blocks_of(tensors[t].size);
  }
  return blocks;
}

/// The tensor that has `block`, of `count` >= 1 planned ones: the last whose first block isn't
/// behind it (tensors of size 0 have none).
HEADRACE_BOTH constexpr std::uint32_t dense_tensor_of(const dense_tensor* tensors,
                                                      std::uint32_t count,
                                                      std::uint32_t block) {
  std::uint32_t low = 0;
  std::uint32_t high = count;
  while (high - low > 1) {
    const std::uint32_t middle = low + (high - low) / 2;
    if (tensors[middle].first_block <= block) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

}  // namespace headrace::kernels
