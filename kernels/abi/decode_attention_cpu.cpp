#include "kernels/abi/attention_checks.hpp"
#include "kernels/decode_attention/decode_attention.hpp"

// Entries of headrace_attention.h on the CPU: decode.
using namespace headrace::kernels;

namespace {

std::size_t workspace_bytes_of(const headrace_decode_attention_args& args) {
  abi::check_sizes(args);
  if (args.dtype != HEADRACE_F32)
    abi::refuse(HEADRACE_UNSUPPORTED, "dtype is not f32, which alone the CPU library has");
  return 0;
}

}  // namespace

extern "C" {

headrace_status headrace_decode_attention(const headrace_decode_attention_args* given,
                                          void* stream,
                                          void*,
                                          size_t) {
  return abi::entry("decode_attention", given, [&](const headrace_decode_attention_args& args) {
    abi::need(stream == nullptr, "stream is not null: the CPU library has no streams");
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

}  // extern "C"
