#include "kernels/abi/losses_checks.hpp"
#include "kernels/loss_scaler/finite_check_launch.hpp"
#include "kernels/runtime/alignment.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

// The C structs are those that the kernels read.
static_assert(sizeof(headrace_loss_scaler) == sizeof(device::scaler_words));
static_assert(offsetof(headrace_loss_scaler, skipped_total) ==
              offsetof(device::scaler_words, skipped_total));
static_assert(sizeof(headrace_gradient_verdict) == sizeof(device::gradient_verdict));
static_assert(offsetof(headrace_gradient_verdict, inverse) ==
              offsetof(device::gradient_verdict, inverse));
static_assert(offsetof(headrace_gradient_verdict, squares) ==
              offsetof(device::gradient_verdict, squares));

std::size_t bytes(const headrace_gradient_scan_args& args) {
  abi::check_sizes(args);
  return sum_blocks(args.size) * (sizeof(double) + sizeof(std::uint32_t));
}

}  // namespace

extern "C" {

headrace_status headrace_gradient_scan(const headrace_gradient_scan_args* given,
                                       void* stream,
                                       void* workspace,
                                       size_t workspace_bytes) {
  return abi::entry("gradient_scan", given, [&](const headrace_gradient_scan_args& args) {
    abi::check(args);
    abi::need_workspace(workspace, workspace_bytes, bytes(args));
    auto* squares = static_cast<double*>(workspace);
    const bool with_squares = (args.flags & HEADRACE_SCAN_SQUARES) != 0;
    launch_gradient_scan(
        {.gradients = args.gradients,
         .largest = reinterpret_cast<std::uint32_t*>(squares + sum_blocks(args.size)),
         .squares = with_squares ? squares : nullptr,
         .n = args.size,
         .aligned = aligned_to_16(args.gradients)},
        {args.growth_interval, args.scale_min, args.scale_max},
        reinterpret_cast<device::scaler_words*>(args.scaler),
        reinterpret_cast<device::gradient_verdict*>(args.verdict),
        cuda_launch{stream});
  });
}

size_t headrace_gradient_scan_workspace(const headrace_gradient_scan_args* given) {
  return abi::workspace_query(
      "gradient_scan", given, [](const headrace_gradient_scan_args& args) { return bytes(args); });
}

}  // extern "C"
