#include "kernels/abi/dense_checks.hpp"
#include "kernels/fm/fm_launch.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

std::size_t bytes(const headrace_fm_args& args) {
  abi::check_sizes(args);
  return 0;
}

std::size_t bytes(const headrace_fm_backward_args& args) {
  abi::check_sizes(args);
  return 2 * fm_partials(args.samples * args.features, args.latent_dim) * sizeof(float);
}

}  // namespace

extern "C" {

headrace_status headrace_fm(const headrace_fm_args* given, void* stream, void*, size_t) {
  return abi::entry("fm", given, [&](const headrace_fm_args& args) {
    abi::check(args);
    launch_fm_forward({.rows = args.rows,
                       .inverse = args.inverse,
                       .values = args.values,
                       .logits = args.logits,
                       .sums = args.sums,
                       .samples = static_cast<std::uint32_t>(args.samples),
                       .features = static_cast<std::uint32_t>(args.features),
                       .latent_dim = static_cast<std::uint32_t>(args.latent_dim),
                       .bias = args.bias},
                      cuda_launch{stream});
  });
}

size_t headrace_fm_workspace(const headrace_fm_args* given) {
  return abi::workspace_query(
      "fm", given, [](const headrace_fm_args& args) { return bytes(args); });
}

headrace_status headrace_fm_backward(const headrace_fm_backward_args* given,
                                     void* stream,
                                     void* workspace,
                                     size_t workspace_bytes) {
  return abi::entry("fm_backward", given, [&](const headrace_fm_backward_args& args) {
    abi::check(args);
    abi::need_workspace(workspace, workspace_bytes, bytes(args));
    const std::size_t occurrences = args.samples * args.features;
    auto* heads = static_cast<float*>(workspace);
    launch_fm_backward({.rows = args.rows,
                        .inverse = args.inverse,
                        .order = args.order,
                        .values = args.values,
                        .sums = args.sums,
                        .logit_gradients = args.logit_gradients,
                        .row_gradients = args.row_gradients,
                        .heads = heads,
                        .tails = heads + fm_partials(occurrences, args.latent_dim),
                        .occurrences = static_cast<std::uint32_t>(occurrences),
                        .features = static_cast<std::uint32_t>(args.features),
                        .latent_dim = static_cast<std::uint32_t>(args.latent_dim)},
                       static_cast<std::uint32_t>(args.samples),
                       args.bias_gradient,
                       cuda_launch{stream});
  });
}

size_t headrace_fm_backward_workspace(const headrace_fm_backward_args* given) {
  return abi::workspace_query(
      "fm_backward", given, [](const headrace_fm_backward_args& args) { return bytes(args); });
}

}  // extern "C"
