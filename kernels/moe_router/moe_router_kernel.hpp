#pragma once

#include "kernels/moe_router/route.hpp"
#include "kernels/runtime/block_sums.hpp"
#include "kernels/runtime/near_math.hpp"
#include "kernels/runtime/row_team.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>

/// A router on a device (moe_router.hpp has the maths): a warp has a token, lane l the experts l, l
/// + 32, …; the chosen ones lie one a lane.
namespace headrace::kernels::device {

constexpr unsigned router_experts_max = 256;
constexpr unsigned router_per_token_max = 32;

struct router_view {
  const float* logits;    // [tokens, experts]
  const float* bias;      // [experts], or null
  float* probabilities;   // [tokens, experts]
  float* lse;             // [tokens]
  float* mean_partials;   // [warps, experts]: Σ p of each warp's tokens
  double* lse_partials;   // [warps]: Σ lse²
  std::uint32_t* chosen;  // [tokens, per_token]
  float* gates;           // [tokens, per_token]
  std::uint32_t* loads;   // [experts], zeroed before
  std::uint32_t* routes;  // [tokens, per_token]: chosen, until capacity says otherwise
  std::uint32_t tokens;
  std::uint32_t experts;
  std::uint32_t per_token;
  bool renormalised;
};

/// A token's row over the lanes of a warp: values of `Steps` experts each.
template <unsigned Steps>
struct router_row {
  float value[Steps];
};

/// p of a row and its lse. Experts beyond the last have p = 0.
template <unsigned Steps>
HEADRACE_DEVICE float take_softmax(const float* logits, unsigned experts, router_row<Steps>& p) {
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  float largest = lowest;
  HEADRACE_UNROLL
  for (unsigned i = 0; i < Steps; ++i) {
    const unsigned e = lane() + i * warp_threads;
    p.value[i] = e < experts ? logits[e] : lowest;
    largest = p.value[i] > largest ? p.value[i] : largest;
  }
  largest = warp_max(largest);
  float sum = 0.0F;
  HEADRACE_UNROLL
  for (unsigned i = 0; i < Steps; ++i) {
    p.value[i] = exp_near(p.value[i] - largest);
    sum += p.value[i];
  }
  sum = warp_sum(sum);
  HEADRACE_UNROLL
  for (unsigned i = 0; i < Steps; ++i) p.value[i] /= sum;
  return largest + log_near(sum);
}

/// A score and whose it is; the better of two has the larger, or of equal ones the lower expert.
struct scored_expert {
  float score;
  unsigned expert;
};
HEADRACE_DEVICE scored_expert better_of(const scored_expert& a, const scored_expert& b) {
  const bool b_is = b.score > a.score || (b.score == a.score && b.expert < a.expert);
  return b_is ? b : a;
}

/// The best expert of a warp's scores, in every lane. Taken ones have the score −∞ and are not met
/// again while others are finite.
template <unsigned Steps>
HEADRACE_DEVICE scored_expert best_of(const router_row<Steps>& scores) {
  scored_expert best = {scores.value[0], lane()};
  HEADRACE_UNROLL
  for (unsigned i = 1; i < Steps; ++i) {
    best = better_of(best, {scores.value[i], lane() + i * warp_threads});
  }
  HEADRACE_UNROLL
  for (unsigned step = warp_threads / 2; step > 0; step /= 2) {
    best = better_of(best, {shuffle_xor(best.score, step), shuffle_xor(best.expert, step)});
  }
  return best;
}

/// What a token chose: lane s has the s-th.
struct chosen_lane {
  unsigned expert;
  float logit;
  float probability;
};

/// The per_token best of p + bias, larger first. What lane s needs of its choice it reads from
/// memory: by number, registers would have to be memory, too.
template <unsigned Steps>
HEADRACE_DEVICE chosen_lane choose_experts(const router_view& view,
                                           std::size_t token,
                                           const router_row<Steps>& p) {
  constexpr float lowest = -std::numeric_limits<float>::infinity();
  router_row<Steps> scores;
  HEADRACE_UNROLL
  for (unsigned i = 0; i < Steps; ++i) {
    const unsigned e = lane() + i * warp_threads;
    const float bias = view.bias != nullptr && e < view.experts ? view.bias[e] : 0.0F;
    scores.value[i] = e < view.experts ? p.value[i] + bias : lowest;
  }
  chosen_lane own = {no_expert, lowest, 0.0F};
  for (unsigned s = 0; s < view.per_token; ++s) {
    const unsigned e = best_of<Steps>(scores).expert;
    if (lane() == s) own.expert = e;
    HEADRACE_UNROLL
    for (unsigned i = 0; i < Steps; ++i) {
      if (e == lane() + i * warp_threads) scores.value[i] = lowest;
    }
  }
  if (lane() >= view.per_token) return own;
  const std::size_t at = token * view.experts + own.expert;
  return {own.expert, view.logits[at], view.probabilities[at]};
}

/// Softmax over the chosen, or p.
HEADRACE_DEVICE float gate_of(const router_view& view, const chosen_lane& own) {
  const float largest = warp_max(own.logit);
  const float top = lane() < view.per_token ? exp_near(own.logit - largest) : 0.0F;
  const float sum = warp_sum(top);
  return view.renormalised ? top / sum : own.probability;
}

/// Warp w has the tokens w, w + warps, …; what a block's tokens chose is counted in shared memory
/// first (counts are exact in any order). Shared: `experts` words.
template <unsigned Steps>
HEADRACE_KERNEL void moe_router_kernel(router_view view) {
  auto* counts = reinterpret_cast<unsigned*>(shared_memory());
  for (unsigned e = thread_index(); e < view.experts; e += block_threads()) counts[e] = 0;
  sync_block();
  router_row<Steps> sums = {};
  double squares = 0.0;
  const std::size_t own = team_index<32>();
  for (std::size_t t = own; t < view.tokens; t += team_count<32>()) {
    router_row<Steps> p;
    const float lse = take_softmax<Steps>(view.logits + t * view.experts, view.experts, p);
    HEADRACE_UNROLL
    for (unsigned i = 0; i < Steps; ++i) {
      const unsigned e = lane() + i * warp_threads;
      sums.value[i] += p.value[i];
      if (e < view.experts) view.probabilities[t * view.experts + e] = p.value[i];
    }
    sync_warp();
    const chosen_lane chosen = choose_experts<Steps>(view, t, p);
    const float gate = gate_of(view, chosen);
    squares += static_cast<double>(lse) * static_cast<double>(lse);
    if (lane() == 0) view.lse[t] = lse;
    if (lane() >= view.per_token) continue;
    const std::size_t at = t * view.per_token + lane();
    view.chosen[at] = chosen.expert;
    view.routes[at] = chosen.expert;
    view.gates[at] = gate;
    atomic_add(counts + chosen.expert, 1U);
  }
  HEADRACE_UNROLL
  for (unsigned i = 0; i < Steps; ++i) {
    const unsigned e = lane() + i * warp_threads;
    if (e < view.experts) view.mean_partials[own * view.experts + e] = sums.value[i];
  }
  if (lane() == 0) view.lse_partials[own] = squares;
  sync_block();
  for (unsigned e = thread_index(); e < view.experts; e += block_threads()) {
    if (counts[e] != 0) atomic_add(view.loads + e, counts[e]);
  }
}

/// Zeros in loads and mean, before the router. One block.
HEADRACE_KERNEL void router_begin_kernel(std::uint32_t* loads, float* mean, std::uint32_t experts) {
  for (unsigned e = thread_index(); e < experts; e += block_threads()) {
    loads[e] = 0;
    mean[e] = 0.0F;
  }
}

/// What moe_router's report has, in device memory.
struct router_numbers {
  double balance_loss;
  double entropy_loss;
  double z_loss;
  double utilisation;
  std::uint64_t dropped;
};

struct router_report_view {
  float* mean;                 // [experts]: sums of p on the way in, averages on the way out
  const std::uint32_t* loads;  // [experts]
  const double* lse_partials;  // [warps]
  router_numbers* report;
  std::uint32_t tokens;
  std::uint32_t experts;
  std::uint32_t per_token;
  std::uint32_t capacity;
  std::uint32_t warps;
  double balance;
  double entropy;
  double z;
};

/// One expert's share of the report.
HEADRACE_DEVICE void take_expert_numbers(const router_report_view& view,
                                         unsigned e,
                                         std::uint32_t capacity,
                                         router_numbers& to) {
  const double p = static_cast<double>(view.mean[e]);
  const double share = static_cast<double>(view.loads[e]) /
                       (static_cast<double>(view.tokens) * static_cast<double>(view.per_token));
  to.balance_loss += view.balance * static_cast<double>(view.experts) * share * p;
  if (p > 0.0) to.entropy_loss += view.entropy * p * log_wide(p);
  const std::uint32_t kept = view.loads[e] < capacity ? view.loads[e] : capacity;
  to.utilisation += static_cast<double>(kept);
  if (view.capacity != 0) to.dropped += view.loads[e] - kept;
}

/// One block of sum_threads, behind column_sums_kernel. Shared: 8 doubles.
HEADRACE_KERNEL void router_report_kernel(router_report_view view) {
  auto* scratch = reinterpret_cast<double*>(shared_memory());
  router_numbers own = {0.0, 0.0, 0.0, 0.0, 0};
  const bool some = view.tokens > 0;
  const std::uint64_t assignments = std::uint64_t{view.tokens} * view.per_token;
  const auto even = static_cast<std::uint32_t>((assignments + view.experts - 1) / view.experts);
  const std::uint32_t capacity = view.capacity == 0 ? even : view.capacity;
  for (unsigned e = thread_index(); e < view.experts && some; e += sum_threads) {
    view.mean[e] /= static_cast<float>(view.tokens);
    take_expert_numbers(view, e, capacity, own);
  }
  for (unsigned w = thread_index(); w < view.warps && some; w += sum_threads) {
    own.z_loss += view.lse_partials[w];
  }
  const double balance = block_sum(own.balance_loss, scratch);
  const double entropy = block_sum(own.entropy_loss, scratch);
  const double z = block_sum(own.z_loss, scratch);
  const double used = block_sum(own.utilisation, scratch);
  const double dropped = block_sum(static_cast<double>(own.dropped), scratch);  // exact: < 2^32
  if (thread_index() != 0) return;
  *view.report = {balance, entropy, 0.0, 0.0, static_cast<std::uint64_t>(dropped)};
  if (!some) return;
  view.report->z_loss = z * (view.z / static_cast<double>(view.tokens));
  view.report->utilisation =
      used / (static_cast<double>(view.experts) * static_cast<double>(capacity));
}

}  // namespace headrace::kernels::device
