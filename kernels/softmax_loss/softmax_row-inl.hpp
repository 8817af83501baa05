// Passes over one row that a softmax is made of. Included once for each target by the *_cpu.cpp
// files (no `#pragma once`: Highway's toggle is the guard).
#if defined(HEADRACE_KERNELS_SOFTMAX_LOSS_SOFTMAX_ROW_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_KERNELS_SOFTMAX_LOSS_SOFTMAX_ROW_INL_HPP
#undef HEADRACE_KERNELS_SOFTMAX_LOSS_SOFTMAX_ROW_INL_HPP
#else
#define HEADRACE_KERNELS_SOFTMAX_LOSS_SOFTMAX_ROW_INL_HPP
#endif

#include "kernels/runtime/columns-inl.hpp"

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cstddef>

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// e^x for x <= 0 or −infinity. A NaN stays one: hn::Exp would make it 0 and hide it.
template <class D, class V>
HWY_INLINE V exp_nonpositive(D d, V x) {
  const V e = hn::Exp(d, hn::Max(x, hn::Set(d, -105.0F)));
  return hn::IfThenElse(hn::Eq(x, x), e, x);
}

/// Σ term(tag, i) over [0, n): a fixed order for each target.
template <class Term>
HWY_INLINE float sum_columns(std::size_t n, const Term& term) {
  std::size_t i = 0;
  float total = 0.0F;
  const hn::CappedTag<float, lanes_max> wide;
  if (hn::Lanes(wide) <= n) {
    auto sum = hn::Zero(wide);
    for (; i + hn::Lanes(wide) <= n; i += hn::Lanes(wide)) sum = hn::Add(sum, term(wide, i));
    total = hn::GetLane(hn::SumOfLanes(wide, sum));
  }
  const hn::CappedTag<float, 4> narrow;
  for (; i + hn::Lanes(narrow) <= n; i += hn::Lanes(narrow)) {
    total += hn::GetLane(hn::SumOfLanes(narrow, term(narrow, i)));
  }
  const hn::CappedTag<float, 1> single;
  for (; i < n; ++i) total += hn::GetLane(term(single, i));
  return total;
}

/// The largest of n >= 1 values. Where one is NaN, some value or NaN: the exponentials will show
/// it.
HWY_INLINE float row_max(const float* values, std::size_t n) {
  std::size_t i = 0;
  float largest = values[0];
  const hn::CappedTag<float, lanes_max> wide;
  if (hn::Lanes(wide) <= n) {
    auto top = hn::LoadU(wide, values);
    for (; i + hn::Lanes(wide) <= n; i += hn::Lanes(wide)) {
      top = hn::Max(top, hn::LoadU(wide, values + i));
    }
    largest = hn::GetLane(hn::MaxOfLanes(wide, top));
  }
  for (; i < n; ++i) largest = std::max(largest, values[i]);
  return largest;
}

/// out = e^(in − shift), shift >= every value; returns Σ out. `out` may be `in`.
HWY_INLINE float exp_row(const float* in, std::size_t n, float shift, float* out) {
  return sum_columns(n, [in, shift, out](auto d, std::size_t i) HWY_ATTR {
    const auto e = exp_nonpositive(d, hn::Sub(hn::LoadU(d, in + i), hn::Set(d, shift)));
    hn::StoreU(e, d, out + i);
    return e;
  });
}

/// Σ e^(in − shift), shift >= every value.
HWY_INLINE float exp_sum(const float* in, std::size_t n, float shift) {
  return sum_columns(n, [in, shift](auto d, std::size_t i) HWY_ATTR {
    return exp_nonpositive(d, hn::Sub(hn::LoadU(d, in + i), hn::Set(d, shift)));
  });
}

HWY_INLINE void scale_row(float* row, std::size_t n, float factor) {
  for_columns(0, n, [row, factor](auto d, std::size_t i) HWY_ATTR {
    hn::StoreU(hn::Mul(hn::LoadU(d, row + i), hn::Set(d, factor)), d, row + i);
  });
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
