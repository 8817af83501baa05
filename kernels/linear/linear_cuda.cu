#include "kernels/abi/graph_checks.hpp"
#include "kernels/linear/linear_launch.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

template <class Args>
device_linear layer_of(const Args& args) {
  return {args.x,
          args.weights,
          static_cast<std::uint32_t>(args.rows),
          static_cast<std::uint32_t>(args.in),
          static_cast<std::uint32_t>(args.out),
          abi::activation_of(args)};
}

linear_backward_parts parts_of(const headrace_linear_backward_args& args, void* workspace) {
  return {static_cast<std::byte*>(workspace),
          static_cast<std::uint32_t>(args.rows),
          static_cast<std::uint32_t>(args.in),
          static_cast<std::uint32_t>(args.out),
          abi::activation_of(args)};
}

std::size_t backward_bytes(const headrace_linear_backward_args& args) {
  abi::check_linear_sizes(args);
  return parts_of(args, nullptr).bytes;
}

}  // namespace

extern "C" {

headrace_status headrace_linear(const headrace_linear_args* given, void* stream, void*, size_t) {
  return abi::entry("linear", given, [&](const headrace_linear_args& args) {
    abi::check(args);
    float* saved = linear_reads_saved(abi::activation_of(args)) ? args.saved : nullptr;
    launch_linear(layer_of(args), args.bias, args.y, saved, cuda_launch{stream});
  });
}

size_t headrace_linear_workspace(const headrace_linear_args* given) {
  return abi::workspace_query("linear", given, [](const headrace_linear_args& args) {
    abi::check_linear_sizes(args);
    return std::size_t{0};
  });
}

headrace_status headrace_linear_backward(const headrace_linear_backward_args* given,
                                         void* stream,
                                         void* workspace,
                                         size_t workspace_bytes) {
  return abi::entry("linear_backward", given, [&](const headrace_linear_backward_args& args) {
    abi::check(args);
    abi::need_workspace(workspace, workspace_bytes, backward_bytes(args));
    const bool keeps_z = linear_reads_saved(abi::activation_of(args));
    launch_linear_backward(layer_of(args),
                           {.kept = keeps_z ? args.saved : args.y,
                            .dy = args.y_gradients,
                            .dx = args.x_gradients,
                            .dweights = args.weight_gradients,
                            .dbias = args.bias_gradients},
                           parts_of(args, workspace),
                           cuda_launch{stream});
  });
}

size_t headrace_linear_backward_workspace(const headrace_linear_backward_args* given) {
  return abi::workspace_query("linear_backward", given, backward_bytes);
}

}  // extern "C"
