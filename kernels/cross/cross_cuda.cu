#include "kernels/abi/losses_checks.hpp"
#include "kernels/cross/cross_launch.hpp"
#include "kernels/runtime/alignment.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

std::size_t bytes(const headrace_cross_combine_args& args) {
  abi::check_sizes(args);
  return 0;
}

std::size_t bytes(const headrace_cross_combine_backward_args& args) {
  abi::check_sizes(args);
  return cross_partials(static_cast<std::uint32_t>(args.rows),
                        static_cast<std::uint32_t>(args.dim)) *
         sizeof(float);
}

}  // namespace

extern "C" {

headrace_status headrace_cross_combine(const headrace_cross_combine_args* given,
                                       void* stream,
                                       void*,
                                       size_t) {
  return abi::entry("cross_combine", given, [&](const headrace_cross_combine_args& args) {
    abi::check(args);
    launch_cross_forward(
        {.x0 = args.x0,
         .x = args.x,
         .bias = args.bias,
         .affine = args.affine,
         .out = args.out,
         .rows = static_cast<std::uint32_t>(args.rows),
         .dim = static_cast<std::uint32_t>(args.dim),
         .block_rows = 0,
         .aligned =
             args.dim % 4 == 0 && aligned_to_16(args.x0, args.x, args.bias, args.affine, args.out)},
        cuda_launch{stream});
  });
}

size_t headrace_cross_combine_workspace(const headrace_cross_combine_args* given) {
  return abi::workspace_query(
      "cross_combine", given, [](const headrace_cross_combine_args& args) { return bytes(args); });
}

headrace_status headrace_cross_combine_backward(const headrace_cross_combine_backward_args* given,
                                                void* stream,
                                                void* workspace,
                                                size_t workspace_bytes) {
  return abi::entry(
      "cross_combine_backward", given, [&](const headrace_cross_combine_backward_args& args) {
        abi::check(args);
        abi::need_workspace(workspace, workspace_bytes, bytes(args));
        launch_cross_backward({.x0 = args.x0,
                               .affine = args.affine,
                               .out_gradients = args.out_gradients,
                               .affine_gradients = args.affine_gradients,
                               .x0_gradients = args.x0_gradients,
                               .bias_partials = static_cast<float*>(workspace),
                               .rows = static_cast<std::uint32_t>(args.rows),
                               .dim = static_cast<std::uint32_t>(args.dim),
                               .block_rows = 0,
                               .aligned = args.dim % 4 == 0 && aligned_to_16(args.x0,
                                                                             args.affine,
                                                                             args.out_gradients,
                                                                             args.affine_gradients,
                                                                             args.x0_gradients)},
                              args.bias_gradients,
                              cuda_launch{stream});
      });
}

size_t headrace_cross_combine_backward_workspace(
    const headrace_cross_combine_backward_args* given) {
  return abi::workspace_query(
      "cross_combine_backward", given, [](const headrace_cross_combine_backward_args& args) {
        return bytes(args);
      });
}

}  // extern "C"
