#pragma once

#include "kernels/attention/mask.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Attention over ragged sequences: P = softmax(scale Q Kᵀ + bias + mask), O = P V, a head and a
/// sequence at a time.
///
/// q [tokens, heads, head_dim]; k, v [tokens, kv_heads, head_dim]; heads a multiple of kv_heads,
/// and head h reads key head h / (heads / kv_heads). A stride is the floats from one token to the
/// next, at least heads (kv_heads) * head_dim: the three may lie in one buffer. Sequence s is the
/// tokens [offsets[s], offsets[s + 1]); tokens = offsets.back().
/// Out: o, shaped as q; lse [tokens, heads] = ln Σ e^score, which backward needs. Neither may
/// overlap an input. A query that sees no key, and every query of an inactive (sequence, head),
/// gets o = 0 and lse = -infinity.
///
/// The CPU version never holds more than a tile of P (online softmax: Milakov, arXiv 1805.02867;
/// tiles: FlashAttention-2, arXiv 2307.08691, algorithm 1) and skips the keys that no query of a
/// tile sees. Keys are taken in ascending order in tiles of a fixed grid, so a window that hides
/// nothing gives the bits of no window. Masked keys do not matter, unless they are infinite or NaN.
/// Scores lie in ±1e30. Bound against exact, while nothing overflows: a score is off by
/// e = (head_dim + 6) * 2^-23 * (scale Σ|q k| + |bias|), an element of o by (2 e + (length + 16) *
/// 2^-23) max|v| for the largest e of its row. While scores are below 64: relative L2 error of o
/// 1e-5, an element of lse within 1e-5 (1 + |lse|). On one target the same call gives the same
/// bits.
template <class Value>
struct basic_attention_args {
  const Value* q = nullptr;
  std::size_t q_stride = 0;
  const Value* k = nullptr;
  std::size_t k_stride = 0;
  const Value* v = nullptr;
  std::size_t v_stride = 0;
  std::span<const std::uint32_t> offsets;  // [sequences + 1], ascending
  std::size_t heads = 0;
  std::size_t kv_heads = 0;
  std::size_t head_dim = 0;  // any; fastest for multiples of 8
  Value scale = 1;
  attention_mask mask;
  /// bias -= slope * |i - j|, one slope a head (ALiBi, Press et al., ICLR'22); empty: none.
  std::span<const Value> alibi_slopes = {};
  /// bias += table[h, clip(j - i, ±max_distance) + max_distance]; [heads, 2 max_distance + 1], or
  /// empty (T5, Raffel et al., JMLR'20, without its logarithmic buckets).
  std::span<const Value> bias_table = {};
  std::size_t max_distance = 0;
  /// [sequences, heads]: 0 skips the head for the sequence, at no cost but its zeros. Empty: all.
  std::span<const std::uint8_t> active = {};
  Value* o = nullptr;
  std::size_t o_stride = 0;
  std::span<Value> lse;
  /// At least attention_workspace(head_dim) values; the reference needs none.
  std::span<Value> workspace = {};
};
using attention_args = basic_attention_args<float>;

/// Floats of workspace that attention needs.
std::size_t attention_workspace(std::size_t head_dim);

void attention_ref(const attention_args& args);  // double accumulators, all of P
void attention_ref(const basic_attention_args<double>& args);
void attention_cpu(const attention_args& args);

inline void attention(const attention_args& args) { attention_cpu(args); }

/// Gradients from d_o: with D = rowsum(d_o ⊙ o) and dS = P ⊙ (d_o Vᵀ - D), dQ = scale dS K,
/// dK = scale dSᵀ Q, dV = Pᵀ d_o (FlashAttention-2, algorithm 2; P comes again from q, k and lse).
///
/// Writes dq (shaped as q), dk, dv (as k, v; summed over the heads that share a key head); adds to
/// bias_table_gradient (as bias_table; may be empty), Σ dS over the pairs of a distance. ALiBi's
/// slopes are constants. Rows that saw nothing get and give 0. Outputs overlap no input.
/// Bound against exact while scores are below 64: L2 error 1e-6 of the norm that the gradient would
/// have with magnitudes in every sum and P (|d_o| |V|ᵀ + Σ|d_o ⊙ o|) for dS; dS cancels (a query's
/// sum is 0), so the error relative to the gradient itself is more: 1e-5 for sequences of hundreds.
template <class Value>
struct basic_attention_backward_args {
  basic_attention_args<Value> forward;  // as forward was called: o and lse are read; no workspace
  const Value* d_o = nullptr;
  std::size_t d_o_stride = 0;
  Value* dq = nullptr;
  std::size_t dq_stride = 0;
  Value* dk = nullptr;
  std::size_t dk_stride = 0;
  Value* dv = nullptr;
  std::size_t dv_stride = 0;
  std::span<Value> bias_table_gradient = {};
  /// At least attention_backward_workspace(head_dim, longest sequence) values.
  std::span<Value> workspace = {};
};
using attention_backward_args = basic_attention_backward_args<float>;

/// Floats of workspace that attention_backward needs: some tiles, and dK and dV of one key head.
std::size_t attention_backward_workspace(std::size_t head_dim, std::size_t longest_sequence);

/// The reference computes P from q and k, and reads neither o nor lse.
void attention_backward_ref(const attention_backward_args& args);
void attention_backward_ref(const basic_attention_backward_args<double>& args);
void attention_backward_cpu(const attention_backward_args& args);

inline void attention_backward(const attention_backward_args& args) {
  attention_backward_cpu(args);
}

}  // namespace headrace::kernels
