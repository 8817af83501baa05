#include "kernels/abi/dense_checks.hpp"
#include "kernels/dot_interaction/dot_interaction_launch.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

std::size_t bytes(const headrace_dot_interaction_args& args) {
  abi::check_sizes(args);
  return 0;
}

std::size_t bytes(const headrace_dot_interaction_backward_args& args) {
  abi::check_sizes(args);
  return 0;
}

}  // namespace

extern "C" {

headrace_status headrace_dot_interaction(const headrace_dot_interaction_args* given,
                                         void* stream,
                                         void*,
                                         size_t) {
  return abi::entry("dot_interaction", given, [&](const headrace_dot_interaction_args& args) {
    abi::check(args);
    launch_dot_forward({.from = {args.values, args.sample_stride, args.field_stride},
                        .out = args.out,
                        .out_stride = args.out_stride,
                        .samples = static_cast<std::uint32_t>(args.samples),
                        .fields = static_cast<std::uint32_t>(args.fields),
                        .dim = static_cast<std::uint32_t>(args.dim)},
                       cuda_launch{stream});
  });
}

size_t headrace_dot_interaction_workspace(const headrace_dot_interaction_args* given) {
  return abi::workspace_query(
      "dot_interaction", given, [](const headrace_dot_interaction_args& args) {
        return bytes(args);
      });
}

headrace_status headrace_dot_interaction_backward(
    const headrace_dot_interaction_backward_args* given, void* stream, void*, size_t) {
  return abi::entry(
      "dot_interaction_backward", given, [&](const headrace_dot_interaction_backward_args& args) {
        abi::check(args);
        launch_dot_backward({.from = {args.values, args.sample_stride, args.field_stride},
                             .out_gradients = args.out_gradients,
                             .out_stride = args.out_stride,
                             .field_gradients = args.field_gradients,
                             .sample_stride = args.gradient_sample_stride,
                             .field_stride = args.gradient_field_stride,
                             .samples = static_cast<std::uint32_t>(args.samples),
                             .fields = static_cast<std::uint32_t>(args.fields),
                             .dim = static_cast<std::uint32_t>(args.dim)},
                            cuda_launch{stream});
      });
}

size_t headrace_dot_interaction_backward_workspace(
    const headrace_dot_interaction_backward_args* given) {
  return abi::workspace_query(
      "dot_interaction_backward", given, [](const headrace_dot_interaction_backward_args& args) {
        return bytes(args);
      });
}

}  // extern "C"
