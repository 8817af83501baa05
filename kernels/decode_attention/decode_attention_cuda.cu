#include "kernels/attention/attention_device_args.hpp"
#include "kernels/decode_attention/decode_attention_launch.hpp"
#include "kernels/decode_attention/merge_attention_kernel.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

/// Blocks are shared out by what is asked for, not by the lengths, which are on the device.
std::uint32_t splits_of(const headrace_decode_attention_args& args) {
  const std::uint64_t end = abi::slots_end_of(args);
  return decode_splits(std::uint64_t{args.sequences} * args.kv_heads,
                       args.slots_begin < end ? end - args.slots_begin : 0);
}

std::size_t workspace_bytes_of(const headrace_decode_attention_args& args) {
  abi::check_sizes(args);
  abi::need_matrix_units(args.dtype, args.head_dim);
  const std::size_t rows = std::size_t{args.sequences} * args.heads;
  return decode_workspace(rows, args.head_dim, splits_of(args)) * sizeof(float);
}

decode_view view_of(const headrace_decode_attention_args& args) {
  const std::uint64_t end = abi::slots_end_of(args);
  return {
      .q = static_cast<const std::uint16_t*>(args.q),
      .keys = static_cast<const std::uint16_t*>(args.keys),
      .values = static_cast<const std::uint16_t*>(args.values),
      .lengths = args.lengths,
      .sequences = args.sequences,
      .heads = args.heads,
      .kv_heads = args.kv_heads,
      .slots = static_cast<std::uint32_t>(args.pinned + args.window),
      .slots_begin = static_cast<std::uint32_t>(args.slots_begin < end ? args.slots_begin : end),
      .slots_end = static_cast<std::uint32_t>(end),
      .scale = args.scale,
      .splits = splits_of(args),
      .o = static_cast<std::uint16_t*>(args.o),
      .lse = args.lse};
}

std::size_t merge_workspace(const headrace_merge_attention_args& args) {
  abi::check_sizes(args);
  abi::need_halves(args.dtype);
  return 0;
}

}  // namespace

extern "C" {

headrace_status headrace_decode_attention(const headrace_decode_attention_args* given,
                                          void* stream,
                                          void* workspace,
                                          size_t workspace_bytes) {
  return abi::entry("decode_attention", given, [&](const headrace_decode_attention_args& args) {
    const std::size_t needed = workspace_bytes_of(args);
    abi::check(args, abi::attention_alignment);
    abi::need_workspace(workspace, workspace_bytes, needed);
    abi::with_element(args.dtype, [&](auto element) {
      launch_decode_attention<decltype(element)>(
          view_of(args), args.head_dim, static_cast<float*>(workspace), cuda_launch{stream});
    });
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
    merge_workspace(args);
    abi::check(args);
    const merge_view view = {static_cast<std::uint16_t*>(args.o),
                             args.lse,
                             static_cast<const std::uint16_t*>(args.other_o),
                             args.other_lse,
                             args.rows,
                             args.dim};
    abi::with_element(args.dtype, [&](auto element) {
      launch_merge_attention<decltype(element)>(view, cuda_launch{stream});
    });
  });
}

size_t headrace_merge_attention_workspace(const headrace_merge_attention_args* given) {
  return abi::workspace_query("merge_attention", given, merge_workspace);
}

}  // extern "C"
