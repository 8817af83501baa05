#include "base/check.hpp"
#include "kernels/esmm_loss/esmm_loss.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::kernels {
namespace {

/// ln(1 + e^x).
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

double sigmoid(double x) {
  const double e = std::exp(-std::abs(x));
  return (x >= 0.0 ? 1.0 : e) / (1.0 + e);
}

/// (1 − σ(own)) / (1 − σ(own) σ(other)) = (1 + e^-other) / (1 + e^-other + e^(own − other)), here
/// divided by the larger of 1 and e^-other; an infinite exponential makes it 0, as it should.
double share_of(double own, double other) {
  const double top = 1.0 + std::exp(-std::abs(other));
  return top / (top + std::exp(own - std::max(other, 0.0)));
}

/// Logit of σ(a) σ(b).
double joint_logit(double a, double b) {
  const double largest = std::max({-a, -b, -a - b});
  return -largest -
         std::log(std::exp(-a - largest) + std::exp(-b - largest) + std::exp(-a - b - largest));
}

template <class Value>
esmm_losses esmm_loss_plain(const basic_esmm_loss_args<Value>& args) {
  CHECK(args.cvr_logits.size() == args.ctr_logits.size());
  esmm_losses losses;
  const double click_weight = static_cast<double>(args.click_weight);
  const double conversion_weight = static_cast<double>(args.conversion_weight);
  for (std::size_t i = 0; i < args.ctr_logits.size(); ++i) {
    const double a = static_cast<double>(args.ctr_logits[i]);
    const double b = static_cast<double>(args.cvr_logits[i]);
    const double click = static_cast<double>(args.clicks[i]);
    const double conversion = static_cast<double>(args.conversions[i]);
    const double joint = sigmoid(a) * sigmoid(b);
    const double zeta = joint_logit(a, b);
    args.p_ctr[i] = static_cast<Value>(sigmoid(a));
    args.p_cvr[i] = static_cast<Value>(sigmoid(b));
    args.p_ctcvr[i] = static_cast<Value>(joint);
    const double off = conversion_weight * (joint - conversion);
    args.ctr_gradients[i] =
        static_cast<Value>(click_weight * (sigmoid(a) - click) + off * share_of(a, b));
    args.cvr_gradients[i] = static_cast<Value>(off * share_of(b, a));
    losses.click += click * softplus(-a) + (1.0 - click) * softplus(a);
    losses.conversion += conversion * softplus(-zeta) + (1.0 - conversion) * softplus(zeta);
  }
  return losses;
}

}  // namespace

esmm_losses esmm_loss_ref(const esmm_loss_args& args) { return esmm_loss_plain(args); }
esmm_losses esmm_loss_ref(const basic_esmm_loss_args<double>& args) {
  return esmm_loss_plain(args);
}

}  // namespace headrace::kernels
