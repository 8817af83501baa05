#include "kernels/abi/attention_cpu_checks.hpp"
#include "kernels/abi/cpu_call.hpp"
#include "kernels/abi/hstu_checks.hpp"
#include "kernels/hstu/hstu.hpp"

// Entries of headrace_attention.h on the CPU: hstu.
using namespace headrace::kernels;

namespace {

std::size_t workspace_bytes_of(const headrace_hstu_args& args) {
  abi::check_sizes(args);
  abi::need_f32(args.dtype);
  return hstu_workspace(args.head_dim, args.value_dim) * sizeof(float);
}

std::size_t workspace_bytes_of(const headrace_hstu_backward_args& args) {
  const headrace_hstu_args forward = abi::forward_of(args);
  abi::check_sizes(forward);
  abi::need_f32(forward.dtype);
  return hstu_backward_workspace(forward.head_dim, forward.value_dim, forward.tokens) *
         sizeof(float);
}

hstu_args forward_args(const headrace_hstu_args& args) {
  const std::size_t table =
      args.bias_table == nullptr ? 0 : abi::table_size(abi::attention_of(args));
  return {.q = static_cast<const float*>(args.q),
          .q_stride = args.q_stride,
          .k = static_cast<const float*>(args.k),
          .k_stride = args.k_stride,
          .v = static_cast<const float*>(args.v),
          .v_stride = args.v_stride,
          .offsets = {args.offsets, std::size_t{args.sequences} + 1},
          .heads = args.heads,
          .head_dim = args.head_dim,
          .value_dim = args.value_dim,
          .scale = args.scale,
          .normaliser = args.normaliser,
          .mask = abi::mask_of(abi::attention_of(args)),
          .bias_table = {args.bias_table, table},
          .max_distance = args.max_distance,
          .o = static_cast<float*>(args.o),
          .o_stride = args.o_stride};
}

}  // namespace

extern "C" {

headrace_status headrace_hstu(const headrace_hstu_args* given,
                              void* stream,
                              void* workspace,
                              size_t workspace_bytes) {
  return abi::entry("hstu", given, [&](const headrace_hstu_args& args) {
    abi::need_no_stream(stream);
    const std::size_t needed = workspace_bytes_of(args);
    abi::check(args, sizeof(float));
    abi::need_workspace(workspace, workspace_bytes, needed);
    abi::check_offsets(args.offsets, args.sequences, args.tokens);
    hstu_args call = forward_args(args);
    call.workspace = abi::floats(workspace, needed);
    hstu(call);
  });
}

size_t headrace_hstu_workspace(const headrace_hstu_args* given) {
  return abi::workspace_query(
      "hstu", given, [](const headrace_hstu_args& args) { return workspace_bytes_of(args); });
}

headrace_status headrace_hstu_backward(const headrace_hstu_backward_args* given,
                                       void* stream,
                                       void* workspace,
                                       size_t workspace_bytes) {
  return abi::entry("hstu_backward", given, [&](const headrace_hstu_backward_args& args) {
    abi::need_no_stream(stream);
    const headrace_hstu_args forward = abi::forward_of(args);
    const std::size_t needed = workspace_bytes_of(args);
    abi::check(args, forward, sizeof(float));
    abi::need_workspace(workspace, workspace_bytes, needed);
    abi::check_offsets(forward.offsets, forward.sequences, forward.tokens);
    const std::size_t table =
        args.bias_table_gradient == nullptr ? 0 : abi::table_size(abi::attention_of(forward));
    hstu_backward({.forward = forward_args(forward),
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

size_t headrace_hstu_backward_workspace(const headrace_hstu_backward_args* given) {
  return abi::workspace_query("hstu_backward", given, [](const headrace_hstu_backward_args& args) {
    return workspace_bytes_of(args);
  });
}

}  // extern "C"
