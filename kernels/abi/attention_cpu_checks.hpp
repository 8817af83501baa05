#pragma once

#include "kernels/abi/attention_checks.hpp"

#include <span>

/// What only the CPU library checks of the entries of headrace_attention.h.
namespace headrace::kernels::abi {

inline void need_f32(headrace_dtype dtype) {
  if (dtype != HEADRACE_F32)
    refuse(HEADRACE_UNSUPPORTED, "dtype is not f32, which alone the CPU library has");
}

/// Offsets of sequences of `tokens` tokens.
inline void check_offsets(const std::uint32_t* offsets,
                          std::uint32_t sequences,
                          std::uint64_t tokens) {
  need(offsets[0] == 0, "offsets[0] is not 0");
  for (std::uint32_t s = 0; s < sequences; ++s)
    need(offsets[s] <= offsets[s + 1], "offsets do not ascend");
  need(offsets[sequences] == tokens, "offsets do not end with tokens");
}

inline std::span<float> floats(void* workspace, std::size_t bytes) {
  return {static_cast<float*>(workspace), bytes / sizeof(float)};
}

}  // namespace headrace::kernels::abi
