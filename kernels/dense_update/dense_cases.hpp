#pragma once

#include "kernels/dense_update/dense_update.hpp"
#include "kernels/runtime/test_cases.hpp"

#include <vector>

/// What the tests of dense_update draw from.
namespace headrace::kernels {

/// Tensors of several sizes in an arena, each with numbers of its own, some at a gap; hard values.
struct dense_case {
  dense_case(update_rule rule, const std::vector<std::size_t>& sizes, std::uint64_t seed) {
    step = {.rule = rule, .clip = 0.0F, .momentum = 0.9F, .beta1 = 0.9F, .beta2 = 0.999F};
    random_stream random(seed);
    std::uint64_t begin = 0;
    std::uint64_t state_begin = 0;
    for (const std::size_t size : sizes) {
      const float rate = 0.01F + static_cast<float>(random.next_unit());
      tensors.push_back({.begin = begin,
                         .size = size,
                         .state_begin = state_begin,
                         .rate = rate,
                         .l2 = random.next_below(2) == 0 ? 0.0F : 0.125F,
                         .weight_decay = 0.0625F});
      begin += size + random.next_below(3) * 4;
      state_begin += (state_words(rule, size) + 3) / 4 * 4;
    }
    blocks = plan_dense_blocks(tensors.data(), tensors.size());
    weights.resize(begin);
    gradients.resize(begin);
    brains.assign(begin, 0x7FC1);
    state.assign(state_begin, 0.0F);
    for (float& w : weights) w = next_hard(random, 4, weight_max);
    for (float& g : gradients) g = next_hard(random);
    for (const dense_tensor& tensor : tensors) {
      for (std::size_t i = 0; i < state_words(rule, tensor.size); ++i) {
        const bool is_steps = i == 2 * tensor.size;
        const float value = std::abs(next_hard(random, 8, weight_max));
        state[tensor.state_begin + i] = is_steps ? 0.0F : value;
      }
    }
  }

  dense_update_args args() {
    workspace.resize(weights.size());
    return {.tensors = tensors,
            .step = step,
            .seen = seen,
            .weights = weights,
            .gradients = gradients,
            .state = state,
            .brains = brains,
            .workspace = workspace};
  }

  dense_step step;
  dense_gradients_seen seen;
  std::vector<dense_tensor> tensors;
  std::uint32_t blocks = 0;
  std::vector<float> weights, gradients, state, workspace;
  std::vector<std::uint16_t> brains;
};

inline const std::vector<update_rule>& dense_rules() {
  static const std::vector<update_rule> rules = {update_rule::add,
                                                 update_rule::sgd,
                                                 update_rule::adagrad,
                                                 update_rule::momentum,
                                                 update_rule::adam,
                                                 update_rule::adamw};
  return rules;
}

inline ::testing::AssertionResult same_step(const dense_case& got, const dense_case& wanted) {
  const auto weights = same_bits<const float>(got.weights, wanted.weights);
  if (!weights) return weights;
  const auto state = same_bits<const float>(got.state, wanted.state);
  if (!state) return state;
  return same_bits<const std::uint16_t>(got.brains, wanted.brains);
}

/// Plain, clipped by element, and scaled with the norm clipped: three kinds of step.
template <class Check>
void for_each_dense_case(const Check& check) {
  for (const update_rule rule : dense_rules()) {
    for (const int kind : {0, 1, 2}) {
      SCOPED_TRACE("rule " + std::to_string(static_cast<int>(rule)) + ", kind " +
                   std::to_string(kind));
      dense_case one(rule, {1, 4, 0, 33, 4096, 4100, 64}, test_seed() + kind);
      if (kind == 1) one.step.clip = 0.5F;
      if (kind == 2) {
        one.step.norm_max = 2.0F;
        one.seen = {.finite = true, .inverse = 0x1p-10F, .squares = 1e4};
      }
      check(one);
    }
  }
}

}  // namespace headrace::kernels
