#include "base/check.hpp"
#include "kernels/softmax_loss/sampled_softmax.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace headrace::kernels {
namespace {

template <class Value>
double log_q_at(const basic_sampled_softmax_args<Value>& args, std::size_t t, std::size_t c) {
  if (args.log_q.empty()) return 0.0;
  const bool shared = args.log_q.size() == args.candidates;
  return static_cast<double>(args.log_q[shared ? c : t * args.candidates + c]);
}

template <class Value>
double one_position(const basic_sampled_softmax_args<Value>& args, std::size_t t, double weight) {
  const std::size_t n = args.candidates;
  const std::size_t positive = args.positives.empty() ? 0 : args.positives[t];
  std::vector<double> scores(n);
  double largest = -std::numeric_limits<double>::infinity();
  for (std::size_t c = 0; c < n; ++c) {
    scores[c] = static_cast<double>(args.scores[t * n + c]) - log_q_at(args, t, c);
    largest = std::max(largest, scores[c]);
  }
  double others = 0.0;
  for (std::size_t c = 0; c < n; ++c) {
    if (c != positive) others += std::exp(scores[c] - largest);
  }
  const double own = std::exp(scores[positive] - largest);
  const double total = others + own;
  for (std::size_t c = 0; c < n; ++c) {
    const double share = c == positive ? -others : std::exp(scores[c] - largest);
    args.score_gradients[t * n + c] = static_cast<Value>(weight * share / total);
  }
  const double gap = largest - scores[positive];
  return weight * (gap == 0.0 ? std::log1p(others) : gap + std::log(total));
}

template <class Value>
double sampled_softmax_plain(const basic_sampled_softmax_args<Value>& args) {
  CHECK(args.scores.size() == args.losses.size() * args.candidates);
  CHECK(args.score_gradients.size() == args.scores.size());
  double sum = 0.0;
  for (std::size_t t = 0; t < args.losses.size(); ++t) {
    const double weight = args.weights.empty() ? 1.0 : static_cast<double>(args.weights[t]);
    double loss = 0.0;
    if (weight == 0.0) {
      std::fill_n(args.score_gradients.begin() + static_cast<std::ptrdiff_t>(t * args.candidates),
                  args.candidates,
                  Value{});
    } else {
      loss = one_position(args, t, weight);
    }
    args.losses[t] = static_cast<Value>(loss);
    sum += loss;
  }
  return sum;
}

}  // namespace

double sampled_softmax_ref(const sampled_softmax_args& args) { return sampled_softmax_plain(args); }
double sampled_softmax_ref(const basic_sampled_softmax_args<double>& args) {
  return sampled_softmax_plain(args);
}

}  // namespace headrace::kernels
