#include "kernels/abi/dense_checks.hpp"
#include "kernels/layer_norm/layer_norm_launch.hpp"
#include "kernels/runtime/alignment.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

void need_registers(std::uint64_t dim) {
  if (dim > layer_norm_dim_max) abi::refuse(HEADRACE_UNSUPPORTED, "dim is above 8192");
}

std::size_t bytes(const headrace_layer_norm_args& args) {
  abi::check_sizes(args);
  need_registers(args.dim);
  return 0;
}

std::size_t bytes(const headrace_layer_norm_backward_args& args) {
  abi::check_sizes(args);
  need_registers(args.dim);
  return layer_norm_workspace(static_cast<std::uint32_t>(args.rows),
                              static_cast<std::uint32_t>(args.dim),
                              !abi::is_rms(args)) *
         sizeof(float);
}

}  // namespace

extern "C" {

headrace_status headrace_layer_norm(const headrace_layer_norm_args* given,
                                    void* stream,
                                    void*,
                                    size_t) {
  return abi::entry("layer_norm", given, [&](const headrace_layer_norm_args& args) {
    abi::check(args);
    need_registers(args.dim);
    launch_layer_norm_forward(
        {.x = args.x,
         .residual = args.residual,
         .gain = args.gain,
         .bias = args.bias,
         .sum = args.sum,
         .y = args.y,
         .mean = args.mean,
         .rstd = args.rstd,
         .rows = static_cast<std::uint32_t>(args.rows),
         .dim = static_cast<std::uint32_t>(args.dim),
         .epsilon = args.epsilon,
         .aligned = args.dim % 4 == 0 &&
                    aligned_to_16(args.x, args.residual, args.gain, args.bias, args.sum, args.y)},
        cuda_launch{stream});
  });
}

size_t headrace_layer_norm_workspace(const headrace_layer_norm_args* given) {
  return abi::workspace_query(
      "layer_norm", given, [](const headrace_layer_norm_args& args) { return bytes(args); });
}

headrace_status headrace_layer_norm_backward(const headrace_layer_norm_backward_args* given,
                                             void* stream,
                                             void* workspace,
                                             size_t workspace_bytes) {
  return abi::entry(
      "layer_norm_backward", given, [&](const headrace_layer_norm_backward_args& args) {
        abi::check(args);
        abi::need_workspace(workspace, workspace_bytes, bytes(args));
        auto* partials = static_cast<float*>(workspace);
        const std::size_t teams = layer_norm_teams(static_cast<std::uint32_t>(args.rows),
                                                   static_cast<std::uint32_t>(args.dim));
        launch_layer_norm_backward(
            {.sum = args.sum,
             .gain = args.gain,
             .mean = args.mean,
             .rstd = args.rstd,
             .y_gradients = args.y_gradients,
             .sum_gradients = args.sum_gradients,
             .x_gradients = args.x_gradients,
             .gain_partials = partials,
             .bias_partials = abi::is_rms(args) ? nullptr : partials + teams * args.dim,
             .rows = static_cast<std::uint32_t>(args.rows),
             .dim = static_cast<std::uint32_t>(args.dim),
             .aligned =
                 args.dim % 4 == 0 &&
                 aligned_to_16(
                     args.sum, args.gain, args.y_gradients, args.sum_gradients, args.x_gradients)},
            args.gain_gradients,
            args.bias_gradients,
            cuda_launch{stream});
      });
}

size_t headrace_layer_norm_backward_workspace(const headrace_layer_norm_backward_args* given) {
  return abi::workspace_query(
      "layer_norm_backward", given, [](const headrace_layer_norm_backward_args& args) {
        return bytes(args);
      });
}

}  // extern "C"
