// The activations of a layer and their slopes, in vectors. Included once for each target by
// linear_cpu.cpp (no `#pragma once`: Highway's toggle is the guard).
#if defined(HEADRACE_KERNELS_LINEAR_ACTIVATIONS_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_KERNELS_LINEAR_ACTIVATIONS_INL_HPP
#undef HEADRACE_KERNELS_LINEAR_ACTIVATIONS_INL_HPP
#else
#define HEADRACE_KERNELS_LINEAR_ACTIVATIONS_INL_HPP
#endif

#include "kernels/linear/linear.hpp"

#include <hwy/contrib/math/math-inl.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

namespace hn = hwy::HWY_NAMESPACE;

constexpr float gelu_rate = 1.5957691216F;  // 2 √(2/π)
constexpr float gelu_cubic = 0.044715F;
/// Beyond it gelu is z or 0 in floats (σ(±318) is), and z³ doesn't overflow.
constexpr float gelu_limit = 16.0F;

/// σ(z) and its slope σ (1 − σ), which would lose what is left of 1 − σ if taken from σ.
template <class V>
struct sigmoid_parts {
  V value;
  V slope;
};

template <class D>
HWY_INLINE sigmoid_parts<hn::Vec<D>> sigmoid_of(D d, hn::Vec<D> z) {
  const auto one = hn::Set(d, 1.0F);
  const auto e = hn::Exp(d, hn::Neg(hn::Abs(z)));  // never overflows
  const auto small = hn::Div(e, hn::Add(one, e));  // σ(−|z|)
  const auto large = hn::Div(one, hn::Add(one, e));
  return {hn::IfThenElse(hn::Lt(z, hn::Zero(d)), small, large), hn::Mul(small, large)};
}

template <class D>
HWY_INLINE hn::Vec<D> gelu_clamped(D d, hn::Vec<D> z) {
  return hn::Min(hn::Max(z, hn::Set(d, -gelu_limit)), hn::Set(d, gelu_limit));
}

/// σ of gelu's argument, |z| <= gelu_limit.
template <class D>
HWY_INLINE sigmoid_parts<hn::Vec<D>> gelu_gate(D d, hn::Vec<D> z) {
  const auto cubic = hn::MulAdd(hn::Mul(z, z), hn::Set(d, gelu_cubic), hn::Set(d, 1.0F));
  return sigmoid_of(d, hn::Mul(hn::Mul(z, hn::Set(d, gelu_rate)), cubic));
}

/// `value`, but NaN where z is: Highway's exponential of NaN is 0.
template <class V>
HWY_INLINE V keep_nan(V z, V value) {
  return hn::IfThenElse(hn::Eq(z, z), value, z);
}

/// φ(z); NaN stays NaN.
template <linear_activation activation, class D>
HWY_INLINE hn::Vec<D> activated(D d, hn::Vec<D> z) {
  using enum linear_activation;
  if constexpr (activation == relu) {
    return hn::IfThenElse(hn::Lt(z, hn::Zero(d)), hn::Zero(d), z);  // Max would drop NaN
  } else if constexpr (activation == sigmoid) {
    return keep_nan(z, sigmoid_of(d, z).value);
  } else if constexpr (activation == silu) {
    return hn::Mul(z, sigmoid_of(d, z).value);
  } else if constexpr (activation == gelu) {
    return hn::Mul(z, gelu_gate(d, gelu_clamped(d, z)).value);
  } else if constexpr (activation == linear_activation::tanh) {
    return keep_nan(z, hn::Tanh(d, z));
  } else {
    return z;
  }
}

/// dy φ'(z), from y = φ(z) or from z, whichever the activation keeps.
template <linear_activation activation, class D>
HWY_INLINE hn::Vec<D> sloped(D d, hn::Vec<D> kept, hn::Vec<D> dy) {
  using enum linear_activation;
  const auto one = hn::Set(d, 1.0F);
  if constexpr (activation == relu) {
    return hn::IfThenElse(hn::Le(kept, hn::Zero(d)), hn::Zero(d), dy);
  } else if constexpr (activation == sigmoid) {
    return hn::Mul(dy, hn::Mul(kept, hn::Sub(one, kept)));
  } else if constexpr (activation == silu) {
    const auto s = sigmoid_of(d, kept);
    return hn::Mul(dy, hn::MulAdd(kept, s.slope, s.value));
  } else if constexpr (activation == gelu) {
    const auto z = gelu_clamped(d, kept);
    const auto s = gelu_gate(d, z);
    const auto cubic = hn::MulAdd(hn::Mul(z, z), hn::Set(d, 3.0F * gelu_cubic), one);
    const auto rate = hn::Mul(hn::Mul(z, hn::Set(d, gelu_rate)), cubic);
    return hn::Mul(dy, hn::MulAdd(rate, s.slope, s.value));
  } else if constexpr (activation == linear_activation::tanh) {
    return hn::Mul(dy, hn::Mul(hn::Sub(one, kept), hn::Add(one, kept)));
  } else {
    return dy;
  }
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
