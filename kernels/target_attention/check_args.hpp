#pragma once

#include "base/check.hpp"
#include "kernels/target_attention/target_attention.hpp"

#include <algorithm>
#include <cstddef>

/// What every version of target_attention checks before it starts.
namespace headrace::kernels {

template <class Value>
void check_target_attention(const basic_target_attention_args<Value>& args) {
  CHECK(!args.offsets.empty());
  CHECK(args.offsets.front() == 0);
  const std::size_t samples = args.offsets.size() - 1;
  const std::size_t tokens = args.offsets.back();
  CHECK(args.history.size() == tokens * args.dim);
  CHECK(args.targets.size() == samples * args.dim);
  CHECK(args.first_weights.size() == 4 * args.dim * args.hidden);
  CHECK(args.first_bias.size() == args.hidden);
  CHECK(args.second_weights.size() == args.hidden);
  CHECK(args.second_bias.size() <= 1);
  CHECK(args.activations.size() == tokens * args.hidden);
  CHECK(args.attention.size() == tokens);
}

template <class Value>
void check_target_attention_backward(const basic_target_attention_backward_args<Value>& args) {
  check_target_attention(args.forward);
  CHECK(args.o_gradients.size() == args.forward.targets.size());
  CHECK(args.history_gradients.size() == args.forward.history.size());
  CHECK(args.target_gradients.size() == args.forward.targets.size());
  CHECK(args.first_weight_gradients.size() == args.forward.first_weights.size());
  CHECK(args.first_bias_gradients.size() == args.forward.hidden);
  CHECK(args.second_weight_gradients.size() == args.forward.hidden);
  CHECK(args.second_bias_gradients.size() == args.forward.second_bias.size());
}

/// Tokens of the longest history; offsets ascend.
template <class Value>
std::size_t longest_history(const basic_target_attention_args<Value>& args) {
  std::size_t longest = 0;
  for (std::size_t s = 0; s + 1 < args.offsets.size(); ++s) {
    CHECK(args.offsets[s] <= args.offsets[s + 1]);
    longest = std::max<std::size_t>(longest, args.offsets[s + 1] - args.offsets[s]);
  }
  return longest;
}

}  // namespace headrace::kernels
