#include "base/check.hpp"
#include "kernels/fm/fm.hpp"

#include <vector>

namespace headrace::kernels {
namespace {

double value_at(std::span<const float> values, std::size_t i) {
  return values.empty() ? 1.0 : static_cast<double>(values[i]);
}

}  // namespace

void fm_forward_ref(const fm_forward_args& args) {
  const std::size_t width = 1 + args.latent_dim;
  CHECK(args.inverse.size() == args.logits.size() * args.features);
  CHECK(args.sums.size() == args.logits.size() * args.latent_dim);
  for (std::size_t s = 0; s < args.logits.size(); ++s) {
    const std::size_t begin = s * args.features;
    double logit = static_cast<double>(args.bias);
    for (std::size_t i = begin; i < begin + args.features; ++i) {
      logit += static_cast<double>(args.rows[args.inverse[i] * width]) * value_at(args.values, i);
    }
    for (std::size_t k = 0; k < args.latent_dim; ++k) {
      double sum = 0.0;
      double squares = 0.0;
      for (std::size_t i = begin; i < begin + args.features; ++i) {
        const double term = static_cast<double>(args.rows[args.inverse[i] * width + 1 + k]) *
                            value_at(args.values, i);
        sum += term;
        squares += term * term;
      }
      args.sums[s * args.latent_dim + k] = static_cast<float>(sum);
      logit += 0.5 * (sum * sum - squares);
    }
    args.logits[s] = static_cast<float>(logit);
  }
}

float fm_backward_ref(const fm_backward_args& args) {
  const std::size_t width = 1 + args.latent_dim;
  CHECK(args.inverse.size() == args.logit_gradients.size() * args.features);
  CHECK(args.row_gradients.size() == args.rows.size());
  std::vector<double> gradients(args.row_gradients.begin(), args.row_gradients.end());
  double bias_gradient = 0.0;
  for (std::size_t s = 0; s < args.logit_gradients.size(); ++s) {
    const double g = static_cast<double>(args.logit_gradients[s]);
    bias_gradient += g;
    for (std::size_t i = s * args.features; i < (s + 1) * args.features; ++i) {
      const std::size_t row = args.inverse[i] * width;
      const double x = value_at(args.values, i);
      gradients[row] += g * x;
      for (std::size_t k = 0; k < args.latent_dim; ++k) {
        const double others = static_cast<double>(args.sums[s * args.latent_dim + k]) -
                              static_cast<double>(args.rows[row + 1 + k]) * x;
        gradients[row + 1 + k] += g * x * others;
      }
    }
  }
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    args.row_gradients[i] = static_cast<float>(gradients[i]);
  }
  return static_cast<float>(bias_gradient);
}

}  // namespace headrace::kernels
