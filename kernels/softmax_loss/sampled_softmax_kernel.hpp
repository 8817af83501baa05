#pragma once

#include "kernels/runtime/block_sums.hpp"
#include "kernels/runtime/near_math.hpp"
#include "kernels/runtime/row_team.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>

/// Softmax cross-entropy over sampled candidates on a device (sampled_softmax.hpp has the maths): a
/// warp a position, or a block where candidates are many. Scores are read twice, gradients written
/// twice: the second time from a near cache.
namespace headrace::kernels::device {

struct sampled_softmax_view {
  const float* scores;             // [positions, candidates]
  const float* log_q;              // [candidates] a row, or null
  std::size_t log_q_stride;        // 0: one row for all positions
  const float* weights;            // [positions], or null: all 1
  const std::uint32_t* positives;  // [positions] < candidates, or null: all 0
  float* losses;                   // [positions] out
  float* score_gradients;          // [positions, candidates] out
  std::size_t positions;
  std::uint32_t candidates;
};

/// One position's numbers.
struct sampled_row {
  const float* scores;
  const float* log_q;
  float* gradients;
  std::uint32_t positive;

  HEADRACE_DEVICE float score(std::uint32_t c) const {
    return log_q == nullptr ? scores[c] : scores[c] - log_q[c];
  }
};

/// The largest over the team, in every thread; a NaN is passed over. `scratch` as team_sum's.
template <unsigned Team>
HEADRACE_DEVICE float team_max(float value, float* scratch) {
  float own = warp_max(value);
  if constexpr (Team == 32) {
    return own;
  } else {
    if (lane() == 0) scratch[warp()] = own;
    sync_block();
    for (unsigned w = 0; w < Team / 32; ++w) own = larger(own, scratch[w]);
    sync_block();
    return own;
  }
}

template <unsigned Team>
HEADRACE_DEVICE float largest_score(const sampled_row& row,
                                    std::uint32_t n,
                                    unsigned member,
                                    float* scratch) {
  float most = -std::numeric_limits<float>::infinity();
  for (std::uint32_t c = member; c < n; c += Team) most = larger(most, row.score(c));
  return team_max<Team>(most, scratch);
}

/// gradients = e^(score − largest) of all but the positive; returns their sum.
template <unsigned Team>
HEADRACE_DEVICE float weigh_others(
    const sampled_row& row, std::uint32_t n, unsigned member, float largest, float* scratch) {
  float sum = 0.0F;
  for (std::uint32_t c = member; c < n; c += Team) {
    if (c == row.positive) continue;
    const float e = exp_near(row.score(c) - largest);
    row.gradients[c] = e;
    sum += e;
  }
  return team_sum<Team>(sum, scratch);
}

/// −ln of the positive's share, which is kept apart: neither 1 − p nor ln p is taken of a rounded
/// p.
HEADRACE_DEVICE double loss_of(float largest, float positive, float others, double total) {
  if (largest == positive) return static_cast<double>(log1p_near(others));
  return static_cast<double>(largest) - static_cast<double>(positive) + log_wide(total);
}

/// A team of Team threads a position: teams go round. Grid: any, blocks of 256 for Team 32, of Team
/// else. Shared: Team / 32 floats where Team is above 32.
template <unsigned Team>
HEADRACE_KERNEL void sampled_softmax_kernel(sampled_softmax_view view) {
  auto* scratch = reinterpret_cast<float*>(shared_memory());
  const unsigned member = Team == 32 ? lane() : thread_index();
  const std::uint32_t n = view.candidates;
  for (std::size_t t = team_index<Team>(); t < view.positions; t += team_count<Team>()) {
    float* gradients = view.score_gradients + t * n;
    const float weight = view.weights == nullptr ? 1.0F : view.weights[t];
    if (weight == 0.0F) {
      for (std::uint32_t c = member; c < n; c += Team) gradients[c] = 0.0F;
      if (member == 0) view.losses[t] = 0.0F;
      continue;
    }
    const sampled_row row = {view.scores + t * n,
                             view.log_q == nullptr ? nullptr : view.log_q + t * view.log_q_stride,
                             gradients,
                             view.positives == nullptr ? 0 : view.positives[t]};
    const float largest = largest_score<Team>(row, n, member, scratch);
    const float others = weigh_others<Team>(row, n, member, largest, scratch);
    const float positive = row.score(row.positive);
    const double total =
        static_cast<double>(others) + static_cast<double>(exp_near(positive - largest));
    const double factor = static_cast<double>(weight) / total;
    const auto share = static_cast<float>(factor);
    for (std::uint32_t c = member; c < n; c += Team) {
      gradients[c] = c == row.positive ? static_cast<float>(-static_cast<double>(others) * factor)
                                       : gradients[c] * share;
    }
    if (member == 0) {
      const double loss = loss_of(largest, positive, others, total);
      view.losses[t] = static_cast<float>(static_cast<double>(weight) * loss);
    }
  }
}

/// partials[block] = Σ of a block's share of n values, in double. Any grid of blocks of
/// sum_threads. Shared: 8 doubles.
HEADRACE_KERNEL void sum_losses_kernel(const float* losses, std::size_t n, double* partials) {
  const std::size_t step = std::size_t{grid_blocks().x} * sum_threads;
  double sum = 0.0;
  for (std::size_t i = std::size_t{block_index().x} * sum_threads + thread_index(); i < n;
       i += step) {
    sum += static_cast<double>(losses[i]);
  }
  sum = block_sum(sum, reinterpret_cast<double*>(shared_memory()));
  if (thread_index() == 0) partials[block_index().x] = sum;
}

}  // namespace headrace::kernels::device
