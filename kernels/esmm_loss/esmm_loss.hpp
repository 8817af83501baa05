#pragma once

#include <cstddef>
#include <span>

namespace headrace::kernels {

/// Sums over the batch, before their weights.
struct esmm_losses {
  double click = 0.0;
  double conversion = 0.0;
};

/// Losses of the entire-space multi-task model (Ma et al., SIGIR'18, eq. 1 and 3), forward and
/// backward in one pass: p_ctr = σ(a), p_cvr = σ(b), p_ctcvr = p_ctr p_cvr,
/// L = click_weight BCE(p_ctr, click) + conversion_weight BCE(p_ctcvr, conversion).
///
/// ctr_logits a, cvr_logits b [n], finite and below 2^126 in size; clicks, conversions [n] in [0,
/// 1]; a conversion is of an impression, whether clicked or not. Out: p_ctr, p_cvr, p_ctcvr [n];
/// ctr_gradients, cvr_gradients [n] of the *summed* L. Returns both sums, in double, in a fixed
/// order.
///
/// No probability's logarithm is taken: p_ctcvr has the logit ζ = −ln(e^-a + e^-b + e^-(a+b)), its
/// BCE is max(ζ, 0) − ζ y + ln(1 + e^-|ζ|), and dζ/da = (1 − p_ctr) / (1 − p_ctcvr) is a quotient
/// of sums of exponentials scaled by the largest; so nothing overflows or is 0 / 0. Bounds of the
/// CPU version, u = 2^-24: p_ctr and p_cvr 4 u, p_ctcvr 10 u relative (down to 2^-126); a sample's
/// losses 8 u (|a| + ln 2) and u (12 |ζ| + 24); gradients u (8 click_weight + 48
/// conversion_weight).
template <class Value>
struct basic_esmm_loss_args {
  std::span<const Value> ctr_logits;
  std::span<const Value> cvr_logits;
  std::span<const Value> clicks;
  std::span<const Value> conversions;
  Value click_weight = 1;
  Value conversion_weight = 1;
  std::span<Value> p_ctr;
  std::span<Value> p_cvr;
  std::span<Value> p_ctcvr;
  std::span<Value> ctr_gradients;
  std::span<Value> cvr_gradients;
};
using esmm_loss_args = basic_esmm_loss_args<float>;

esmm_losses esmm_loss_ref(const esmm_loss_args& args);
esmm_losses esmm_loss_ref(const basic_esmm_loss_args<double>& args);
esmm_losses esmm_loss_cpu(const esmm_loss_args& args);

inline esmm_losses esmm_loss(const esmm_loss_args& args) { return esmm_loss_cpu(args); }

}  // namespace headrace::kernels
