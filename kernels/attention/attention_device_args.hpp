#pragma once

#include "kernels/abi/attention_checks.hpp"
#include "kernels/attention/attention_view.hpp"
#include "kernels/runtime/device.hpp"

#include <cstdint>

/// From the C structs to what the CUDA kernels take.
namespace headrace::kernels::abi {

/// Bytes that the kernels move at a time.
constexpr std::size_t attention_alignment = 16;

/// What the CUDA library lacks of the contract.
inline void need_halves(headrace_dtype dtype) {
  if (dtype != HEADRACE_BF16 && dtype != HEADRACE_F16)
    refuse(HEADRACE_UNSUPPORTED, "dtype is neither bf16 nor f16, which the CUDA library has");
}
inline void need_matrix_units(headrace_dtype dtype, std::uint32_t head_dim) {
  need_halves(dtype);
  if (head_dim != 16 && head_dim != 32 && head_dim != 64 && head_dim != 128) {
    refuse(HEADRACE_UNSUPPORTED,
           "head_dim is " + std::to_string(head_dim) + ", the CUDA library has 16, 32, 64 and 128");
  }
}

/// Calls visit(element) with the format's type.
template <class Visit>
void with_element(headrace_dtype dtype, const Visit& visit) {
  if (dtype == HEADRACE_BF16) return visit(device::brain{});
  visit(device::half{});
}

inline attention_view view_of(const headrace_attention_args& args) {
  return {.q = static_cast<const std::uint16_t*>(args.q),
          .k = static_cast<const std::uint16_t*>(args.k),
          .v = static_cast<const std::uint16_t*>(args.v),
          .q_stride = args.q_stride,
          .k_stride = args.k_stride,
          .v_stride = args.v_stride,
          .offsets = args.offsets,
          .sequences = args.sequences,
          .heads = args.heads,
          .kv_heads = args.kv_heads,
          .scores = {.scale = args.scale,
                     .alibi_slopes = args.alibi_slopes,
                     .bias_table = args.bias_table,
                     .max_distance = static_cast<std::int32_t>(args.max_distance)},
          .mask = narrowed(mask_of(args)),
          .active = args.active,
          .o = static_cast<std::uint16_t*>(args.o),
          .o_stride = args.o_stride,
          .lse = args.lse};
}

inline attention_backward_view view_of(const headrace_attention_backward_args& args,
                                       const headrace_attention_args& forward) {
  return {.forward = view_of(forward),
          .d_o = static_cast<const std::uint16_t*>(args.d_o),
          .d_o_stride = args.d_o_stride,
          .dq = static_cast<std::uint16_t*>(args.dq),
          .dk = static_cast<std::uint16_t*>(args.dk),
          .dv = static_cast<std::uint16_t*>(args.dv),
          .dq_stride = args.dq_stride,
          .dk_stride = args.dk_stride,
          .dv_stride = args.dv_stride};
}

}  // namespace headrace::kernels::abi
