#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Which heads attention spends on a sequence: s = σ(mean over its tokens of x W), and a head is
/// active where s > threshold. The straight-through estimator trains it (Bengio et al., arXiv
/// 1308.3432: forward takes the hard gate, backward pretends that it was s).
///
/// x [tokens, width], `x_stride` floats from one token to the next; weights [width, heads];
/// sequence s is the tokens [offsets[s], offsets[s + 1]), tokens = offsets.back(). Out: means
/// [sequences, width] and scores [sequences, heads], which backward needs; active [sequences,
/// heads], 1 or 0, as attention takes it. Returns the penalty strength * (share of active pairs -
/// target)^2, 0 without pairs. An empty sequence has mean 0, so scores of 1/2, and counts in the
/// share. One version, plain loops in double: a pass over x, small beside the attention that it
/// steers. Bound: |error of a mean| <= 2^-24 |mean|, |error of a score| <= 2^-24 + the like from
/// the means.
template <class Value>
struct basic_head_gate_args {
  const Value* x = nullptr;
  std::size_t x_stride = 0;
  std::span<const std::uint32_t> offsets;  // [sequences + 1], ascending from 0
  std::size_t width = 0;
  std::size_t heads = 0;
  std::span<const Value> weights;
  Value threshold = 0.5;
  Value target = 0.35;
  Value strength = 0;
  std::span<Value> means;
  std::span<Value> scores;
  std::span<std::uint8_t> active;
};
using head_gate_args = basic_head_gate_args<float>;
double head_gate(const head_gate_args& args);
double head_gate(const basic_head_gate_args<double>& args);

/// Gradients with G = gate_gradients + d penalty / d gate in place of d loss / d s: dz = G s (1 -
/// s), dW += meanᵀ dz, dx of each of a sequence's tokens = W dz / length.
///
/// gate_gradients [sequences, heads], what the loss has of each gate (a gated head's Σ d_o ⊙ o), or
/// empty: the penalty alone. Writes dx [tokens, width]; adds to weight_gradients [width, heads].
template <class Value>
struct basic_head_gate_backward_args {
  basic_head_gate_args<Value> forward;  // as it was called: means, scores and active are read
  std::span<const Value> gate_gradients = {};
  Value* dx = nullptr;
  std::size_t dx_stride = 0;
  std::span<Value> weight_gradients;
};
using head_gate_backward_args = basic_head_gate_backward_args<float>;
void head_gate_backward(const head_gate_backward_args& args);
void head_gate_backward(const basic_head_gate_backward_args<double>& args);

}  // namespace headrace::kernels
