#include "kernels/abi/losses_checks.hpp"
#include "kernels/bce/bce_launch.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

std::size_t bytes(const headrace_bce_args& args) {
  abi::check_sizes(args);
  return sum_blocks(args.samples) * sizeof(double);
}

}  // namespace

extern "C" {

headrace_status headrace_bce(const headrace_bce_args* given,
                             void* stream,
                             void* workspace,
                             size_t workspace_bytes) {
  return abi::entry("bce", given, [&](const headrace_bce_args& args) {
    abi::check(args);
    abi::need_workspace(workspace, workspace_bytes, bytes(args));
    launch_bce({.logits = args.logits,
                .labels = args.labels,
                .probabilities = args.probabilities,
                .logit_gradients = args.logit_gradients,
                .partials = static_cast<double*>(workspace),
                .n = args.samples},
               args.loss,
               cuda_launch{stream});
  });
}

size_t headrace_bce_workspace(const headrace_bce_args* given) {
  return abi::workspace_query(
      "bce", given, [](const headrace_bce_args& args) { return bytes(args); });
}

}  // extern "C"
