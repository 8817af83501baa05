#pragma once

#include "kernels/moe_router/moe_router_kernel.hpp"

/// A router's gradient on a device (moe_router.hpp has the maths).
namespace headrace::kernels::device {

struct router_backward_view {
  const float* probabilities;   // [tokens, experts]
  const float* lse;             // [tokens]
  const float* mean;            // [experts]
  const std::uint32_t* chosen;  // [tokens, per_token]
  const float* gates;           // [tokens, per_token]
  const std::uint32_t* loads;   // [experts]
  const std::uint32_t* routes;  // [tokens, per_token]
  const float* gate_gradients;  // [tokens, per_token]
  float* logit_gradients;       // [tokens, experts]
  std::uint32_t tokens;
  std::uint32_t experts;
  std::uint32_t per_token;
  bool renormalised;
  double balance;
  double entropy;
  double z;
};

/// a_e: what a unit of p_te adds to the auxiliary losses.
HEADRACE_DEVICE float probability_cost_of(const router_backward_view& view, unsigned e) {
  constexpr float smallest = std::numeric_limits<float>::min();
  const float p = view.mean[e] < smallest ? smallest : view.mean[e];
  const double tokens = static_cast<double>(view.tokens);
  const double share =
      static_cast<double>(view.loads[e]) / (tokens * static_cast<double>(view.per_token));
  const double balance = view.balance * static_cast<double>(view.experts) * share;
  const double entropy = view.entropy * (log_wide(static_cast<double>(p)) + 1.0);
  return static_cast<float>((balance + entropy) / tokens);
}

/// One token's row of gradients from its p: p (a − Σ p a + 2 z lse / T − what all share).
template <unsigned Steps>
HEADRACE_DEVICE void take_probabilities(const router_backward_view& view,
                                        std::size_t t,
                                        const float* costs,
                                        float from_all,
                                        router_row<Steps>& row) {
  float average = 0.0F;
  HEADRACE_UNROLL
  for (unsigned i = 0; i < Steps; ++i) {
    const unsigned e = lane() + i * warp_threads;
    row.value[i] = e < view.experts ? view.probabilities[t * view.experts + e] : 0.0F;
    average += e < view.experts ? row.value[i] * costs[e] : 0.0F;
  }
  average = warp_sum(average);
  const auto z = static_cast<float>(2.0 * view.z * static_cast<double>(view.lse[t]) /
                                    static_cast<double>(view.tokens));
  HEADRACE_UNROLL
  for (unsigned i = 0; i < Steps; ++i) {
    const unsigned e = lane() + i * warp_threads;
    if (e < view.experts) row.value[i] *= costs[e] - average + z - from_all;
  }
}

/// A token a warp, lane s its s-th choice. Grid: any whose warps cover the tokens. Shared:
/// `experts` floats.
template <unsigned Steps>
HEADRACE_KERNEL void moe_router_backward_kernel(router_backward_view view) {
  auto* costs = reinterpret_cast<float*>(shared_memory());
  for (unsigned e = thread_index(); e < view.experts; e += block_threads()) {
    costs[e] = probability_cost_of(view, e);
  }
  sync_block();
  const std::size_t t = team_index<32>();
  if (t >= view.tokens) return;
  const std::size_t at = t * view.per_token + lane();
  const bool has_choice = lane() < view.per_token;
  const unsigned expert = has_choice ? view.chosen[at] : no_expert;
  const float gate = has_choice ? view.gates[at] : 0.0F;
  const bool is_kept = has_choice && view.routes[at] != no_expert;
  const float gradient = is_kept ? view.gate_gradients[at] : 0.0F;
  const float through = warp_sum(is_kept ? gradient * gate : 0.0F);
  router_row<Steps> row;
  take_probabilities<Steps>(view, t, costs, view.renormalised ? 0.0F : through, row);
  const float own = gate * (gradient - (view.renormalised ? through : 0.0F));
  for (unsigned s = 0; s < view.per_token; ++s) {
    const unsigned e = shuffle(expert, s);
    const float more = shuffle(own, s);
    HEADRACE_UNROLL
    for (unsigned i = 0; i < Steps; ++i) {
      if (e == lane() + i * warp_threads) row.value[i] += more;
    }
  }
  HEADRACE_UNROLL
  for (unsigned i = 0; i < Steps; ++i) {
    const unsigned e = lane() + i * warp_threads;
    if (e < view.experts) view.logit_gradients[t * view.experts + e] = row.value[i];
  }
}

}  // namespace headrace::kernels::device
