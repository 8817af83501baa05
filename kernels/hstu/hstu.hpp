#pragma once

#include "kernels/attention/mask.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Pointwise attention over ragged sequences, as in HSTU (Zhai et al., arXiv 2402.17152, eq. 2): no
/// softmax, so a weight says how much and not only which. S = scale Q Kᵀ + bias,
/// A = SiLU(S) ⊙ mask / n, O = A V, a head and a sequence at a time; SiLU(x) = x / (1 + e^-x).
///
/// q, k [tokens, heads, head_dim]; v, o [tokens, heads, value_dim]. A stride is the floats from one
/// token to the next: all may lie in one buffer, as the projection leaves them. Sequence s is the
/// tokens [offsets[s], offsets[s + 1]). n = `normaliser`, the same for all sequences (the paper's
/// longest length), or 0 for the length of each. bias = table[h, clip(j - i, ±max_distance) +
/// max_distance], bias_table [heads, 2 max_distance + 1] or empty (the paper's rab^p; no bias by
/// time). Causal unless `mask` says otherwise. o overlaps no input; a query that sees nothing gets
/// 0. Masked keys don't matter, unless they are infinite or NaN.
///
/// The CPU version holds a tile of A at a time and skips keys that no query of a panel sees. On one
/// target the same call gives the same bits; targets differ. Bound for floats against exact, while
/// nothing over- or underflows: (2.2 head_dim + 2 length + 40) * 2^-24 times the o computed from
/// absolute values of all inputs.
template <class Value>
struct basic_hstu_args {
  const Value* q = nullptr;
  std::size_t q_stride = 0;
  const Value* k = nullptr;
  std::size_t k_stride = 0;
  const Value* v = nullptr;
  std::size_t v_stride = 0;
  std::span<const std::uint32_t> offsets;  // [sequences + 1], ascending from 0
  std::size_t heads = 0;
  std::size_t head_dim = 0;   // any; fastest for multiples of 8
  std::size_t value_dim = 0;  // likewise
  Value scale = 1;
  Value normaliser = 0;
  attention_mask mask = {.causal = true};
  std::span<const Value> bias_table = {};
  std::size_t max_distance = 0;
  Value* o = nullptr;
  std::size_t o_stride = 0;
  /// At least hstu_workspace(head_dim, value_dim) values; the reference needs none.
  std::span<Value> workspace = {};
};
using hstu_args = basic_hstu_args<float>;

/// Floats of workspace that hstu needs.
std::size_t hstu_workspace(std::size_t head_dim, std::size_t value_dim);

void hstu_ref(const hstu_args& args);  // double accumulators
void hstu_ref(const basic_hstu_args<double>& args);
void hstu_cpu(const hstu_args& args);

inline void hstu(const hstu_args& args) { hstu_cpu(args); }

/// Gradients from d_o: dA = d_o Vᵀ ⊙ mask / n, dS = dA ⊙ SiLU'(S), dQ = scale dS K,
/// dK = scale dSᵀ Q, dV = Aᵀ d_o; S comes again from q and k, nothing is saved.
///
/// `forward` as it was called; its o and workspace are not used. Writes dq, dk (shaped as q, k) and
/// dv (as v); adds to bias_table_gradient (as bias_table; may be empty) Σ dS over the pairs of a
/// distance. Outputs overlap no input. Bits as forward. Bound: with m the largest of scale Σ|q k| +
/// |bias| (at least 1) and `steps` the additions on the way, ((head_dim + 8) m + 2.2 value_dim + 2
/// steps + 60) * 2^-24 times the gradient computed from absolute values of all inputs; steps = the
/// length for dq, dk and dv; for the table, which adds tiles of 64 by 64, 64 + 192 a tile.
template <class Value>
struct basic_hstu_backward_args {
  basic_hstu_args<Value> forward;
  const Value* d_o = nullptr;
  std::size_t d_o_stride = 0;
  Value* dq = nullptr;
  std::size_t dq_stride = 0;
  Value* dk = nullptr;
  std::size_t dk_stride = 0;
  Value* dv = nullptr;
  std::size_t dv_stride = 0;
  std::span<Value> bias_table_gradient = {};
  /// At least hstu_backward_workspace(head_dim, value_dim, longest sequence) values.
  std::span<Value> workspace = {};
};
using hstu_backward_args = basic_hstu_backward_args<float>;

/// Floats of workspace that hstu_backward needs: some tiles, and dK and dV of one head.
std::size_t hstu_backward_workspace(std::size_t head_dim,
                                    std::size_t value_dim,
                                    std::size_t longest_sequence);

void hstu_backward_ref(const hstu_backward_args& args);
void hstu_backward_ref(const basic_hstu_backward_args<double>& args);
void hstu_backward_cpu(const hstu_backward_args& args);

inline void hstu_backward(const hstu_backward_args& args) { hstu_backward_cpu(args); }

}  // namespace headrace::kernels
