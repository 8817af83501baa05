#pragma once

#include "kernels/bce/bce_kernel.hpp"

/// Losses of the entire-space multi-task model on a device (esmm_loss.hpp has the maths).
namespace headrace::kernels::device {

struct esmm_view {
  const float* ctr_logits;   // [n]
  const float* cvr_logits;   // [n]
  const float* clicks;       // [n]
  const float* conversions;  // [n]
  float* p_ctr;              // [n]
  float* p_cvr;              // [n]
  float* p_ctcvr;            // [n]
  float* ctr_gradients;      // [n]
  float* cvr_gradients;      // [n]
  double* partials;          // [2, blocks]: clicks, then conversions
  std::size_t n;
  float click_weight;
  float conversion_weight;
};

/// What σ(a) σ(b) is made of: with c the largest of −a, −b, −a−b negated, a_term = e^(c−a), b_term
/// = e^(c−b) and both_term = e^(c−a−b), of which one is 1; `rest` is the sum of the other two.
struct esmm_terms {
  float c;
  float a_term;
  float b_term;
  float both_term;
  float rest;
};

/// ea = e^-|a|, eb = e^-|b|.
HEADRACE_DEVICE esmm_terms join_logits(float a, float b, float ea, float eb) {
  const bool a_is_less = a < b;
  if (a < 0.0F && b < 0.0F) return {a + b, eb, ea, 1.0F, ea + eb};
  const float apart = exp_near(-size_of(a - b));
  const float larger = a_is_less ? eb : ea;
  return {a_is_less ? a : b,
          a_is_less ? 1.0F : apart,
          a_is_less ? apart : 1.0F,
          larger,
          apart + larger};
}

/// Everything of sample i; adds its losses.
HEADRACE_DEVICE void esmm_sample(const esmm_view& view,
                                 std::size_t i,
                                 double& click,
                                 double& both) {
  const float a = view.ctr_logits[i];
  const float b = view.cvr_logits[i];
  const float ea = exp_near(-size_of(a));
  const float eb = exp_near(-size_of(b));
  const float p_ctr = sigmoid_of(a, ea);
  const float p_cvr = sigmoid_of(b, eb);
  const float p_ctcvr = p_ctr * p_cvr;
  const esmm_terms terms = join_logits(a, b, ea, eb);
  const float zeta = terms.c - log1p_near(terms.rest);
  const float conversion = view.conversions[i];
  const float off = view.conversion_weight * (p_ctcvr - conversion) / (1.0F + terms.rest);
  view.p_ctr[i] = p_ctr;
  view.p_cvr[i] = p_cvr;
  view.p_ctcvr[i] = p_ctcvr;
  view.ctr_gradients[i] =
      off * (terms.a_term + terms.both_term) + view.click_weight * (p_ctr - view.clicks[i]);
  view.cvr_gradients[i] = off * (terms.b_term + terms.both_term);
  click += static_cast<double>(cross_entropy_of(a, view.clicks[i], ea));
  both += static_cast<double>(cross_entropy_of(zeta, conversion, exp_near(-size_of(zeta))));
}

/// Any grid of blocks of sum_threads. Shared: 8 doubles.
HEADRACE_KERNEL void esmm_kernel(esmm_view view) {
  auto* scratch = reinterpret_cast<double*>(shared_memory());
  const std::size_t step = std::size_t{grid_blocks().x} * sum_threads;
  double click = 0.0;
  double both = 0.0;
  for (std::size_t i = std::size_t{block_index().x} * sum_threads + thread_index(); i < view.n;
       i += step) {
    esmm_sample(view, i, click, both);
  }
  click = block_sum(click, scratch);
  both = block_sum(both, scratch);
  if (thread_index() != 0) return;
  view.partials[block_index().x] = click;
  view.partials[grid_blocks().x + block_index().x] = both;
}

}  // namespace headrace::kernels::device
