#include "kernels/hstu/hstu_device_args.hpp"
#include "kernels/hstu/hstu_launch.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

std::size_t workspace_bytes_of(const headrace_hstu_backward_args& args,
                               const headrace_hstu_args& forward) {
  abi::check_sizes(forward);
  abi::need_matrix_units(forward);
  if (args.bias_table_gradient == nullptr) return 0;
  return hstu_tables(abi::table_size(abi::attention_of(forward))) * sizeof(float);
}

}  // namespace

extern "C" {

headrace_status headrace_hstu_backward(const headrace_hstu_backward_args* given,
                                       void* stream,
                                       void* workspace,
                                       size_t workspace_bytes) {
  return abi::entry("hstu_backward", given, [&](const headrace_hstu_backward_args& args) {
    const headrace_hstu_args forward = abi::forward_of(args);
    const std::size_t needed = workspace_bytes_of(args, forward);
    abi::check(args, forward, abi::attention_alignment);
    abi::need_workspace(workspace, workspace_bytes, needed);
    abi::with_element(forward.dtype, [&](auto element) {
      launch_hstu_backward<decltype(element)>(abi::view_of(args, forward),
                                              args.bias_table_gradient,
                                              forward.head_dim,
                                              static_cast<std::uint32_t>(forward.tokens),
                                              static_cast<float*>(workspace),
                                              cuda_launch{stream});
    });
  });
}

size_t headrace_hstu_backward_workspace(const headrace_hstu_backward_args* given) {
  return abi::workspace_query("hstu_backward", given, [](const headrace_hstu_backward_args& args) {
    return workspace_bytes_of(args, abi::forward_of(args));
  });
}

}  // extern "C"
