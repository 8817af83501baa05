#include "kernels/attention/attention_backward_launch.hpp"
#include "kernels/attention/attention_device_args.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

std::size_t workspace_bytes_of(const headrace_attention_backward_args& args,
                               const headrace_attention_args& forward) {
  abi::check_sizes(forward);
  abi::need_matrix_units(forward.dtype, forward.head_dim);
  const std::size_t table = args.bias_table_gradient == nullptr ? 0 : abi::table_size(forward);
  return backward_workspace_of(forward.tokens, forward.heads, table).bytes();
}

}  // namespace

extern "C" {

headrace_status headrace_attention_backward(const headrace_attention_backward_args* given,
                                            void* stream,
                                            void* workspace,
                                            size_t workspace_bytes) {
  return abi::entry("attention_backward", given, [&](const headrace_attention_backward_args& args) {
    const headrace_attention_args forward = abi::forward_of(args);
    const std::size_t needed = workspace_bytes_of(args, forward);
    abi::check(args, forward, abi::attention_alignment);
    abi::need_workspace(workspace, workspace_bytes, needed);
    abi::with_element(forward.dtype, [&](auto element) {
      launch_attention_backward<decltype(element)>(abi::view_of(args, forward),
                                                   args.bias_table_gradient,
                                                   forward.head_dim,
                                                   static_cast<std::uint32_t>(forward.tokens),
                                                   workspace,
                                                   cuda_launch{stream});
    });
  });
}

size_t headrace_attention_backward_workspace(const headrace_attention_backward_args* given) {
  return abi::workspace_query(
      "attention_backward", given, [](const headrace_attention_backward_args& args) {
        return workspace_bytes_of(args, abi::forward_of(args));
      });
}

}  // extern "C"
