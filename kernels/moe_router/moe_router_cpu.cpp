#include "base/check.hpp"
#include "kernels/moe_router/moe_router.hpp"
#include "kernels/moe_router/router_costs.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/moe_router/moe_router_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
#include "kernels/softmax_loss/softmax_row-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// Tokens whose probabilities are summed in one go: they are still in L1 for few experts, and the
/// sums of a long batch stay short.
constexpr std::size_t block = 256;

/// What the selection looks at: p + bias of the experts of one token.
struct score_row {
  const float* p;
  const float* bias;  // null where there is none

  HWY_INLINE float at(std::size_t e) const { return bias == nullptr ? p[e] : p[e] + bias[e]; }
  template <class D>
  HWY_INLINE hn::Vec<D> load(D d, std::size_t e) const {
    const auto values = hn::LoadU(d, p + e);
    return bias == nullptr ? values : hn::Add(values, hn::LoadU(d, bias + e));
  }
};

/// The k best so far in order, at most; experts are offered in ascending order, so that equal
/// scores stay in that order.
struct best_experts {
  score_row scores;
  std::uint32_t* chosen;
  std::size_t k;
  std::size_t taken = 0;

  HWY_INLINE float worst() const { return scores.at(chosen[k - 1]); }
  HWY_INLINE void offer(std::size_t e) {
    const float score = scores.at(e);
    if (taken == k && !(score > worst())) return;
    std::size_t at = taken == k ? k - 1 : taken++;
    for (; at > 0 && score > scores.at(chosen[at - 1]); --at) chosen[at] = chosen[at - 1];
    chosen[at] = static_cast<std::uint32_t>(e);
  }
};

/// NaN scores are never better, so `chosen` holds k different experts in any case.
HWY_INLINE void choose(const score_row& scores,
                       std::size_t experts,
                       std::size_t k,
                       std::uint32_t* chosen) {
  best_experts best = {.scores = scores, .chosen = chosen, .k = k};
  for (std::size_t e = 0; e < k; ++e) best.offer(e);
  for_columns(k, experts, [&best](auto d, std::size_t e) HWY_ATTR {
    const auto better = hn::Gt(best.scores.load(d, e), hn::Set(d, best.worst()));
    if (hn::AllFalse(d, better)) return;
    for (std::size_t lane = 0; lane < hn::Lanes(d); ++lane) best.offer(e + lane);
  });
}

HWY_INLINE void softmax_row(const moe_router_args& args, std::size_t token) {
  const float* logits = args.logits.data() + token * args.experts;
  float* p = args.probabilities.data() + token * args.experts;
  const float largest = row_max(logits, args.experts);
  const float sum = exp_row(logits, args.experts, largest, p);
  scale_row(p, args.experts, 1.0F / sum);
  args.lse[token] = largest + std::log(sum);
}

HWY_INLINE void set_gates(const moe_router_args& args, std::size_t token) {
  const std::uint32_t* chosen = args.chosen.data() + token * args.per_token;
  const float* from =
      (args.renormalised ? args.logits.data() : args.probabilities.data()) + token * args.experts;
  float* gates = args.gates.data() + token * args.per_token;
  for (std::size_t s = 0; s < args.per_token; ++s) gates[s] = from[chosen[s]];
  if (!args.renormalised) return;
  const float sum = exp_row(gates, args.per_token, row_max(gates, args.per_token), gates);
  scale_row(gates, args.per_token, 1.0F / sum);
}

/// mean_probabilities += Σ p over the tokens [begin, end).
HWY_INLINE void add_probabilities(const moe_router_args& args, std::size_t begin, std::size_t end) {
  for_columns(0, args.experts, [&args, begin, end](auto d, std::size_t e) HWY_ATTR {
    auto sum = hn::Zero(d);
    for (std::size_t t = begin; t < end; ++t) {
      sum = hn::Add(sum, hn::LoadU(d, args.probabilities.data() + t * args.experts + e));
    }
    float* total = args.mean_probabilities.data() + e;
    hn::StoreU(hn::Add(hn::LoadU(d, total), sum), d, total);
  });
}

void choose_experts(const moe_router_args& args) {
  const std::size_t tokens = args.lse.size();
  std::fill(args.loads.begin(), args.loads.end(), 0U);
  std::fill(args.mean_probabilities.begin(), args.mean_probabilities.end(), 0.0F);
  const float* bias = args.bias.empty() ? nullptr : args.bias.data();
  for (std::size_t begin = 0; begin < tokens; begin += block) {
    const std::size_t end = std::min(begin + block, tokens);
    for (std::size_t t = begin; t < end; ++t) {
      softmax_row(args, t);
      std::uint32_t* chosen = args.chosen.data() + t * args.per_token;
      choose({.p = args.probabilities.data() + t * args.experts, .bias = bias},
             args.experts,
             args.per_token,
             chosen);
      for (std::size_t s = 0; s < args.per_token; ++s) ++args.loads[chosen[s]];
      set_gates(args, t);
    }
    add_probabilities(args, begin, end);
  }
  if (tokens == 0) return;
  scale_row(args.mean_probabilities.data(), args.experts, 1.0F / static_cast<float>(tokens));
}

/// Larger gates first, then lower tokens. Gates are not negative, so their bits order as they do;
/// and a NaN has a place, too.
HWY_INLINE bool comes_before(const float* gates, std::uint32_t left, std::uint32_t right) {
  const auto left_bits = std::bit_cast<std::uint32_t>(gates[left]);
  const auto right_bits = std::bit_cast<std::uint32_t>(gates[right]);
  return left_bits != right_bits ? left_bits > right_bits : left < right;
}

/// Takes the routes of the assignments beyond each expert's capacity. Workspace: where the next
/// assignment of each expert goes [E], then the assignments by expert [T k].
void drop_overflow(const moe_router_args& args) {
  std::uint32_t* ends = args.workspace.data();
  std::uint32_t* sorted = ends + args.experts;
  std::uint32_t total = 0;
  for (std::size_t e = 0; e < args.experts; ++e) {
    ends[e] = total;
    total += args.loads[e];
  }
  for (std::uint32_t i = 0; i < total; ++i) sorted[ends[args.chosen[i]]++] = i;
  for (std::size_t e = 0; e < args.experts; ++e) {
    if (args.loads[e] <= args.capacity) continue;
    std::uint32_t* end = sorted + ends[e];
    std::uint32_t* kept = end - args.loads[e] + args.capacity;
    const float* gates = args.gates.data();
    std::nth_element(
        end - args.loads[e], kept, end, [gates](std::uint32_t left, std::uint32_t right) {
          return comes_before(gates, left, right);
        });
    for (; kept != end; ++kept) args.routes[*kept] = no_expert;
  }
}

router_report moe_router_target(const moe_router_args& args) {
  choose_experts(args);
  std::copy(args.chosen.begin(), args.chosen.end(), args.routes.begin());
  if (args.capacity != 0) drop_overflow(args);
  return report_of(args);
}

HWY_INLINE float gate_gradient(const moe_router_backward_args& args, std::size_t i) {
  return args.routes[i] == no_expert ? 0.0F : args.gate_gradients[i];
}

HWY_INLINE void backward_row(const moe_router_backward_args& args, std::size_t token) {
  const float* costs = args.workspace.data();
  const float* p = args.probabilities.data() + token * args.experts;
  float* out = args.logit_gradients.data() + token * args.experts;
  const std::size_t begin = token * args.per_token;
  const std::size_t end = begin + args.per_token;
  float through_gates = 0.0F;  // Σ dg g
  for (std::size_t i = begin; i < end; ++i) through_gates += gate_gradient(args, i) * args.gates[i];
  const float average = sum_columns(args.experts, [p, costs](auto d, std::size_t e) HWY_ATTR {
    return hn::Mul(hn::LoadU(d, p + e), hn::LoadU(d, costs + e));
  });
  const double z = 2.0 * args.losses.z / static_cast<double>(args.lse.size());
  const float same = static_cast<float>(z) * args.lse[token] - average -
                     (args.renormalised ? 0.0F : through_gates);
  for_columns(0, args.experts, [p, costs, out, same](auto d, std::size_t e) HWY_ATTR {
    const auto cost = hn::Add(hn::LoadU(d, costs + e), hn::Set(d, same));
    hn::StoreU(hn::Mul(hn::LoadU(d, p + e), cost), d, out + e);
  });
  const float from_chosen = args.renormalised ? through_gates : 0.0F;
  for (std::size_t i = begin; i < end; ++i) {
    out[args.chosen[i]] += args.gates[i] * (gate_gradient(args, i) - from_chosen);
  }
}

void moe_router_backward_target(const moe_router_backward_args& args) {
  if (args.lse.empty()) return;
  for (std::size_t e = 0; e < args.experts; ++e) {
    args.workspace[e] = static_cast<float>(probability_cost(args, e));
  }
  for (std::size_t t = 0; t < args.lse.size(); ++t) backward_row(args, t);
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(moe_router_target);
HWY_EXPORT(moe_router_backward_target);

namespace {

/// Sizes of what both directions take.
template <class Args>
void check_sizes(const Args& args) {
  const std::size_t tokens = args.lse.size();
  CHECK(args.per_token >= 1);
  CHECK(args.per_token <= args.experts);
  CHECK(args.probabilities.size() == tokens * args.experts);
  CHECK(args.mean_probabilities.size() == args.experts);
  CHECK(args.chosen.size() == tokens * args.per_token);
  CHECK(args.gates.size() == args.chosen.size());
  CHECK(args.loads.size() == args.experts);
  CHECK(args.routes.size() == args.chosen.size());
}

}  // namespace

router_report moe_router_cpu(const moe_router_args& args) {
  check_sizes(args);
  CHECK(args.logits.size() == args.probabilities.size());
  CHECK(args.bias.empty() || args.bias.size() == args.experts);
  CHECK(args.chosen.size() < no_expert);
  CHECK(args.workspace.size() >=
        moe_router_workspace(args.lse.size(), args.experts, args.per_token, args.capacity));
  return HWY_DYNAMIC_DISPATCH(moe_router_target)(args);
}

void moe_router_backward_cpu(const moe_router_backward_args& args) {
  check_sizes(args);
  CHECK(args.gate_gradients.size() == args.gates.size());
  CHECK(args.logit_gradients.size() == args.probabilities.size());
  CHECK(args.workspace.size() >= args.experts);
  HWY_DYNAMIC_DISPATCH(moe_router_backward_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
