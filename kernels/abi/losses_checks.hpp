#pragma once

#include "kernels/abi/dense_checks.hpp"

#include <cmath>

/// The rest of dense_checks.hpp: cross, gates, losses, optimizers.
namespace headrace::kernels::abi {

template <class Args>
void check_cross_sizes(const Args& args) {
  need_flags(args.flags, 0);
  need_matrix(args.rows, args.dim, 0);
}
inline void check_sizes(const headrace_cross_combine_args& args) { check_cross_sizes(args); }
inline void check_sizes(const headrace_cross_combine_backward_args& args) {
  check_cross_sizes(args);
}

inline void check(const headrace_cross_combine_args& args) {
  check_sizes(args);
  const std::size_t size = args.rows * args.dim;
  need_array(args.x0, size, "x0");
  need_array(args.x, size, "x");
  need_array(args.bias, args.dim, "bias");
  need_array(args.affine, size, "affine");
  need_array(args.out, size, "out");
}

inline void check(const headrace_cross_combine_backward_args& args) {
  check_sizes(args);
  const std::size_t size = args.rows * args.dim;
  need_array(args.x0, size, "x0");
  need_array(args.affine, size, "affine");
  need_array(args.out_gradients, size, "out_gradients");
  need_array(args.affine_gradients, size, "affine_gradients");
  need_array(args.x0_gradients, size, "x0_gradients");
  need_array(args.bias_gradients, args.dim, "bias_gradients");
}

template <class Args>
void check_gate_sizes(const Args& args) {
  need_flags(args.flags, 0);
  need_matrix(args.rows, args.dim, 0);
  need(args.experts >= 1 && args.experts <= width_max, "experts is not in 1 to 65536");
  product(product(args.rows, args.experts, "rows * experts"), args.dim, "rows * experts * dim");
}
inline void check_sizes(const headrace_gate_mix_args& args) { check_gate_sizes(args); }
inline void check_sizes(const headrace_gate_mix_backward_args& args) { check_gate_sizes(args); }

inline void check(const headrace_gate_mix_args& args) {
  check_sizes(args);
  const std::size_t logits = args.rows * args.experts;
  need_array(args.gate_logits, logits, "gate_logits");
  need_array(args.expert_outputs, logits * args.dim, "expert_outputs");
  need_array(args.gates, logits, "gates");
  need_array(args.outputs, args.rows * args.dim, "outputs");
}

inline void check(const headrace_gate_mix_backward_args& args) {
  check_sizes(args);
  const std::size_t logits = args.rows * args.experts;
  need_array(args.gates, logits, "gates");
  need_array(args.expert_outputs, logits * args.dim, "expert_outputs");
  need_array(args.output_gradients, args.rows * args.dim, "output_gradients");
  need_array(args.gate_logit_gradients, logits, "gate_logit_gradients");
  need_array(args.expert_gradients, logits * args.dim, "expert_gradients");
}

template <class Args>
void check_samples(const Args& args) {
  need_flags(args.flags, 0);
  need(args.samples <= batch_max, "samples is above 2^31 - 1");
}
inline void check_sizes(const headrace_bce_args& args) { check_samples(args); }
inline void check_sizes(const headrace_esmm_loss_args& args) { check_samples(args); }

inline void check(const headrace_bce_args& args) {
  check_sizes(args);
  need_array(args.logits, args.samples, "logits");
  need_array(args.labels, args.samples, "labels");
  need_array(args.probabilities, args.samples, "probabilities");
  need_array(args.logit_gradients, args.samples, "logit_gradients");
  need_array(args.loss, 1, "loss");
}

inline void check(const headrace_esmm_loss_args& args) {
  check_sizes(args);
  need_array(args.ctr_logits, args.samples, "ctr_logits");
  need_array(args.cvr_logits, args.samples, "cvr_logits");
  need_array(args.clicks, args.samples, "clicks");
  need_array(args.conversions, args.samples, "conversions");
  need_array(args.p_ctr, args.samples, "p_ctr");
  need_array(args.p_cvr, args.samples, "p_cvr");
  need_array(args.p_ctcvr, args.samples, "p_ctcvr");
  need_array(args.ctr_gradients, args.samples, "ctr_gradients");
  need_array(args.cvr_gradients, args.samples, "cvr_gradients");
  need_array(args.losses, 2, "losses");
}

inline bool is_power_of_two(float value) {
  int exponent = 0;
  return value > 0.0F && std::isnormal(value) && std::frexp(value, &exponent) == 0.5F;
}

inline void check_sizes(const headrace_gradient_scan_args& args) {
  need_flags(args.flags, HEADRACE_SCAN_SQUARES);
  need(args.size <= arena_max, "size is above 2^40");
}

inline void check(const headrace_gradient_scan_args& args) {
  check_sizes(args);
  need_array(args.gradients, args.size, "gradients");
  need_array(args.verdict, 1, "verdict");
  need_if_given(args.scaler, 1, "scaler");
  if (args.scaler == nullptr) return;
  need(args.growth_interval > 0, "growth_interval is 0");
  need(is_power_of_two(args.scale_min), "scale_min is no power of two");
  need(is_power_of_two(args.scale_max), "scale_max is no power of two");
  need(args.scale_min <= args.scale_max, "scale_min is above scale_max");
}

inline void check_sizes(const headrace_dense_update_args& args) {
  need_flags(args.flags, 0);
  need(args.size <= arena_max, "size is above 2^40");
  need(args.state_size <= 3 * arena_max, "state_size is above 3 * 2^40");
  need(args.tensors_count <= batch_max, "tensors_count is above 2^31 - 1");
  need(args.blocks <= batch_max, "blocks is above 2^31 - 1");
  need(args.blocks == 0 || args.tensors_count > 0, "tensors_count is 0, but not blocks");
  const bool known = args.rule <= 6 && args.rule != 4;
  need(known, "rule is not 0, 1, 2, 3, 5 or 6");
}

inline void check(const headrace_dense_update_args& args) {
  check_sizes(args);
  need_array(args.tensors, args.tensors_count, "tensors");
  need_if_given(args.verdict, 1, "verdict");
  need_array(args.weights, args.size, "weights");
  need_array(args.gradients, args.size, "gradients");
  need_array(args.state, args.state_size, "state");
  need_if_given(args.brains, args.size, "brains");
  need(args.clip >= 0.0F, "clip is below 0");
  need(args.norm_max >= 0.0F, "norm_max is below 0");
  need(args.beta1 >= 0.0F && args.beta1 < 1.0F, "beta1 is not in [0, 1)");
  need(args.beta2 >= 0.0F && args.beta2 < 1.0F, "beta2 is not in [0, 1)");
  need(std::isfinite(args.momentum), "momentum is not finite");
}

}  // namespace headrace::kernels::abi
