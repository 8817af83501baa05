#include "base/check.hpp"
#include "kernels/moe_router/moe_router.hpp"
#include "kernels/moe_router/router_costs.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

namespace headrace::kernels {
namespace {

/// p, lse and the averages of p.
template <class Value>
void softmax(const basic_moe_router_args<Value>& args) {
  const std::size_t tokens = args.lse.size();
  std::vector<double> sums(args.experts);
  for (std::size_t t = 0; t < tokens; ++t) {
    const auto row = args.logits.subspan(t * args.experts, args.experts);
    const double largest = static_cast<double>(*std::max_element(row.begin(), row.end()));
    double sum = 0.0;
    for (const Value z : row) sum += std::exp(static_cast<double>(z) - largest);
    for (std::size_t e = 0; e < args.experts; ++e) {
      const double p = std::exp(static_cast<double>(row[e]) - largest) / sum;
      args.probabilities[t * args.experts + e] = static_cast<Value>(p);
      sums[e] += p;
    }
    args.lse[t] = static_cast<Value>(largest + std::log(sum));
  }
  for (std::size_t e = 0; e < args.experts; ++e) {
    const double mean = tokens == 0 ? 0.0 : sums[e] / static_cast<double>(tokens);
    args.mean_probabilities[e] = static_cast<Value>(mean);
  }
}

/// The best expert of a token that is not among the first `taken` of its choices.
template <class Value>
std::uint32_t best_left(const basic_moe_router_args<Value>& args,
                        std::size_t token,
                        std::size_t taken) {
  const auto choices = args.chosen.subspan(token * args.per_token, taken);
  const auto score = [&args, token](std::size_t e) {
    const Value p = args.probabilities[token * args.experts + e];
    return args.bias.empty() ? p : p + args.bias[e];
  };
  std::size_t best = args.experts;
  for (std::size_t e = 0; e < args.experts; ++e) {
    if (std::find(choices.begin(), choices.end(), e) != choices.end()) continue;
    if (best == args.experts || score(e) > score(best)) best = e;
  }
  return static_cast<std::uint32_t>(best);
}

template <class Value>
void set_gates(const basic_moe_router_args<Value>& args, std::size_t token) {
  const auto choices = args.chosen.subspan(token * args.per_token, args.per_token);
  const auto logit = [&args, token](std::uint32_t e) {
    return static_cast<double>(args.logits[token * args.experts + e]);
  };
  double largest = logit(choices[0]);
  for (const std::uint32_t e : choices) largest = std::max(largest, logit(e));
  double sum = 0.0;
  for (const std::uint32_t e : choices) sum += std::exp(logit(e) - largest);
  for (std::size_t s = 0; s < args.per_token; ++s) {
    const std::uint32_t e = choices[s];
    args.gates[token * args.per_token + s] =
        args.renormalised ? static_cast<Value>(std::exp(logit(e) - largest) / sum)
                          : args.probabilities[token * args.experts + e];
  }
}

/// Whether so many assignments to the same expert come before assignment i that it has no room.
template <class Value>
bool overflows(const basic_moe_router_args<Value>& args, std::size_t i) {
  if (args.capacity == 0) return false;
  std::size_t before = 0;
  for (std::size_t j = 0; j < args.chosen.size(); ++j) {
    if (args.chosen[j] != args.chosen[i]) continue;
    if (args.gates[j] > args.gates[i] || (args.gates[j] == args.gates[i] && j < i)) ++before;
  }
  return before >= args.capacity;
}

template <class Value>
router_report forward(const basic_moe_router_args<Value>& args) {
  const std::size_t tokens = args.lse.size();
  CHECK(args.per_token >= 1);
  CHECK(args.per_token <= args.experts);
  CHECK(args.logits.size() == tokens * args.experts);
  CHECK(args.chosen.size() == tokens * args.per_token);
  softmax(args);
  std::fill(args.loads.begin(), args.loads.end(), 0U);
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t s = 0; s < args.per_token; ++s) {
      const std::uint32_t e = best_left(args, t, s);
      args.chosen[t * args.per_token + s] = e;
      ++args.loads[e];
    }
    set_gates(args, t);
  }
  for (std::size_t i = 0; i < args.chosen.size(); ++i) {
    args.routes[i] = overflows(args, i) ? no_expert : args.chosen[i];
  }
  return report_of(args);
}

template <class Value>
void backward(const basic_moe_router_backward_args<Value>& args) {
  const std::size_t tokens = args.lse.size();
  CHECK(args.gate_gradients.size() == tokens * args.per_token);
  CHECK(args.logit_gradients.size() == tokens * args.experts);
  std::vector<double> row(args.experts);
  for (std::size_t t = 0; t < tokens; ++t) {
    const auto p = args.probabilities.subspan(t * args.experts, args.experts);
    double average = 0.0;  // of the costs, under p
    for (std::size_t e = 0; e < args.experts; ++e) {
      average += static_cast<double>(p[e]) * probability_cost(args, e);
    }
    double through_gates = 0.0;  // Σ dg g
    const auto gate_gradient = [&args](std::size_t i) {
      return args.routes[i] == no_expert ? 0.0 : static_cast<double>(args.gate_gradients[i]);
    };
    const std::size_t begin = t * args.per_token;
    for (std::size_t i = begin; i < begin + args.per_token; ++i) {
      through_gates += gate_gradient(i) * static_cast<double>(args.gates[i]);
    }
    const double z =
        2.0 * args.losses.z * static_cast<double>(args.lse[t]) / static_cast<double>(tokens);
    for (std::size_t e = 0; e < args.experts; ++e) {
      const double from_all = args.renormalised ? 0.0 : through_gates;
      row[e] = static_cast<double>(p[e]) * (probability_cost(args, e) - average + z - from_all);
    }
    for (std::size_t i = begin; i < begin + args.per_token; ++i) {
      const double from_chosen = args.renormalised ? through_gates : 0.0;
      row[args.chosen[i]] += static_cast<double>(args.gates[i]) * (gate_gradient(i) - from_chosen);
    }
    for (std::size_t e = 0; e < args.experts; ++e) {
      args.logit_gradients[t * args.experts + e] = static_cast<Value>(row[e]);
    }
  }
}

}  // namespace

router_report moe_router_ref(const moe_router_args& args) { return forward(args); }
router_report moe_router_ref(const basic_moe_router_args<double>& args) { return forward(args); }
void moe_router_backward_ref(const moe_router_backward_args& args) { backward(args); }
void moe_router_backward_ref(const basic_moe_router_backward_args<double>& args) { backward(args); }

}  // namespace headrace::kernels
