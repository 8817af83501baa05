#include "kernels/abi/cpu_call.hpp"
#include "kernels/abi/dense_plan.hpp"
#include "kernels/abi/losses_checks.hpp"
#include "kernels/bce/bce.hpp"
#include "kernels/dense_update/dense_update.hpp"
#include "kernels/esmm_loss/esmm_loss.hpp"
#include "kernels/loss_scaler/finite_check.hpp"
#include "kernels/loss_scaler/scaler_step.hpp"

#include <bit>
#include <span>

// Entries of headrace_dense.h on the CPU.
using namespace headrace::kernels;

namespace {

headrace_gradient_verdict verdict_of(float largest, const headrace_loss_scaler* scaler) {
  const auto bits = std::bit_cast<std::uint32_t>(largest) & 0x7FFFFFFFU;
  const float inverse = scaler == nullptr ? 1.0F : 1.0F / scaler->scale;
  return {bits, bits < 0x7F800000U ? 1U : 0U, inverse, 0.0F, 0.0};
}

double squares_of(std::span<const float> gradients, float inverse) {
  double sum = 0.0;
  for (const float g : gradients) sum += static_cast<double>(g) * static_cast<double>(g);
  return sum * static_cast<double>(inverse) * static_cast<double>(inverse);
}

void move(headrace_loss_scaler& scaler, const device::scaler_rule& rule, bool finite) {
  const device::scaler_words after =
      device::after_step({scaler.scale, scaler.clean_steps, scaler.skipped_total}, rule, finite);
  scaler = {after.scale, after.clean_steps, after.skipped_total};
}

dense_step step_of(const headrace_dense_update_args& args) {
  return {.rule = static_cast<update_rule>(args.rule),
          .clip = args.clip,
          .norm_max = args.norm_max,
          .momentum = args.momentum,
          .beta1 = args.beta1,
          .beta2 = args.beta2};
}

dense_gradients_seen seen_of(const headrace_gradient_verdict* verdict) {
  if (verdict == nullptr) return {};
  return {.finite = verdict->finite != 0, .inverse = verdict->inverse, .squares = verdict->squares};
}

dense_tensor tensor_of(const headrace_dense_tensor& from) {
  return {from.begin,
          from.size,
          from.state_begin,
          from.rate,
          from.l2,
          from.weight_decay,
          from.first_block};
}

void need_tensor(const dense_tensor& tensor, const headrace_dense_update_args& args) {
  const std::uint64_t words = state_words(static_cast<update_rule>(args.rule), tensor.size);
  abi::need(tensor.begin <= args.size && tensor.size <= args.size - tensor.begin,
            "a tensor ends beyond the arena");
  abi::need(tensor.state_begin <= args.state_size && words <= args.state_size - tensor.state_begin,
            "a tensor's state ends beyond the state");
}

std::size_t bytes(const headrace_cross_combine_args& args) {
  abi::check_sizes(args);
  return 0;
}

std::size_t bytes(const headrace_cross_combine_backward_args& args) {
  abi::check_sizes(args);
  return 0;
}

std::size_t bytes(const headrace_bce_args& args) {
  abi::check_sizes(args);
  return 0;
}

std::size_t bytes(const headrace_esmm_loss_args& args) {
  abi::check_sizes(args);
  return 0;
}

std::size_t bytes(const headrace_gradient_scan_args& args) {
  abi::check_sizes(args);
  return 0;
}

std::size_t bytes(const headrace_dense_update_args& args) {
  abi::check_sizes(args);
  return args.size * sizeof(float);
}

}  // namespace

extern "C" {

headrace_status headrace_cross_combine(const headrace_cross_combine_args* given,
                                       void* stream,
                                       void*,
                                       size_t) {
  return abi::entry("cross_combine", given, [&](const headrace_cross_combine_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    for (std::size_t i = 0; i < args.rows * args.dim; ++i) {
      args.affine[i] += args.bias[i % args.dim];
      args.out[i] = args.x[i] + args.x0[i] * args.affine[i];
    }
  });
}

size_t headrace_cross_combine_workspace(const headrace_cross_combine_args* given) {
  return abi::workspace_query(
      "cross_combine", given, [](const headrace_cross_combine_args& args) { return bytes(args); });
}

headrace_status headrace_cross_combine_backward(const headrace_cross_combine_backward_args* given,
                                                void* stream,
                                                void*,
                                                size_t) {
  return abi::entry(
      "cross_combine_backward", given, [&](const headrace_cross_combine_backward_args& args) {
        abi::need_no_stream(stream);
        abi::check(args);
        for (std::size_t i = 0; i < args.rows * args.dim; ++i) {
          args.affine_gradients[i] = args.out_gradients[i] * args.x0[i];
          args.x0_gradients[i] += args.out_gradients[i] * args.affine[i];
          args.bias_gradients[i % args.dim] += args.affine_gradients[i];
        }
      });
}

size_t headrace_cross_combine_backward_workspace(
    const headrace_cross_combine_backward_args* given) {
  return abi::workspace_query(
      "cross_combine_backward", given, [](const headrace_cross_combine_backward_args& args) {
        return bytes(args);
      });
}

headrace_status headrace_bce(const headrace_bce_args* given, void* stream, void*, size_t) {
  return abi::entry("bce", given, [&](const headrace_bce_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    *args.loss = bce({.logits = {args.logits, args.samples},
                      .labels = {args.labels, args.samples},
                      .probabilities = {args.probabilities, args.samples},
                      .logit_gradients = {args.logit_gradients, args.samples}});
  });
}

size_t headrace_bce_workspace(const headrace_bce_args* given) {
  return abi::workspace_query(
      "bce", given, [](const headrace_bce_args& args) { return bytes(args); });
}

headrace_status headrace_esmm_loss(const headrace_esmm_loss_args* given,
                                   void* stream,
                                   void*,
                                   size_t) {
  return abi::entry("esmm_loss", given, [&](const headrace_esmm_loss_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    const esmm_losses losses = esmm_loss({.ctr_logits = {args.ctr_logits, args.samples},
                                          .cvr_logits = {args.cvr_logits, args.samples},
                                          .clicks = {args.clicks, args.samples},
                                          .conversions = {args.conversions, args.samples},
                                          .click_weight = args.click_weight,
                                          .conversion_weight = args.conversion_weight,
                                          .p_ctr = {args.p_ctr, args.samples},
                                          .p_cvr = {args.p_cvr, args.samples},
                                          .p_ctcvr = {args.p_ctcvr, args.samples},
                                          .ctr_gradients = {args.ctr_gradients, args.samples},
                                          .cvr_gradients = {args.cvr_gradients, args.samples}});
    args.losses[0] = losses.click;
    args.losses[1] = losses.conversion;
  });
}

size_t headrace_esmm_loss_workspace(const headrace_esmm_loss_args* given) {
  return abi::workspace_query(
      "esmm_loss", given, [](const headrace_esmm_loss_args& args) { return bytes(args); });
}

headrace_status headrace_gradient_scan(const headrace_gradient_scan_args* given,
                                       void* stream,
                                       void*,
                                       size_t) {
  return abi::entry("gradient_scan", given, [&](const headrace_gradient_scan_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    const std::span<const float> gradients(args.gradients, args.size);
    *args.verdict = verdict_of(abs_max(gradients), args.scaler);
    if ((args.flags & HEADRACE_SCAN_SQUARES) != 0)
      args.verdict->squares = squares_of(gradients, args.verdict->inverse);
    if (args.scaler != nullptr)
      move(*args.scaler,
           {args.growth_interval, args.scale_min, args.scale_max},
           args.verdict->finite != 0);
  });
}

size_t headrace_gradient_scan_workspace(const headrace_gradient_scan_args* given) {
  return abi::workspace_query(
      "gradient_scan", given, [](const headrace_gradient_scan_args& args) { return bytes(args); });
}

headrace_status headrace_dense_update(const headrace_dense_update_args* given,
                                      void* stream,
                                      void* workspace,
                                      size_t workspace_bytes) {
  return abi::entry("dense_update", given, [&](const headrace_dense_update_args& args) {
    abi::need_no_stream(stream);
    abi::check(args);
    abi::need_workspace(workspace, workspace_bytes, bytes(args));
    dense_update_args all = {.tensors = {},
                             .step = step_of(args),
                             .seen = seen_of(args.verdict),
                             .weights = {args.weights, args.size},
                             .gradients = {args.gradients, args.size},
                             .state = {args.state, args.state_size},
                             .brains = abi::span_of(args.brains, args.size),
                             .workspace = {static_cast<float*>(workspace), args.size}};
    const std::span<const headrace_dense_tensor> tensors(args.tensors, args.tensors_count);
    for (const headrace_dense_tensor& tensor : tensors) need_tensor(tensor_of(tensor), args);
    for (const headrace_dense_tensor& tensor : tensors) {
      const dense_tensor one = tensor_of(tensor);
      all.tensors = {&one, 1};
      dense_update(all);
    }
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
