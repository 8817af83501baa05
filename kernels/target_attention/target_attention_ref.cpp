#include "kernels/target_attention/check_args.hpp"
#include "kernels/target_attention/target_attention.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace headrace::kernels {
namespace {

/// Element i of [e, t, e - t, e ⊙ t].
template <class Value>
double part(const basic_target_attention_args<Value>& args,
            std::size_t token,
            std::size_t sample,
            std::size_t i) {
  const std::size_t c = i % args.dim;
  const double e = static_cast<double>(args.history[token * args.dim + c]);
  const double t = static_cast<double>(args.targets[sample * args.dim + c]);
  switch (i / args.dim) {
    case 0:
      return e;
    case 1:
      return t;
    case 2:
      return e - t;
    default:
      return e * t;
  }
}

double activate(target_activation activation, double z) {
  if (activation == target_activation::relu) return std::max(z, 0.0);
  return 1.0 / (1.0 + std::exp(-z));
}

/// φ' from φ.
double slope(target_activation activation, double activated) {
  if (activation == target_activation::relu) return activated > 0.0 ? 1.0 : 0.0;
  return activated * (1.0 - activated);
}

/// Writes the token's activations; returns its score.
template <class Value>
double score(const basic_target_attention_args<Value>& args,
             std::size_t token,
             std::size_t sample) {
  double score = args.second_bias.empty() ? 0.0 : static_cast<double>(args.second_bias[0]);
  for (std::size_t h = 0; h < args.hidden; ++h) {
    double z = static_cast<double>(args.first_bias[h]);
    for (std::size_t i = 0; i < 4 * args.dim; ++i) {
      z += part(args, token, sample, i) *
           static_cast<double>(args.first_weights[i * args.hidden + h]);
    }
    const double activated = activate(args.activation, z);
    args.activations[token * args.hidden + h] = static_cast<Value>(activated);
    score += activated * static_cast<double>(args.second_weights[h]);
  }
  return score;
}

void normalise(std::vector<double>& scores) {
  double largest = -std::numeric_limits<double>::infinity();
  for (const double value : scores) largest = std::max(largest, value);
  double sum = 0.0;
  for (double& value : scores) sum += value = std::exp(value - largest);
  for (double& value : scores) value /= sum;
}

template <class Value>
void forward(const basic_target_attention_args<Value>& args) {
  check_target_attention(args);
  CHECK(args.o.size() == args.targets.size());
  for (std::size_t s = 0; s + 1 < args.offsets.size(); ++s) {
    std::vector<double> a;
    for (std::size_t j = args.offsets[s]; j < args.offsets[s + 1]; ++j)
      a.push_back(score(args, j, s));
    if (args.softmax) normalise(a);
    std::vector<double> o(args.dim);
    for (std::size_t i = 0; i < a.size(); ++i) {
      const std::size_t token = args.offsets[s] + i;
      args.attention[token] = static_cast<Value>(a[i]);
      for (std::size_t c = 0; c < args.dim; ++c)
        o[c] += a[i] * static_cast<double>(args.history[token * args.dim + c]);
    }
    for (std::size_t c = 0; c < args.dim; ++c) args.o[s * args.dim + c] = static_cast<Value>(o[c]);
  }
}

/// Gradients summed in double.
struct sums {
  template <class Value>
  explicit sums(const basic_target_attention_backward_args<Value>& args)
      : targets(args.target_gradients.size()),
        first_weights(args.first_weight_gradients.begin(), args.first_weight_gradients.end()),
        first_bias(args.first_bias_gradients.begin(), args.first_bias_gradients.end()),
        second_weights(args.second_weight_gradients.begin(), args.second_weight_gradients.end()),
        second_bias(args.second_bias_gradients.begin(), args.second_bias_gradients.end()) {}
  std::vector<double> targets;
  std::vector<double> first_weights;
  std::vector<double> first_bias;
  std::vector<double> second_weights;
  std::vector<double> second_bias;
};

template <class Value>
void store(const std::vector<double>& from, std::span<Value> to) {
  for (std::size_t i = 0; i < from.size(); ++i) to[i] = static_cast<Value>(from[i]);
}

/// What a token gives back, ds = d loss / d score.
template <class Value>
void add_token(const basic_target_attention_backward_args<Value>& args,
               std::size_t token,
               std::size_t s,
               double ds,
               sums& to) {
  const basic_target_attention_args<Value>& in = args.forward;
  std::vector<double> parts(4 * in.dim);
  for (std::size_t h = 0; h < in.hidden; ++h) {
    const double activated = static_cast<double>(in.activations[token * in.hidden + h]);
    const double dz =
        ds * static_cast<double>(in.second_weights[h]) * slope(in.activation, activated);
    to.second_weights[h] += ds * activated;
    to.first_bias[h] += dz;
    for (std::size_t i = 0; i < 4 * in.dim; ++i) {
      to.first_weights[i * in.hidden + h] += part(in, token, s, i) * dz;
      parts[i] += static_cast<double>(in.first_weights[i * in.hidden + h]) * dz;
    }
  }
  if (!to.second_bias.empty()) to.second_bias[0] += ds;
  for (std::size_t c = 0; c < in.dim; ++c) {
    const double e = static_cast<double>(in.history[token * in.dim + c]);
    const double t = static_cast<double>(in.targets[s * in.dim + c]);
    const double product = parts[3 * in.dim + c];
    const double de = static_cast<double>(in.attention[token]) *
                          static_cast<double>(args.o_gradients[s * in.dim + c]) +
                      parts[c] + parts[2 * in.dim + c] + product * t;
    args.history_gradients[token * in.dim + c] = static_cast<Value>(de);
    to.targets[s * in.dim + c] += parts[in.dim + c] - parts[2 * in.dim + c] + product * e;
  }
}

template <class Value>
void backward(const basic_target_attention_backward_args<Value>& args) {
  check_target_attention_backward(args);
  const basic_target_attention_args<Value>& in = args.forward;
  sums to(args);
  for (std::size_t s = 0; s + 1 < in.offsets.size(); ++s) {
    std::vector<double> ds;
    double mean = 0.0;
    for (std::size_t j = in.offsets[s]; j < in.offsets[s + 1]; ++j) {
      double da = 0.0;
      for (std::size_t c = 0; c < in.dim; ++c) {
        da += static_cast<double>(args.o_gradients[s * in.dim + c]) *
              static_cast<double>(in.history[j * in.dim + c]);
      }
      mean += static_cast<double>(in.attention[j]) * da;
      ds.push_back(da);
    }
    for (std::size_t i = 0; i < ds.size(); ++i) {
      const std::size_t token = in.offsets[s] + i;
      if (in.softmax) ds[i] = static_cast<double>(in.attention[token]) * (ds[i] - mean);
      add_token(args, token, s, ds[i], to);
    }
  }
  store(to.targets, args.target_gradients);
  store(to.first_weights, args.first_weight_gradients);
  store(to.first_bias, args.first_bias_gradients);
  store(to.second_weights, args.second_weight_gradients);
  store(to.second_bias, args.second_bias_gradients);
}

}  // namespace

void target_attention_ref(const target_attention_args& args) { forward(args); }
void target_attention_ref(const basic_target_attention_args<double>& args) { forward(args); }
void target_attention_backward_ref(const target_attention_backward_args& args) { backward(args); }
void target_attention_backward_ref(const basic_target_attention_backward_args<double>& args) {
  backward(args);
}

}  // namespace headrace::kernels
