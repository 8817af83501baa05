#pragma once

#include "kernels/abi/entry.hpp"
#include "kernels/attention/mask.hpp"
#include "kernels/include/headrace_attention.h"

#include <cmath>

/// What both libraries refuse of the entries of headrace_attention.h. `alignment` is that of a
/// tensor's tokens, in bytes: more than an element's where a library moves several at a time.
namespace headrace::kernels::abi {

constexpr std::uint64_t attention_tokens_max = 0x7FFFFFFFU;
constexpr std::uint64_t attention_heads_max = 65'535;
constexpr std::uint64_t attention_distance_max = 1U << 24;

/// What can be said without looking through a pointer.
inline void check_sizes(const headrace_attention_args& args) {
  constexpr std::uint32_t known = HEADRACE_ATTENTION_CAUSAL | HEADRACE_ATTENTION_WINDOWED;
  need((args.flags & ~known) == 0, "flags has bits set that it lacks");
  need_dtype(args.dtype, "dtype");
  need(args.tokens <= attention_tokens_max, "tokens is above 2^31 - 1");
  need(args.sequences > 0 || args.tokens == 0, "tokens without sequences");
  need(args.heads >= 1 && args.heads <= attention_heads_max, "heads is not in 1 to 65535");
  need(args.kv_heads >= 1 && args.heads % args.kv_heads == 0, "kv_heads does not divide heads");
  need(args.head_dim >= 1, "head_dim is 0");
  need(args.max_distance <= attention_distance_max, "max_distance is above 2^24");
  need(args.bias_table == nullptr || args.heads * (2 * args.max_distance + 1) <= 0x7FFFFFFFU,
       "bias_table has above 2^31 - 1 entries");
  need(std::isfinite(args.scale), "scale is not finite");
}

/// One tensor of `tokens` rows of `heads` heads.
inline void need_tensor(const headrace_attention_args& args,
                        const void* tensor,
                        std::uint64_t stride,
                        std::uint64_t heads,
                        std::size_t alignment,
                        const char* name) {
  const std::size_t bytes = dtype_bytes(args.dtype);
  const std::string text = name;
  if (stride < heads * args.head_dim)
    refuse(HEADRACE_BAD_ARGUMENT, text + "_stride is below heads * head_dim");
  if (stride * bytes % alignment != 0) {
    refuse(HEADRACE_BAD_ARGUMENT,
           text + "_stride is no multiple of " + std::to_string(alignment / bytes));
  }
  need_bytes(tensor, args.tokens, alignment, name);
}

inline void check(const headrace_attention_args& args, std::size_t alignment) {
  check_sizes(args);
  need_tensor(args, args.q, args.q_stride, args.heads, alignment, "q");
  need_tensor(args, args.k, args.k_stride, args.kv_heads, alignment, "k");
  need_tensor(args, args.v, args.v_stride, args.kv_heads, alignment, "v");
  need_tensor(args, args.o, args.o_stride, args.heads, alignment, "o");
  need_array(args.offsets, std::uint64_t{args.sequences} + 1, "offsets");
  need_array(args.lse, args.tokens, "lse");
}

inline headrace_attention_args forward_of(const headrace_attention_backward_args& args) {
  need(args.forward != nullptr, "forward is null");
  return whole_args(args.forward);
}

inline void check(const headrace_attention_backward_args& args,
                  const headrace_attention_args& forward,
                  std::size_t alignment) {
  need(args.flags == 0, "flags has bits set that it lacks");
  check(forward, alignment);
  need_tensor(forward, args.d_o, args.d_o_stride, forward.heads, alignment, "d_o");
  need_tensor(forward, args.dq, args.dq_stride, forward.heads, alignment, "dq");
  need_tensor(forward, args.dk, args.dk_stride, forward.kv_heads, alignment, "dk");
  need_tensor(forward, args.dv, args.dv_stride, forward.kv_heads, alignment, "dv");
  need(args.bias_table_gradient == nullptr || forward.bias_table != nullptr,
       "bias_table_gradient without a bias_table");
}

inline attention_mask mask_of(const headrace_attention_args& args) {
  const bool windowed = (args.flags & HEADRACE_ATTENTION_WINDOWED) != 0;
  return {.causal = (args.flags & HEADRACE_ATTENTION_CAUSAL) != 0,
          .window = windowed ? args.window : attention_mask::no_window,
          .globals = windowed ? args.globals : 0};
}

/// Floats of a bias table.
inline std::size_t table_size(const headrace_attention_args& args) {
  return args.heads * (2 * args.max_distance + 1);
}

/// What can be said of a decode without looking through a pointer.
inline void check_sizes(const headrace_decode_attention_args& args) {
  need(args.flags == 0, "flags has bits set that it lacks");
  need_dtype(args.dtype, "dtype");
  need(args.sequences <= attention_heads_max, "sequences is above 65535");
  need(args.heads >= 1 && args.heads <= attention_heads_max, "heads is not in 1 to 65535");
  need(args.kv_heads >= 1 && args.heads % args.kv_heads == 0, "kv_heads does not divide heads");
  need(args.head_dim >= 1, "head_dim is 0");
  need(args.window >= 1, "window is 0");
  need(args.window <= attention_tokens_max && args.pinned <= attention_tokens_max - args.window,
       "pinned + window is above 2^31 - 1");
  need(std::isfinite(args.scale), "scale is not finite");
}

/// Numbers of the cache, of keys or of values.
inline std::size_t cache_size(const headrace_decode_attention_args& args) {
  const std::size_t heads = std::size_t{args.sequences} * args.kv_heads;
  return product(
      product(heads, args.pinned + args.window, "the cache"), args.head_dim, "the cache");
}

inline void check(const headrace_decode_attention_args& args, std::size_t alignment) {
  check_sizes(args);
  const std::size_t size = cache_size(args);
  need_bytes(args.q, args.sequences, alignment, "q");
  need_bytes(args.keys, size, alignment, "keys");
  need_bytes(args.values, size, alignment, "values");
  need_array(args.lengths, args.sequences, "lengths");
  need_bytes(args.o, args.sequences, alignment, "o");
  need_array(args.lse, args.sequences, "lse");
}

inline std::uint64_t slots_end_of(const headrace_decode_attention_args& args) {
  const std::uint64_t slots = args.pinned + args.window;
  return args.slots_end == 0 || args.slots_end > slots ? slots : args.slots_end;
}

inline void check_sizes(const headrace_merge_attention_args& args) {
  need(args.flags == 0, "flags has bits set that it lacks");
  need_dtype(args.dtype, "dtype");
  need(args.dim >= 1, "dim is 0");
  need(args.rows <= attention_tokens_max, "rows is above 2^31 - 1");
}

inline void check(const headrace_merge_attention_args& args) {
  check_sizes(args);
  const std::size_t alignment = dtype_bytes(args.dtype);
  need_bytes(args.o, args.rows, alignment, "o");
  need_array(args.lse, args.rows, "lse");
  need_bytes(args.other_o, args.rows, alignment, "other_o");
  need_array(args.other_lse, args.rows, "other_lse");
}

}  // namespace headrace::kernels::abi
