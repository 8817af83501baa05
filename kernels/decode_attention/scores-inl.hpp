// Blocks of keys and values, and their products with queries. Included once for each target by
// decode_attention_cpu.cpp (no `#pragma once`: Highway's toggle is the guard).
#if defined(HEADRACE_KERNELS_DECODE_ATTENTION_SCORES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_KERNELS_DECODE_ATTENTION_SCORES_INL_HPP
#undef HEADRACE_KERNELS_DECODE_ATTENTION_SCORES_INL_HPP
#else
#define HEADRACE_KERNELS_DECODE_ATTENTION_SCORES_INL_HPP
#endif

#include "kernels/runtime/columns-inl.hpp"

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE::decode_parts {

/// Most keys taken at a time, a multiple of lanes_max.
constexpr std::size_t block_max = 64;

/// Keys taken at a time, so that K and V of a block fill half of a first cache of 32 KiB: several
/// heads, or several passes over wide values, find them there (measured: twice as many were
/// slower).
constexpr std::size_t block_keys(std::size_t dim) {
  const std::size_t fit = 2048 / std::max<std::size_t>(dim, 1) / lanes_max * lanes_max;
  return std::clamp(fit, lanes_max, block_max);
}

using wide_tag = hn::CappedTag<float, lanes_max>;

/// Rows of K or of V, one after the other.
struct row_block {
  const float* data;
  std::size_t rows;
  std::size_t dim;
  bool fresh;  // not read yet by another query
};

/// Asks for four rows from `row` on, line by line. The kernels read them across, which the
/// hardware's own prefetching doesn't follow where rows are wide: of 30 GB/s, 11 were left at
/// head_dim 128.
HWY_INLINE void ask_in_order(const row_block& rows, std::size_t row) {
  const std::size_t end = std::min(row + 4, rows.rows) * rows.dim;
  for (std::size_t i = row * rows.dim; i < end; i += 16) __builtin_prefetch(rows.data + i);
}

HWY_INLINE float lanes_sum(wide_tag d, hn::Vec<wide_tag> v) {
  return hn::GetLane(hn::SumOfLanes(d, v));
}

#if HWY_TARGET == HWY_SCALAR

template <class V>
HWY_INLINE void store_sums(V a, V b, V c, V e, float* to) {
  to[0] = hn::GetLane(a);
  to[1] = hn::GetLane(b);
  to[2] = hn::GetLane(c);
  to[3] = hn::GetLane(e);
}

#else

/// Sum over the blocks of four lanes.
template <class D, class V>
HWY_INLINE auto fold_to_four(D d, V v) {
  if constexpr (hn::MaxLanes(d) > 4) {
    const hn::Half<D> half;
    return fold_to_four(half, hn::Add(hn::LowerHalf(half, v), hn::UpperHalf(half, v)));
  } else {
    return v;
  }
}

/// to[0 … 3] = the sums of a, b, c and e over their lanes.
template <class V>
HWY_INLINE void store_sums(V a, V b, V c, V e, float* to) {
  const wide_tag d;
  const hn::Repartition<double, wide_tag> pairs;
  const auto ab = hn::Add(hn::InterleaveLower(d, a, b), hn::InterleaveUpper(d, a, b));
  const auto ce = hn::Add(hn::InterleaveLower(d, c, e), hn::InterleaveUpper(d, c, e));
  const auto low = hn::BitCast(pairs, ab);
  const auto high = hn::BitCast(pairs, ce);
  const auto even = hn::BitCast(d, hn::InterleaveLower(pairs, low, high));
  const auto odd = hn::BitCast(d, hn::InterleaveUpper(pairs, low, high));
  hn::StoreU(fold_to_four(d, hn::Add(even, odd)), hn::CappedTag<float, 4>(), to);
}

#endif

/// scores[0 … 3] of one query, or also scores[block_max …] of the next, with four keys: sums side
/// by side hide the latency of additions, and two queries share the loads of keys.
template <std::size_t queries>
HWY_INLINE void score_four(const float* q, const float* keys, std::size_t dim, float* scores) {
  const wide_tag d;
  auto a0 = hn::Zero(d);
  auto a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  std::size_t c = 0;
  for (; c + hn::Lanes(d) <= dim; c += hn::Lanes(d)) {
    const auto k0 = hn::LoadU(d, keys + c);
    const auto k1 = hn::LoadU(d, keys + dim + c);
    const auto k2 = hn::LoadU(d, keys + 2 * dim + c);
    const auto k3 = hn::LoadU(d, keys + 3 * dim + c);
    const auto add = [&](const float* from, auto& s0, auto& s1, auto& s2, auto& s3) HWY_ATTR {
      const auto query = hn::LoadU(d, from + c);
      s0 = hn::MulAdd(query, k0, s0);
      s1 = hn::MulAdd(query, k1, s1);
      s2 = hn::MulAdd(query, k2, s2);
      s3 = hn::MulAdd(query, k3, s3);
    };
    add(q, a0, a1, a2, a3);
    if constexpr (queries == 2) add(q + dim, b0, b1, b2, b3);
  }
  store_sums(a0, a1, a2, a3, scores);
  if constexpr (queries == 2) store_sums(b0, b1, b2, b3, scores + block_max);
  for (; c < dim; ++c) {
    for (std::size_t j = 0; j < 4; ++j) {
      for (std::size_t i = 0; i < queries; ++i)
        scores[i * block_max + j] += q[i * dim + c] * keys[j * dim + c];
    }
  }
}

HWY_INLINE float score_one(const float* q, const float* key, std::size_t dim) {
  const wide_tag d;
  auto sum = hn::Zero(d);
  std::size_t c = 0;
  for (; c + hn::Lanes(d) <= dim; c += hn::Lanes(d))
    sum = hn::MulAdd(hn::LoadU(d, q + c), hn::LoadU(d, key + c), sum);
  float score = lanes_sum(d, sum);
  for (; c < dim; ++c) score += q[c] * key[c];
  return score;
}

/// scores [queries, block_max] = q Kᵀ.
template <std::size_t queries>
HWY_INLINE void score(const float* q, const row_block& keys, float* scores) {
  std::size_t j = 0;
  for (; j + 4 <= keys.rows; j += 4) {
    if (keys.fresh) ask_in_order(keys, j);
    score_four<queries>(q, keys.data + j * keys.dim, keys.dim, scores + j);
  }
  for (; j < keys.rows; ++j) {
    const float* key = keys.data + j * keys.dim;
    for (std::size_t i = 0; i < queries; ++i)
      scores[i * block_max + j] = score_one(q + i * keys.dim, key, keys.dim);
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE::decode_parts
HWY_AFTER_NAMESPACE();

#endif
