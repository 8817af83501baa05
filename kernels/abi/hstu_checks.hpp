#pragma once

#include "kernels/abi/attention_checks.hpp"

/// What both libraries refuse of hstu's entries in headrace_attention.h. hstu is checked as the
/// attention that it is but for the softmax: one head of keys for each of queries.
namespace headrace::kernels::abi {

/// The attention of the same sizes and tensors; v and o of `value_dim` are checked apart.
inline headrace_attention_args attention_of(const headrace_hstu_args& args) {
  headrace_attention_args same{};
  same.struct_size = sizeof(same);
  same.flags = args.flags;
  same.dtype = args.dtype;
  same.sequences = args.sequences;
  same.tokens = args.tokens;
  same.heads = args.heads;
  same.kv_heads = args.heads;
  same.head_dim = args.head_dim;
  same.scale = args.scale;
  same.window = args.window;
  same.globals = args.globals;
  same.q = args.q;
  same.q_stride = args.q_stride;
  same.k = args.k;
  same.k_stride = args.k_stride;
  same.v = args.v;
  same.v_stride = args.v_stride;
  same.offsets = args.offsets;
  same.bias_table = args.bias_table;
  same.max_distance = args.max_distance;
  same.o = args.o;
  same.o_stride = args.o_stride;
  return same;
}

inline void check_sizes(const headrace_hstu_args& args) {
  check_sizes(attention_of(args));
  need(args.value_dim >= 1, "value_dim is 0");
  need(args.normaliser >= 0.0F && std::isfinite(args.normaliser), "normaliser is not at least 0");
  need(args.reserved == 0, "reserved is not 0");
}

/// A tensor of values: value_dim wide heads.
inline void need_values(const headrace_hstu_args& args,
                        const void* tensor,
                        std::uint64_t stride,
                        std::size_t alignment,
                        const char* name) {
  headrace_attention_args of = attention_of(args);
  of.head_dim = args.value_dim;
  need_tensor(of, tensor, stride, args.heads, alignment, name);
}

/// All but o, which backward does not read.
inline void check_inputs(const headrace_hstu_args& args, std::size_t alignment) {
  check_sizes(args);
  const headrace_attention_args of = attention_of(args);
  need_tensor(of, args.q, args.q_stride, args.heads, alignment, "q");
  need_tensor(of, args.k, args.k_stride, args.heads, alignment, "k");
  need_values(args, args.v, args.v_stride, alignment, "v");
  need_array(args.offsets, std::uint64_t{args.sequences} + 1, "offsets");
}

inline void check(const headrace_hstu_args& args, std::size_t alignment) {
  check_inputs(args, alignment);
  need_values(args, args.o, args.o_stride, alignment, "o");
}

inline headrace_hstu_args forward_of(const headrace_hstu_backward_args& args) {
  need(args.forward != nullptr, "forward is null");
  return whole_args(args.forward);
}

inline void check(const headrace_hstu_backward_args& args,
                  const headrace_hstu_args& forward,
                  std::size_t alignment) {
  need(args.flags == 0, "flags has bits set that it lacks");
  check_inputs(forward, alignment);
  const headrace_attention_args of = attention_of(forward);
  need_values(forward, args.d_o, args.d_o_stride, alignment, "d_o");
  need_tensor(of, args.dq, args.dq_stride, forward.heads, alignment, "dq");
  need_tensor(of, args.dk, args.dk_stride, forward.heads, alignment, "dk");
  need_values(forward, args.dv, args.dv_stride, alignment, "dv");
  need(args.bias_table_gradient == nullptr || forward.bias_table != nullptr,
       "bias_table_gradient without a bias_table");
}

}  // namespace headrace::kernels::abi
