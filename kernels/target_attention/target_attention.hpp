#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

enum class target_activation {
  relu,
  sigmoid,
};

/// Attention of a target over a ragged history, scored by a small network (DIN: Zhou et al.,
/// KDD'18, eq. 3 and figure 2): for the tokens j of sample s, with e = history_j and t = target_s,
/// z = [e, t, e - t, e ⊙ t] W + b, act = φ(z), a_j = act · u + c, o_s = Σ_j a_j e_j.
///
/// As in the paper the a_j are not normalised; with `softmax` they are, over the sample. history
/// [tokens, dim], sample s is the tokens [offsets[s], offsets[s + 1]); targets [samples, dim].
/// first_weights W [4 dim, hidden], a block of dim rows for each of the four parts in that order;
/// first_bias b [hidden]; second_weights u [hidden]; second_bias c [1], or empty for 0. Out:
/// activations [tokens, hidden] and attention a [tokens], which backward needs; o [samples, dim], 0
/// for an empty history. Outputs overlap no input.
///
/// The CPU version never builds the four parts: z = e (W₁ + W₃ + diag(t) W₄) + t (W₂ - W₃) + b, so
/// a sample costs one product of depth dim instead of 4 dim, once its matrix is made. On one target
/// the same call gives the same bits; targets differ. Bounds for floats against exact, while
/// nothing over- or underflows: (2 dim + hidden + length + 24) * 2^-24 times the same value
/// computed from absolute values of all inputs, with relu, with |e| + |t| for e - t, and with |b| +
/// 1 for b where φ = sigmoid. With softmax the o of a sample: relative L2 error 1e-5 while its
/// scores' own bound is below 2e-6.
template <class Value>
struct basic_target_attention_args {
  std::span<const Value> history;
  std::span<const Value> targets;
  std::span<const std::uint32_t> offsets;  // [samples + 1], ascending from 0
  std::size_t dim = 0;
  std::size_t hidden = 0;
  std::span<const Value> first_weights;
  std::span<const Value> first_bias;
  std::span<const Value> second_weights;
  std::span<const Value> second_bias = {};
  target_activation activation = target_activation::relu;
  bool softmax = false;
  std::span<Value> activations;
  std::span<Value> attention;
  std::span<Value> o;
  /// At least target_attention_workspace(dim, hidden, longest history); the reference needs none.
  std::span<Value> workspace = {};
};
using target_attention_args = basic_target_attention_args<float>;

/// Floats of workspace that target_attention needs.
std::size_t target_attention_workspace(std::size_t dim, std::size_t hidden, std::size_t longest);

void target_attention_ref(const target_attention_args& args);  // double accumulators, four parts
void target_attention_ref(const basic_target_attention_args<double>& args);
void target_attention_cpu(const target_attention_args& args);

inline void target_attention(const target_attention_args& args) { target_attention_cpu(args); }

/// Gradients from o_gradients g [samples, dim]: da_j = g · e_j, ds = da, or a_j (da_j - Σ a da)
/// with softmax; dz = ds u ⊙ φ'; relu's φ' is 0 at 0.
///
/// `forward` as it was called: activations and attention are read, o and its workspace not. Writes
/// history_gradients [tokens, dim] and target_gradients [samples, dim]; adds to those of the
/// parameters, shaped as these; second_bias_gradients is empty where second_bias is. Outputs
/// overlap no input. Bits as forward. Bounds as forward's, on these inputs, without softmax, with
/// the samples and all tokens for `length`, and with |what was there| where a gradient is added to.
/// With softmax, where ds cancels: L2 error 1e-6 of the norm of the gradient plus that of those
/// values.
template <class Value>
struct basic_target_attention_backward_args {
  basic_target_attention_args<Value> forward;
  std::span<const Value> o_gradients;
  std::span<Value> history_gradients;
  std::span<Value> target_gradients;
  std::span<Value> first_weight_gradients;
  std::span<Value> first_bias_gradients;
  std::span<Value> second_weight_gradients;
  std::span<Value> second_bias_gradients = {};
  /// At least target_attention_backward_workspace(dim, hidden, longest history) values.
  std::span<Value> workspace = {};
};
using target_attention_backward_args = basic_target_attention_backward_args<float>;

std::size_t target_attention_backward_workspace(std::size_t dim,
                                                std::size_t hidden,
                                                std::size_t longest);

void target_attention_backward_ref(const target_attention_backward_args& args);
void target_attention_backward_ref(const basic_target_attention_backward_args<double>& args);
void target_attention_backward_cpu(const target_attention_backward_args& args);

inline void target_attention_backward(const target_attention_backward_args& args) {
  target_attention_backward_cpu(args);
}

}  // namespace headrace::kernels
