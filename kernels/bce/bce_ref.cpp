#include "base/check.hpp"
#include "kernels/bce/bce.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::kernels {

double bce_ref(const bce_args& args) {
  CHECK(args.labels.size() == args.logits.size());
  double loss = 0.0;
  const auto sigmoid = [](double z, double e) { return (z >= 0.0 ? 1.0 : e) / (1.0 + e); };
  for (std::size_t i = 0; i < args.logits.size(); ++i) {
    const double z = static_cast<double>(args.logits[i]);
    const double learned = static_cast<double>(args.logits[i] + args.logit_offset);
    const double y = static_cast<double>(args.labels[i]);
    const double e = std::exp(-std::abs(learned));
    args.probabilities[i] = static_cast<float>(sigmoid(z, std::exp(-std::abs(z))));
    args.logit_gradients[i] = static_cast<float>(sigmoid(learned, e) - y);
    loss += std::max(learned, 0.0) - learned * y + std::log1p(e);
  }
  return loss;
}

}  // namespace headrace::kernels
