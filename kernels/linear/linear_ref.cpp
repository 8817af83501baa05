#include "base/check.hpp"
#include "kernels/linear/linear.hpp"

#include <cmath>
#include <numbers>
#include <vector>

namespace headrace::kernels {
namespace {

double sigmoid(double z) {
  const double e = std::exp(-std::abs(z));
  return (z >= 0.0 ? 1.0 : e) / (1.0 + e);
}

/// gelu(z) = z σ(gelu_argument(z)).
double gelu_argument(double z) {
  return 2.0 * std::sqrt(2.0 / std::numbers::pi) * (z + 0.044715 * z * z * z);
}

double activated(linear_activation activation, double z) {
  switch (activation) {
    case linear_activation::none:
      return z;
    case linear_activation::relu:
      return z < 0.0 ? 0.0 : z;
    case linear_activation::sigmoid:
      return sigmoid(z);
    case linear_activation::silu:
      return z * sigmoid(z);
    case linear_activation::gelu:
      return z * sigmoid(gelu_argument(z));
    case linear_activation::tanh:
      return std::tanh(z);
  }
  return z;
}

double gelu_slope(double z) {
  const double s = sigmoid(gelu_argument(z));
  const double flat = s * (1.0 - s);
  if (flat == 0.0) return s;
  return s + z * flat * 2.0 * std::sqrt(2.0 / std::numbers::pi) * (1.0 + 3.0 * 0.044715 * z * z);
}

/// φ'(z), from y = φ(z) or from z, whichever the activation keeps.
double slope(linear_activation activation, double kept) {
  switch (activation) {
    case linear_activation::none:
      return 1.0;
    case linear_activation::relu:
      return kept <= 0.0 ? 0.0 : 1.0;
    case linear_activation::sigmoid:
      return kept * (1.0 - kept);
    case linear_activation::silu: {
      const double s = sigmoid(kept);
      return s * (1.0 + kept * (1.0 - s));
    }
    case linear_activation::gelu:
      return gelu_slope(kept);
    case linear_activation::tanh:
      return 1.0 - kept * kept;
  }
  return 1.0;
}

template <class Value>
void forward(const basic_linear_args<Value>& args) {
  CHECK(args.x.size() == args.rows * args.in);
  CHECK(args.weights.size() == args.in * args.out);
  CHECK(args.y.size() == args.rows * args.out);
  for (std::size_t r = 0; r < args.rows; ++r) {
    for (std::size_t j = 0; j < args.out; ++j) {
      double z = args.bias.empty() ? 0.0 : static_cast<double>(args.bias[j]);
      for (std::size_t i = 0; i < args.in; ++i) {
        z += static_cast<double>(args.x[r * args.in + i]) *
             static_cast<double>(args.weights[i * args.out + j]);
      }
      const std::size_t at = r * args.out + j;
      if (linear_reads_saved(args.activation)) args.saved[at] = static_cast<Value>(z);
      args.y[at] = static_cast<Value>(activated(args.activation, z));
    }
  }
}

template <class Value>
std::vector<double> output_gradients(const basic_linear_backward_args<Value>& args) {
  std::vector<double> dz(args.dy.begin(), args.dy.end());
  if (args.activation == linear_activation::none) return dz;
  const auto& kept = linear_reads_saved(args.activation) ? args.saved : args.y;
  for (std::size_t at = 0; at < dz.size(); ++at) {
    const double factor = slope(args.activation, static_cast<double>(kept[at]));
    dz[at] = factor == 0.0 ? 0.0 : dz[at] * factor;
  }
  return dz;
}

/// Adds Σ_r x[r, i] dz[r, j] to dweights, or Σ_r dz[r, j] to dbias.
template <class Value>
void add_parameter_gradients(const basic_linear_backward_args<Value>& args,
                             const std::vector<double>& dz) {
  for (std::size_t j = 0; j < args.out; ++j) {
    for (std::size_t i = 0; i < args.in; ++i) {
      Value& dw = args.dweights[i * args.out + j];
      double sum = static_cast<double>(dw);
      for (std::size_t r = 0; r < args.rows; ++r) {
        sum += static_cast<double>(args.x[r * args.in + i]) * dz[r * args.out + j];
      }
      dw = static_cast<Value>(sum);
    }
    if (args.dbias.empty()) continue;
    double sum = static_cast<double>(args.dbias[j]);
    for (std::size_t r = 0; r < args.rows; ++r) sum += dz[r * args.out + j];
    args.dbias[j] = static_cast<Value>(sum);
  }
}

template <class Value>
void backward(const basic_linear_backward_args<Value>& args) {
  CHECK(args.x.size() == args.rows * args.in);
  CHECK(args.weights.size() == args.in * args.out);
  CHECK(args.dy.size() == args.rows * args.out);
  CHECK(args.dweights.size() == args.in * args.out);
  const std::vector<double> dz = output_gradients(args);
  add_parameter_gradients(args, dz);
  for (std::size_t at = 0; at < args.dx.size(); ++at) {
    const std::size_t r = at / args.in;
    const std::size_t i = at % args.in;
    double sum = 0.0;
    for (std::size_t j = 0; j < args.out; ++j) {
      sum += dz[r * args.out + j] * static_cast<double>(args.weights[i * args.out + j]);
    }
    args.dx[at] = static_cast<Value>(sum);
  }
}

}  // namespace

void linear_forward_ref(const linear_args& args) { forward(args); }
void linear_forward_ref(const basic_linear_args<double>& args) { forward(args); }
void linear_backward_ref(const linear_backward_args& args) { backward(args); }
void linear_backward_ref(const basic_linear_backward_args<double>& args) { backward(args); }

}  // namespace headrace::kernels
