#pragma once

#include "kernels/abi/entry.hpp"
#include "kernels/dense_update/dense_tensors.hpp"
#include "kernels/include/headrace_dense.h"

/// headrace_dense_plan, the same in both libraries: host memory only.
namespace headrace::kernels::abi {

static_assert(sizeof(headrace_dense_tensor) == sizeof(dense_tensor));
static_assert(offsetof(headrace_dense_tensor, begin) == offsetof(dense_tensor, begin));
static_assert(offsetof(headrace_dense_tensor, size) == offsetof(dense_tensor, size));
static_assert(offsetof(headrace_dense_tensor, state_begin) == offsetof(dense_tensor, state_begin));
static_assert(offsetof(headrace_dense_tensor, rate) == offsetof(dense_tensor, rate));
static_assert(offsetof(headrace_dense_tensor, l2) == offsetof(dense_tensor, l2));
static_assert(offsetof(headrace_dense_tensor, weight_decay) ==
              offsetof(dense_tensor, weight_decay));
static_assert(offsetof(headrace_dense_tensor, first_block) == offsetof(dense_tensor, first_block));

/// Numbers the blocks of tensors one after another; *blocks is how many there are.
inline void plan_dense(headrace_dense_tensor* tensors, std::uint64_t count, std::uint64_t* blocks) {
  need_array(tensors, count, "tensors");
  need_array(blocks, 1, "blocks");
  std::uint64_t next = 0;
  for (std::uint64_t t = 0; t < count; ++t) {
    need(tensors[t].size <= 0xFFFFFFFFU - dense_block, "a tensor has 2^32 - 4096 elements or more");
    next += dense_blocks_of(tensors[t].size);
    need(next <= 0x7FFFFFFFU, "the tensors have more than 2^31 - 1 blocks");
  }
  next = 0;
  for (std::uint64_t t = 0; t < count; ++t) {
    tensors[t].first_block = static_cast<std::uint32_t>(next);
    next += dense_blocks_of(tensors[t].size);
  }
  *blocks = next;
}

}  // namespace headrace::kernels::abi
