#include "kernels/abi/dense_plan.hpp"
#include "kernels/abi/losses_checks.hpp"
#include "kernels/dense_update/dense_update_launch.hpp"
#include "kernels/runtime/alignment.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

std::size_t bytes(const headrace_dense_update_args& args) {
  abi::check_sizes(args);
  return args.tensors_count * sizeof(device::dense_factors);
}

}  // namespace

extern "C" {

headrace_status headrace_dense_update(const headrace_dense_update_args* given,
                                      void* stream,
                                      void* workspace,
                                      size_t workspace_bytes) {
  return abi::entry("dense_update", given, [&](const headrace_dense_update_args& args) {
    abi::check(args);
    abi::need_workspace(workspace, workspace_bytes, bytes(args));
    launch_dense_update(
        {.tensors = reinterpret_cast<const dense_tensor*>(args.tensors),
         .count = static_cast<std::uint32_t>(args.tensors_count),
         .verdict = reinterpret_cast<const device::gradient_verdict*>(args.verdict),
         .factors = static_cast<device::dense_factors*>(workspace),
         .numbers = {args.clip, args.norm_max, args.momentum, args.beta1, args.beta2},
         .weights = args.weights,
         .gradients = args.gradients,
         .state = args.state,
         .brains = args.brains,
         .aligned = aligned_to_16(args.weights, args.gradients, args.state, args.brains)},
        static_cast<update_rule>(args.rule),
        static_cast<std::uint32_t>(args.blocks),
        cuda_launch{stream});
  });
}

size_t headrace_dense_update_workspace(const headrace_dense_update_args* given) {
  return abi::workspace_query(
      "dense_update", given, [](const headrace_dense_update_args& args) { return bytes(args); });
}

headrace_status headrace_dense_plan(headrace_dense_tensor* tensors,
                                    uint64_t tensors_count,
                                    uint64_t* blocks) {
  return abi::call("dense_plan", [&] { abi::plan_dense(tensors, tensors_count, blocks); });
}

}  // extern "C"
