// What forward and backward of target attention share. Included once for each target by its
// *_cpu.cpp files (no `#pragma once`: Highway's toggle is the guard).
#if defined(HEADRACE_KERNELS_TARGET_ATTENTION_PARTS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_KERNELS_TARGET_ATTENTION_PARTS_INL_HPP
#undef HEADRACE_KERNELS_TARGET_ATTENTION_PARTS_INL_HPP
#else
#define HEADRACE_KERNELS_TARGET_ATTENTION_PARTS_INL_HPP
#endif

#include "kernels/gemm/gemm.hpp"
#include "kernels/runtime/columns-inl.hpp"
#include "kernels/target_attention/blocks.hpp"
#include "kernels/target_attention/target_attention.hpp"

#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>
#include <span>

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE::target_parts {

/// The four blocks of W, rows of `hidden`.
struct weight_blocks {
  template <class Span>
  weight_blocks(Span w, std::size_t block)
      : e(w.data()), t(e + block), difference(t + block), product(difference + block) {}
  const float* e;
  const float* t;
  const float* difference;
  const float* product;
};

/// Pieces of the workspace; those of backward alone come last.
struct pieces {
  float* joint;     // [dim, hidden] W₁ + W₃
  float* target;    // [dim, hidden] W₂ - W₃
  float* sample;    // [dim, hidden] joint + diag(t) W₄, of one sample
  float* constant;  // [hidden] t target + b; backward: Σ dz
  std::span<float> gemm;
  float* sample_gradients;  // as sample, joint and target
  float* joint_gradients;
  float* target_gradients;
  float* dz;  // [longest, hidden]
  float* ds;  // [longest]
};

inline pieces cut(std::span<float> workspace, std::size_t dim, std::size_t hidden) {
  const std::size_t block = dim * hidden;
  float* at = workspace.data();
  pieces space{};
  space.joint = at;
  space.target = at += block;
  space.sample = at += block;
  space.constant = at += block;
  space.gemm = workspace.subspan(3 * block + hidden);
  return space;
}

/// What does not change from sample to sample.
inline void combine(const weight_blocks& w, std::size_t block, const pieces& space) {
  for_columns(0, block, [&w, &space](auto d, std::size_t i) HWY_ATTR {
    const auto difference = hn::LoadU(d, w.difference + i);
    hn::StoreU(hn::Add(hn::LoadU(d, w.e + i), difference), d, space.joint + i);
    hn::StoreU(hn::Sub(hn::LoadU(d, w.t + i), difference), d, space.target + i);
  });
}

/// The matrix that the sample's history is multiplied by.
inline void make_sample(const weight_blocks& w,
                        const float* t,
                        std::size_t dim,
                        std::size_t hidden,
                        const pieces& space) {
  for (std::size_t c = 0; c < dim; ++c) {
    const std::size_t row = c * hidden;
    for_columns(row, row + hidden, [&w, &space, t, c](auto d, std::size_t i) HWY_ATTR {
      const auto product = hn::LoadU(d, w.product + i);
      const auto joint = hn::LoadU(d, space.joint + i);
      hn::StoreU(hn::MulAdd(hn::Set(d, t[c]), product, joint), d, space.sample + i);
    });
  }
}

/// Σ over [0, n), where term(tag, column, lanes) adds to lanes: vectors of up to 16 floats, then of
/// 4, then single columns.
template <class Term>
HWY_INLINE float sum_columns(std::size_t n, const Term& term) {
  std::size_t column = 0;
  const auto sum = [n, &term, &column](auto d) HWY_ATTR {
    auto lanes = hn::Zero(d);
    for (; column + hn::Lanes(d) <= n; column += hn::Lanes(d)) lanes = term(d, column, lanes);
    return hn::GetLane(hn::SumOfLanes(d, lanes));
  };
  const float wide = sum(hn::CappedTag<float, lanes_max>());
  const float narrow = sum(hn::CappedTag<float, 4>());
  return (wide + narrow) + sum(hn::CappedTag<float, 1>());
}

/// A product of depth `tokens`, in chunks: the workspace of one of any depth has a bound.
inline void multiply_over_tokens(gemm_args args, std::size_t tokens) {
  for (std::size_t j = 0; j < tokens; j += token_chunk) {
    args.k = std::min(token_chunk, tokens - j);
    args.accumulate = j > 0;
    gemm(args);
    args.a += token_chunk * (args.a_transposed ? args.a_stride : 1);
    args.b += token_chunk * args.b_stride;
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE::target_parts
HWY_AFTER_NAMESPACE();

#endif
