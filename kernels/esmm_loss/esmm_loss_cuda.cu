#include "kernels/abi/losses_checks.hpp"
#include "kernels/esmm_loss/esmm_loss_launch.hpp"
#include "kernels/runtime/launch_cuda.hpp"

using namespace headrace::kernels;

namespace {

std::size_t bytes(const headrace_esmm_loss_args& args) {
  abi::check_sizes(args);
  return 2 * sum_blocks(args.samples) * sizeof(double);
}

}  // namespace

extern "C" {

headrace_status headrace_esmm_loss(const headrace_esmm_loss_args* given,
                                   void* stream,
                                   void* workspace,
                                   size_t workspace_bytes) {
  return abi::entry("esmm_loss", given, [&](const headrace_esmm_loss_args& args) {
    abi::check(args);
    abi::need_workspace(workspace, workspace_bytes, bytes(args));
    launch_esmm_loss({.ctr_logits = args.ctr_logits,
                      .cvr_logits = args.cvr_logits,
                      .clicks = args.clicks,
                      .conversions = args.conversions,
                      .p_ctr = args.p_ctr,
                      .p_cvr = args.p_cvr,
                      .p_ctcvr = args.p_ctcvr,
                      .ctr_gradients = args.ctr_gradients,
                      .cvr_gradients = args.cvr_gradients,
                      .partials = static_cast<double*>(workspace),
                      .n = args.samples,
                      .click_weight = args.click_weight,
                      .conversion_weight = args.conversion_weight},
                     args.losses,
                     cuda_launch{stream});
  });
}

size_t headrace_esmm_loss_workspace(const headrace_esmm_loss_args* given) {
  return abi::workspace_query(
      "esmm_loss", given, [](const headrace_esmm_loss_args& args) { return bytes(args); });
}

}  // extern "C"
