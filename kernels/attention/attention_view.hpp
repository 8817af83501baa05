#pragma once

#include "kernels/attention/tile_schedule.hpp"

#include <cstddef>
#include <cstdint>

/// attention_args as a CUDA kernel gets them: pointers to device memory, sizes, and what the host
/// can work out once. q, k, v and o are 16-bit elements; addresses and strides multiples of 16
/// bytes.
namespace headrace::kernels {

/// What turns q · k into a score.
struct score_view {
  float scale = 1;
  const float* alibi_slopes = nullptr;  // [heads], or null
  const float* bias_table = nullptr;    // [heads, 2 max_distance + 1], or null
  std::int32_t max_distance = 0;
};

struct attention_view {
  const std::uint16_t* q = nullptr;
  const std::uint16_t* k = nullptr;
  const std::uint16_t* v = nullptr;
  std::size_t q_stride = 0;
  std::size_t k_stride = 0;
  std::size_t v_stride = 0;
  const std::uint32_t* offsets = nullptr;
  std::uint32_t sequences = 0;
  std::uint32_t heads = 0;
  std::uint32_t kv_heads = 0;
  score_view scores;
  narrow_mask mask;
  const std::uint8_t* active = nullptr;  // [sequences, heads], or null
  std::uint16_t* o = nullptr;
  std::size_t o_stride = 0;
  float* lse = nullptr;
};

/// What backward has besides. `dots` [tokens, heads] is workspace: rowsum(d_o ⊙ o).
struct attention_backward_view {
  attention_view forward;
  const std::uint16_t* d_o = nullptr;
  std::size_t d_o_stride = 0;
  float* dots = nullptr;
  std::uint16_t* dq = nullptr;
  std::uint16_t* dk = nullptr;
  std::uint16_t* dv = nullptr;
  std::size_t dq_stride = 0;
  std::size_t dk_stride = 0;
  std::size_t dv_stride = 0;
};

}  // namespace headrace::kernels
