// The steps of the rules on vectors of columns, see sparse_update.hpp. Included once for each
// target by sparse_update_cpu.cpp (no `#pragma once`: Highway's toggle is the guard).
#if defined(HEADRACE_KERNELS_SPARSE_UPDATE_RULES_INL_HPP) == defined(HWY_TARGET_TOGGLE)
#ifdef HEADRACE_KERNELS_SPARSE_UPDATE_RULES_INL_HPP
#undef HEADRACE_KERNELS_SPARSE_UPDATE_RULES_INL_HPP
#else
#define HEADRACE_KERNELS_SPARSE_UPDATE_RULES_INL_HPP
#endif

#include "kernels/runtime/columns-inl.hpp"
#include "kernels/sparse_update/step_factors.hpp"

#include <hwy/highway.h>

#include <array>
#include <cstddef>
#include <limits>

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

template <class D, class V = hn::Vec<D>>
HWY_INLINE V limited(D d, V x, float bound) {
  return hn::Min(hn::Max(x, hn::Set(d, -bound)), hn::Set(d, bound));
}

/// How gradients are shaped; a copy, so that stores to rows cannot be thought to change it.
struct gradient_shape {
  float clip;
  float l2;
};

/// Finite, clipped, with weight decay.
template <class D, class V = hn::Vec<D>>
HWY_INLINE V shaped(D d, V g, V w, gradient_shape shape) {
  const auto finite = hn::Le(hn::Abs(g), hn::Set(d, std::numeric_limits<float>::max()));
  g = hn::IfThenElseZero(finite, g);
  if (shape.clip > 0.0F) g = limited(d, g, shape.clip);
  if (shape.l2 != 0.0F) g = hn::Add(g, hn::Mul(hn::Set(d, shape.l2), w));
  return limited(d, g, weight_max);
}

/// What a rule knows of the columns of a row that share a rate. Rules read what is theirs.
struct column_factors {
  float rate;            // adam: r; rowwise: f; ftrl: i; the others the rate itself
  float epsilon = 0.0F;  // adam: e
  float decay = 0.0F;    // adamw: rate * weight_decay
};

/// Numbers of the rule that hold for every row.
struct rule_constants {
  explicit rule_constants(const sparse_update_args& args)
      : momentum(args.momentum),
        beta1(args.beta1),
        beta2(args.beta2),
        ftrl_l1(args.ftrl_l1),
        ftrl_l2(args.ftrl_l2),
        ftrl_beta(args.ftrl_beta) {}
  float momentum;
  float beta1;
  float beta2;
  float ftrl_l1;
  float ftrl_l2;
  float ftrl_beta;
};

template <class D, class V = hn::Vec<D>>
HWY_INLINE V adagrad_step(D d, V w, V g, float* a, column_factors factors) {
  const auto sum = hn::Min(hn::Add(hn::LoadU(d, a), hn::Mul(g, g)), hn::Set(d, weight_max));
  hn::StoreU(sum, d, a);
  const auto spread = hn::Add(hn::Sqrt(sum), hn::Set(d, adagrad_epsilon));
  return hn::Sub(w, hn::Div(hn::Mul(hn::Set(d, factors.rate), g), spread));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V
momentum_step(D d, V w, V g, float* m, column_factors factors, const rule_constants& rule) {
  const auto kept = hn::Mul(hn::Set(d, rule.momentum), hn::LoadU(d, m));
  const auto moved = limited(d, hn::Add(kept, g), weight_max);
  hn::StoreU(moved, d, m);
  return hn::Sub(w, hn::Mul(hn::Set(d, factors.rate), moved));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V
adam_step(D d, V w, V g, float* m, float* v, column_factors factors, const rule_constants& rule) {
  const auto first = limited(d,
                             hn::Add(hn::Mul(hn::Set(d, rule.beta1), hn::LoadU(d, m)),
                                     hn::Mul(hn::Set(d, 1.0F - rule.beta1), g)),
                             weight_max);
  const auto second = hn::Min(hn::Add(hn::Mul(hn::Set(d, rule.beta2), hn::LoadU(d, v)),
                                      hn::Mul(hn::Set(d, 1.0F - rule.beta2), hn::Mul(g, g))),
                              hn::Set(d, weight_max));
  hn::StoreU(first, d, m);
  hn::StoreU(second, d, v);
  const auto spread = hn::Add(hn::Sqrt(second), hn::Set(d, factors.epsilon));
  return hn::Sub(w, hn::Div(hn::Mul(hn::Set(d, factors.rate), first), spread));
}

template <class D, class V = hn::Vec<D>>
HWY_INLINE V
ftrl_step(D d, V w, V g, float* z, float* n, column_factors factors, const rule_constants& rule) {
  const auto inverse = hn::Set(d, factors.rate);
  const auto before = hn::LoadU(d, n);
  const auto sum = hn::Min(hn::Add(before, hn::Mul(g, g)), hn::Set(d, weight_max));
  hn::StoreU(sum, d, n);
  const auto root = hn::Sqrt(sum);
  const auto sigma =
      hn::Min(hn::Mul(hn::Sub(root, hn::Sqrt(before)), inverse), hn::Set(d, weight_max));
  const auto moved =
      limited(d, hn::Sub(hn::Add(hn::LoadU(d, z), g), hn::Mul(sigma, w)), weight_max);
  hn::StoreU(moved, d, z);
  const auto spread = hn::Add(hn::Mul(hn::Add(hn::Set(d, rule.ftrl_beta), root), inverse),
                              hn::Set(d, rule.ftrl_l2));
  const auto l1 = hn::Set(d, rule.ftrl_l1);
  const auto weight = hn::Div(hn::Sub(hn::CopySign(l1, moved), moved),
                              hn::Max(spread, hn::Set(d, std::numeric_limits<float>::min())));
  return hn::IfThenElseZero(hn::Gt(hn::Abs(moved), l1), weight);
}

/// The weights after `Rule`, not limited yet; `state` is the row's, of `dim` columns. Mul, then
/// Add: never MulAdd, which is fused on some targets only.
template <update_rule Rule, class D, class V = hn::Vec<D>>
HWY_INLINE V stepped(D d,
                     V w,
                     V g,
                     float* state,
                     std::size_t dim,
                     std::size_t c,
                     column_factors factors,
                     const rule_constants& rule) {
  if constexpr (Rule == update_rule::add) {
    return hn::Add(w, g);
  } else if constexpr (Rule == update_rule::sgd || Rule == update_rule::rowwise_adagrad) {
    return hn::Sub(w, hn::Mul(hn::Set(d, factors.rate), g));
  } else if constexpr (Rule == update_rule::adagrad) {
    return adagrad_step(d, w, g, state + c, factors);
  } else if constexpr (Rule == update_rule::momentum) {
    return momentum_step(d, w, g, state + c, factors, rule);
  } else if constexpr (Rule == update_rule::adam) {
    return adam_step(d, w, g, state + c, state + dim + c, factors, rule);
  } else if constexpr (Rule == update_rule::adamw) {
    const auto kept = hn::Sub(w, hn::Mul(hn::Set(d, factors.decay), w));
    return adam_step(d, limited(d, kept, weight_max), g, state + c, state + dim + c, factors, rule);
  } else {
    return ftrl_step(d, w, g, state + c, state + dim + c, factors, rule);
  }
}

#if HWY_TARGET != HWY_SCALAR  // which has no lanes to add
/// lanes_summed of the 16 lanes in s0 (4 of them in each of s0 … s3, or 8 in s0 and s1, on narrower
/// targets).
template <class D, class V = hn::Vec<D>>
HWY_INLINE float lanes_added(D, V s0, V s1, V s2, V s3) {
  constexpr std::size_t step = hn::MaxLanes(D());
  const hn::CappedTag<float, 4> d4;
  auto four = hn::Zero(d4);
  if constexpr (step == 16) {
    const hn::Half<D> d8;
    const auto eight = hn::Add(hn::LowerHalf(d8, s0), hn::UpperHalf(d8, s0));
    four = hn::Add(hn::LowerHalf(d4, eight), hn::UpperHalf(d4, eight));
  } else if constexpr (step == 8) {
    const auto eight = hn::Add(s0, s1);
    four = hn::Add(hn::LowerHalf(d4, eight), hn::UpperHalf(d4, eight));
  } else {
    four = hn::Add(hn::Add(s0, s2), hn::Add(s1, s3));
  }
  const auto two = hn::Add(four, hn::Shuffle1032(four));
  return hn::GetLane(hn::Add(two, hn::Shuffle2301(two)));
}
#endif

/// Sum of squares of the shaped gradients of a row, in 16 lanes on every target.
template <class Gradients>
HWY_INLINE float squares_of_row(const float* weights,
                                const Gradients& gradients,
                                std::size_t dim,
                                gradient_shape shape) {
  constexpr std::size_t lanes = 16;
  const auto square = [&](auto tag, std::size_t c) HWY_ATTR {
    const auto g = shaped(tag, gradients.load(tag, c), hn::LoadU(tag, weights + c), shape);
    return hn::Mul(g, g);
  };
  std::array<float, lanes> sums{};
  std::size_t whole = 0;  // columns in whole groups of 16, in registers where vectors are
#if HWY_TARGET != HWY_SCALAR
  {
    const hn::CappedTag<float, lanes> d;
    constexpr std::size_t step = hn::MaxLanes(hn::CappedTag<float, lanes>());
    static_assert(step == 4 || step == 8 || step == 16);
    auto s0 = hn::Zero(d), s1 = s0, s2 = s0, s3 = s0;  // of which 16 lanes are used
    for (; whole + lanes <= dim; whole += lanes) {
      s0 = hn::Add(s0, square(d, whole));
      if constexpr (step <= 8) s1 = hn::Add(s1, square(d, whole + step));
      if constexpr (step == 4) {
        s2 = hn::Add(s2, square(d, whole + 2 * step));
        s3 = hn::Add(s3, square(d, whole + 3 * step));
      }
    }
    if (whole == dim) return lanes_added(d, s0, s1, s2, s3);
    hn::StoreU(s0, d, sums.data());
    if constexpr (step <= 8) hn::StoreU(s1, d, sums.data() + step);
    if constexpr (step == 4) {
      hn::StoreU(s2, d, sums.data() + 2 * step);
      hn::StoreU(s3, d, sums.data() + 3 * step);
    }
  }
#endif
  for_columns(whole, dim, [&](auto tag, std::size_t c) HWY_ATTR {
    float* sum = sums.data() + c % lanes;
    hn::StoreU(hn::Add(hn::LoadU(tag, sum), square(tag, c)), tag, sum);
  });
  return lanes_summed(sums);
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif
