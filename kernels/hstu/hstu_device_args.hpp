#pragma once

#include "kernels/abi/hstu_checks.hpp"
#include "kernels/attention/attention_device_args.hpp"
#include "kernels/hstu/hstu_kernel.hpp"

/// From the C structs of hstu to what its CUDA kernels take.
namespace headrace::kernels::abi {

/// What the CUDA library lacks of the contract.
inline void need_matrix_units(const headrace_hstu_args& args) {
  need_matrix_units(args.dtype, args.head_dim);
  if (args.value_dim != args.head_dim)
    refuse(HEADRACE_UNSUPPORTED, "value_dim is not head_dim, which the CUDA library needs");
}

inline hstu_view view_of(const headrace_hstu_args& args) {
  return {view_of(attention_of(args)), args.normaliser};
}

inline hstu_backward_view view_of(const headrace_hstu_backward_args& args,
                                  const headrace_hstu_args& forward) {
  return {{.forward = view_of(attention_of(forward)),
           .d_o = static_cast<const std::uint16_t*>(args.d_o),
           .d_o_stride = args.d_o_stride,
           .dq = static_cast<std::uint16_t*>(args.dq),
           .dk = static_cast<std::uint16_t*>(args.dk),
           .dv = static_cast<std::uint16_t*>(args.dv),
           .dq_stride = args.dq_stride,
           .dk_stride = args.dk_stride,
           .dv_stride = args.dv_stride},
          forward.normaliser};
}

}  // namespace headrace::kernels::abi
