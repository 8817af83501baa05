#include "base/check.hpp"
#include "kernels/sparse_update/sparse_update.hpp"
#include "kernels/sparse_update/step_factors.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::kernels {
namespace {

/// The accumulators of a row, first-order columns first.
void fill_accumulators(const begin_states_args& args, float* to) {
  const std::size_t first = std::min(args.update.first_columns, args.update.dim);
  std::fill_n(to, first, args.first_accumulator);
  std::fill_n(to + first, args.update.dim - first, args.accumulator);
}

/// z from which ftrl's formula gives back the weight.
float ftrl_z(const sparse_update_args& of, std::size_t column, float weight, float n) {
  if (weight == 0.0F) return 0.0F;
  const float inverse = inverse_rate(column < of.first_columns ? of.first_rate : of.rate);
  const float spread = (of.ftrl_beta + std::sqrt(n)) * inverse + of.ftrl_l2;
  const float z = -(weight * spread) - std::copysign(of.ftrl_l1, weight);
  return std::min(std::max(z, -weight_max), weight_max);
}

}  // namespace

void begin_states(const begin_states_args& args) {
  const sparse_update_args& of = args.update;
  CHECK(of.states.empty() || of.states.size() == of.rows.size());
  for (std::size_t r = 0; r < of.rows.size(); ++r) {
    const float* weights = of.rows[r];
    float* state = of.states.empty() ? of.rows[r] + of.dim : of.states[r];
    std::fill_n(state, state_words(of.rule, of.dim), 0.0F);
    if (of.rule == update_rule::adagrad) fill_accumulators(args, state);
    if (of.rule == update_rule::rowwise_adagrad) *state = args.accumulator;
    if (of.rule != update_rule::ftrl) continue;
    float* n = state + of.dim;
    fill_accumulators(args, n);
    for (std::size_t c = 0; c < of.dim; ++c) state[c] = ftrl_z(of, c, weights[c], n[c]);
  }
}

}  // namespace headrace::kernels
