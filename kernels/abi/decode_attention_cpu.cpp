#include "kernels/abi/attention_cpu_checks.hpp"
#include "kernels/abi/cpu_call.hpp"
#include "kernels/decode_attention/decode_attention.hpp"

// Entries of headrace_attention.h on the CPU: decode.
using namespace headrace::kernels;

namespace {

std::size_t workspace_bytes_of(const headrace_decode_attention_args& args) {
  abi::check_sizes(args);
  abi::need_f32(args.dtype);
  return 0;
}

std::size_t merge_workspace(const headrace_merge_attention_args& args) {
  abi::check_sizes(args);
  abi::need_f32(args.dtype);
  return 0;
}

}  // namespace

extern "C" {

headrace_status headrace_decode_attention(const headrace_decode_attention_args* given,
                                          void* stream,
                                          void*,
                                          size_t) {
  return abi::entry("decode_attention", given, [&](const headrace_decode_attention_args& args) {
    abi::need_no_stream(stream);
    workspace_bytes_of(args);
    abi::check(args, sizeof(float));
    const std::size_t rows = std::size_t{args.sequences} * args.heads;
    const std::size_t cache = abi::cache_size(args);
    decode_attention({.cache = {.sequences = args.sequences,
                                .kv_heads = args.kv_heads,
                                .head_dim = args.head_dim,
                                .pinned = args.pinned,
                                .window = args.window},
                      .q = {static_cast<const float*>(args.q), rows * args.head_dim},
                      .keys = {static_cast<const float*>(args.keys), cache},
                      .values = {static_cast<const float*>(args.values), cache},
                      .lengths = {args.lengths, args.sequences},
                      .heads = args.heads,
                      .scale = args.scale,
                      .slots_begin = args.slots_begin,
                      .slots_end = abi::slots_end_of(args),
                      .o = {static_cast<float*>(args.o), rows * args.head_dim},
                      .lse = {args.lse, rows}});
  });
}

size_t headrace_decode_attention_workspace(const headrace_decode_attention_args* given) {
  return abi::workspace_query(
      "decode_attention", given, [](const headrace_decode_attention_args& args) {
        return workspace_bytes_of(args);
      });
}

headrace_status headrace_merge_attention(const headrace_merge_attention_args* given,
                                         void* stream,
                                         void*,
                                         size_t) {
  return abi::entry("merge_attention", given, [&](const headrace_merge_attention_args& args) {
    abi::need_no_stream(stream);
    merge_workspace(args);
    abi::check(args);
    const std::size_t size = args.rows * args.dim;
    merge_attention({.o = {static_cast<float*>(args.o), size},
                     .lse = {args.lse, args.rows},
                     .other_o = {static_cast<const float*>(args.other_o), size},
                     .other_lse = {args.other_lse, args.rows},
                     .dim = args.dim});
  });
}

size_t headrace_merge_attention_workspace(const headrace_merge_attention_args* given) {
  return abi::workspace_query("merge_attention", given, merge_workspace);
}

}  // extern "C"
