#include "base/check.hpp"
#include "kernels/bce/bce.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::kernels {

double bce_ref(const bce_args& args) {
  CHECK(args.labels.size() == args.logits.size());
  double loss = 0.0;
  for (std::size_t i = 0; i < args.logits.size(); ++i) {
    const double z = static_cast<double>(args.logits[i]);
    const double y = static_cast<double>(args.labels[i]);
    const double e = std::exp(-std::abs(z));
    const double p = (z >= 0.0 ? 1.0 : e) / (1.0 + e);
    args.probabilities[i] = static_cast<float>(p);
    args.logit_gradients[i] = static_cast<float>(p - y);
    loss += std::max(z, 0.0) - z * y + std::log1p(e);
  }
  return loss;
}

}  // namespace headrace::kernels
