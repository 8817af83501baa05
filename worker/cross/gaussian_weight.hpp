#pragma once

#include <algorithm>
#include <cmath>

namespace headrace::worker {

/// Logistic regression whose weights are known as Gaussians, each with mean and variance, one
/// observation at a time: the means go to the most likely ones (an implicit step, so that no label
/// however surprising overshoots), the variances to the curvature there. A diagonal covariance, as
/// in Graepel et al., ICML'10, and Chapelle and Li, NIPS'11, algorithm 3. There is no learning
/// rate: a weight seen n times moves about 1 / n as far as at first, and what is not known yet is
/// held near 0 by the prior.
struct gaussian_weight {
  float mean = 0.0F;
  float variance = 1.0F;
};

/// Below this no variance falls, so that a weight can still follow a drift.
inline constexpr float weight_variance_min = 1e-3F;

inline double logistic(double logit) { return 1.0 / (1.0 + std::exp(-logit)); }

/// Cross-entropy of a label (true = 1) under a logit, without overflow.
inline double logistic_loss(bool label, double logit) {
  const double against = label ? -logit : logit;
  return std::max(against, 0.0) + std::log1p(std::exp(-std::fabs(against)));
}

/// What an observation does to every weight it has: `error` = label − p and `certainty` =
/// p (1 − p), both at the logit behind the step; `spread` = Σ variance · value² over all of them.
struct gaussian_step {
  double error = 0.0;
  double certainty = 0.0;
  double shrink = 1.0;  // 1 + certainty · spread

  /// Solves d = spread · (label − p(logit + d)): Newton's method inside a bracket.
  gaussian_step(bool label, double logit, double spread) {
    double low = label ? 0.0 : -spread;
    double high = label ? spread : 0.0;
    double moved = 0.0;
    for (int i = 0; i < 32; ++i) {
      const double p = logistic(logit + moved);
      error = (label ? 1.0 : 0.0) - p;
      certainty = p * (1.0 - p);
      shrink = 1.0 + certainty * spread;
      const double off = moved - spread * error;
      (off > 0.0 ? high : low) = moved;
      if (std::fabs(off) < 1e-6) break;
      moved -= off / shrink;
      if (!(moved > low && moved < high)) moved = 0.5 * (low + high);
    }
  }
  void move(gaussian_weight& weight, double value) const {
    const double gain = static_cast<double>(weight.variance) * value;
    weight.mean += static_cast<float>(gain * error);
    weight.variance =
        std::max(weight.variance - static_cast<float>(gain * gain * certainty / shrink),
                 std::min(weight.variance, weight_variance_min));
  }
};

}  // namespace headrace::worker
