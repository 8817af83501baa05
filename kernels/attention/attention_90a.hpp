#pragma once

#include "kernels/attention/attention_view.hpp"

#include <cstdint>

/// Attention's forward pass on sm_90a (attention_90a_kernel.hpp): what attention_kernel.hpp
/// computes, within the same bound. For devices that has_90a() (runtime/cuda_90a.hpp).
namespace headrace::kernels {

/// Whether it has kernels for heads of this size.
constexpr bool has_attention_90a(std::uint64_t head_dim) {
  return head_dim == 64 || head_dim == 128;
}

/// Queued on `stream` (a cudaStream_t). `tokens` is the last of the offsets; `halves`: elements are
/// fp16, else bfloat16. The head dimension is one that has_attention_90a has.
void attention_90a(const attention_view& view,
                   std::uint64_t head_dim,
                   std::uint32_t tokens,
                   bool halves,
                   void* stream);

}  // namespace headrace::kernels
