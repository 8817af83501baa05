#include "base/check.hpp"
#include "kernels/softmax_loss/vocab_softmax.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace headrace::kernels {
namespace {

/// All logits of position t.
template <class Args>
std::vector<double> logits_of(const Args& args, std::size_t t) {
  std::vector<double> logits(args.items.size() / args.dim);
  for (std::size_t v = 0; v < logits.size(); ++v) {
    for (std::size_t k = 0; k < args.dim; ++k) {
      logits[v] += static_cast<double>(args.x[t * args.dim + k]) *
                   static_cast<double>(args.items[v * args.dim + k]);
    }
  }
  return logits;
}

template <class Args>
double weight_of(const Args& args, std::size_t t) {
  return args.weights.empty() ? 1.0 : static_cast<double>(args.weights[t]);
}

template <class Value>
double forward(const basic_vocab_softmax_args<Value>& args) {
  CHECK(args.dim > 0);
  CHECK(args.x.size() == args.labels.size() * args.dim);
  double sum = 0.0;
  for (std::size_t t = 0; t < args.labels.size(); ++t) {
    const std::vector<double> logits = logits_of(args, t);
    const double largest = *std::max_element(logits.begin(), logits.end());
    double total = 0.0;
    for (const double logit : logits) total += std::exp(logit - largest);
    const double lse = largest + std::log(total);
    const double weight = weight_of(args, t);
    const double loss = weight == 0.0 ? 0.0 : weight * (lse - logits[args.labels[t]]);
    args.lse[t] = static_cast<Value>(lse);
    args.losses[t] = static_cast<Value>(loss);
    sum += loss;
  }
  return sum;
}

template <class Value>
void backward(const basic_vocab_softmax_backward_args<Value>& args) {
  CHECK(args.dim > 0);
  CHECK(args.x.size() == args.labels.size() * args.dim);
  std::vector<double> item_gradients(args.item_gradients.begin(), args.item_gradients.end());
  for (std::size_t t = 0; t < args.labels.size(); ++t) {
    const std::vector<double> logits = logits_of(args, t);
    const double weight = weight_of(args, t);
    std::vector<double> x_gradient(args.dim);
    for (std::size_t v = 0; v < logits.size(); ++v) {
      double p = weight * std::exp(logits[v] - static_cast<double>(args.lse[t]));
      if (weight != 0.0 && v == args.labels[t]) p -= weight;
      for (std::size_t k = 0; k < args.dim; ++k) {
        x_gradient[k] += p * static_cast<double>(args.items[v * args.dim + k]);
        item_gradients[v * args.dim + k] += p * static_cast<double>(args.x[t * args.dim + k]);
      }
    }
    for (std::size_t k = 0; k < args.dim; ++k) {
      args.x_gradients[t * args.dim + k] = static_cast<Value>(x_gradient[k]);
    }
  }
  for (std::size_t i = 0; i < item_gradients.size(); ++i) {
    args.item_gradients[i] = static_cast<Value>(item_gradients[i]);
  }
}

}  // namespace

double vocab_softmax_ref(const vocab_softmax_args& args) { return forward(args); }
double vocab_softmax_ref(const basic_vocab_softmax_args<double>& args) { return forward(args); }

void vocab_softmax_backward_ref(const vocab_softmax_backward_args& args) { backward(args); }
void vocab_softmax_backward_ref(const basic_vocab_softmax_backward_args<double>& args) {
  backward(args);
}

}  // namespace headrace::kernels
