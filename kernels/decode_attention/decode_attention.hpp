#pragma once

#include "kernels/decode_attention/kv_cache.hpp"

#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

namespace headrace::kernels {

/// Attention of one query per sequence and head over a cache of keys and values, forward only:
/// p = softmax(scale q Kᵀ), o = p V over the live slots.
///
/// q, o [sequences, heads, head_dim]; heads a multiple of cache.kv_heads, and head h reads key head
/// h / (heads / kv_heads). keys, values: as kv_cache_shape says. lengths [sequences]: tokens seen
/// so far, the query's own included; its key and value have been put already. Only the slots
/// [slots_begin, slots_end) are read, of those in use: several calls may share a long cache, and
/// merge_attention joins what they found. Out: o, and lse [sequences, heads] = ln Σ e^score. Where
/// no slot is read, o = 0 and lse = -infinity. Outputs overlap no input.
///
/// Equals the last row of causal attention with a window of `window` and the first `pinned` tokens
/// seen by all. Keys are taken in blocks with an online softmax (Milakov, arXiv 1805.02867), each
/// block read once for up to 16 heads that share it. No position bias. Scores lie in ±1e30. On one
/// target the same call gives the same bits; targets differ. Bounds against exact for n slots, with
/// δ = (head_dim + 8) * 2^-24 * max_j scale Σ|q k_j|: |o error| <= (2.1 δ + (n + 40) * 2^-24) *
/// Σ p |v| while δ < 0.04, |lse error| <= 2.1 δ + (n + 40) * 2^-24 + |lse| 2^-23.
template <class Value>
struct basic_decode_attention_args {
  kv_cache_shape cache;
  std::span<const Value> q;
  std::span<const Value> keys;
  std::span<const Value> values;
  std::span<const std::uint32_t> lengths;
  std::size_t heads = 0;
  Value scale = 1;
  std::size_t slots_begin = 0;
  std::size_t slots_end = std::numeric_limits<std::size_t>::max();
  std::span<Value> o;
  std::span<Value> lse;
};
using decode_attention_args = basic_decode_attention_args<float>;

void decode_attention_ref(const decode_attention_args& args);  // double accumulators
void decode_attention_ref(const basic_decode_attention_args<double>& args);
void decode_attention_cpu(const decode_attention_args& args);

inline void decode_attention(const decode_attention_args& args) { decode_attention_cpu(args); }

/// Joins attention over two disjoint sets of keys: with L the logarithms,
/// lse = ln(e^L₁ + e^L₂), o = (e^L₁ o₁ + e^L₂ o₂) / (e^L₁ + e^L₂). Exact but for rounding.
///
/// o and other_o [rows, dim], lse and other_lse [rows]; o and lse are read and written. A side of
/// lse -infinity counts for nothing; where both are, o = 0. The sides don't overlap. Bounds: with
/// ε = 2^-24 (8 + |L₁ - L₂|), |o error| <= ε (|o₁| + |o₂|), |lse error| <= ε + 2^-23 |lse|.
template <class Value>
struct basic_merge_attention_args {
  std::span<Value> o;
  std::span<Value> lse;
  std::span<const Value> other_o;
  std::span<const Value> other_lse;
  std::size_t dim = 0;
};
using merge_attention_args = basic_merge_attention_args<float>;

void merge_attention_ref(const merge_attention_args& args);
void merge_attention_ref(const basic_merge_attention_args<double>& args);
void merge_attention_cpu(const merge_attention_args& args);

inline void merge_attention(const merge_attention_args& args) { merge_attention_cpu(args); }

}  // namespace headrace::kernels
