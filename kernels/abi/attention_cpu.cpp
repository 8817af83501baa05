#include "kernels/abi/attention_cpu_checks.hpp"
#include "kernels/abi/cpu_call.hpp"
#include "kernels/attention/attention.hpp"

#include <span>

// Entries of headrace_attention.h on the CPU.
using namespace headrace::kernels;

namespace {

std::size_t workspace_bytes_of(const headrace_attention_args& args) {
  abi::check_sizes(args);
  abi::need_f32(args.dtype);
  return attention_workspace(args.head_dim) * sizeof(float);
}

std::size_t workspace_bytes_of(const headrace_attention_backward_args& args) {
  const headrace_attention_args forward = abi::forward_of(args);
  abi::check_sizes(forward);
  abi::need_f32(forward.dtype);
  return attention_backward_workspace(forward.head_dim, forward.tokens) * sizeof(float);
}

attention_args forward_args(const headrace_attention_args& args) {
  const std::size_t table = args.bias_table == nullptr ? 0 : abi::table_size(args);
  const std::size_t gates = args.active == nullptr ? 0 : std::size_t{args.sequences} * args.heads;
  return {.q = static_cast<const float*>(args.q),
          .q_stride = args.q_stride,
          .k = static_cast<const float*>(args.k),
          .k_stride = args.k_stride,
          .v = static_cast<const float*>(args.v),
          .v_stride = args.v_stride,
          .offsets = {args.offsets, std::size_t{args.sequences} + 1},
          .heads = args.heads,
          .kv_heads = args.kv_heads,
          .head_dim = args.head_dim,
          .scale = args.scale,
          .mask = abi::mask_of(args),
          .alibi_slopes = {args.alibi_slopes,
                           args.alibi_slopes == nullptr ? std::size_t{0} : args.heads},
          .bias_table = {args.bias_table, table},
          .max_distance = args.max_distance,
          .active = {args.active, gates},
          .o = static_cast<float*>(args.o),
          .o_stride = args.o_stride,
          .lse = {args.lse, args.tokens * args.heads}};
}

}  // namespace

extern "C" {

headrace_status headrace_attention(const headrace_attention_args* given,
                                   void* stream,
                                   void* workspace,
                                   size_t workspace_bytes) {
  return abi::entry("attention", given, [&](const headrace_attention_args& args) {
    abi::need_no_stream(stream);
    const std::size_t needed = workspace_bytes_of(args);
    abi::check(args, sizeof(float));
    abi::need_workspace(workspace, workspace_bytes, needed);
    abi::check_offsets(args.offsets, args.sequences, args.tokens);
    attention_args call = forward_args(args);
    call.workspace = abi::floats(workspace, needed);
    attention(call);
  });
}

size_t headrace_attention_workspace(const headrace_attention_args* given) {
  return abi::workspace_query("attention", given, [](const headrace_attention_args& args) {
    return workspace_bytes_of(args);
  });
}

headrace_status headrace_attention_backward(const headrace_attention_backward_args* given,
                                            void* stream,
                                            void* workspace,
                                            size_t workspace_bytes) {
  return abi::entry("attention_backward", given, [&](const headrace_attention_backward_args& args) {
    abi::need_no_stream(stream);
    const headrace_attention_args forward = abi::forward_of(args);
    abi::check(args, forward, sizeof(float));
    const std::size_t needed = workspace_bytes_of(args);
    abi::need_workspace(workspace, workspace_bytes, needed);
    abi::check_offsets(forward.offsets, forward.sequences, forward.tokens);
    const std::size_t table = args.bias_table_gradient == nullptr ? 0 : abi::table_size(forward);
    attention_backward({.forward = forward_args(forward),
                        .d_o = static_cast<const float*>(args.d_o),
                        .d_o_stride = args.d_o_stride,
                        .dq = static_cast<float*>(args.dq),
                        .dq_stride = args.dq_stride,
                        .dk = static_cast<float*>(args.dk),
                        .dk_stride = args.dk_stride,
                        .dv = static_cast<float*>(args.dv),
                        .dv_stride = args.dv_stride,
                        .bias_table_gradient = {args.bias_table_gradient, table},
                        .workspace = abi::floats(workspace, needed)});
  });
}

size_t headrace_attention_backward_workspace(const headrace_attention_backward_args* given) {
  return abi::workspace_query(
      "attention_backward", given, [](const headrace_attention_backward_args& args) {
        return workspace_bytes_of(args);
      });
}

}  // extern "C"
