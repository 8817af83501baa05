#include "base/check.hpp"
#include "kernels/esmm_loss/esmm_loss.hpp"

#include <algorithm>
#include <array>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/esmm_loss/esmm_loss_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

constexpr std::size_t block = 256;

/// e^-|z|.
template <class D, class V>
HWY_INLINE V exp_minus_size(D d, V z) {
  return hn::Exp(d, hn::Neg(hn::Abs(z)));
}

/// σ(z) of z and e = e^-|z|.
template <class D, class V>
HWY_INLINE V sigmoid(D d, V z, V e) {
  const auto one = hn::Set(d, 1.0F);
  return hn::Div(hn::IfThenElse(hn::Ge(z, hn::Zero(d)), one, e), hn::Add(one, e));
}

/// max(z, 0) − z y + ln(1 + e), e = e^-|z|.
template <class D, class V>
HWY_INLINE V cross_entropy(D d, V z, V y, V e) {
  return hn::Add(hn::Sub(hn::Max(z, hn::Zero(d)), hn::Mul(z, y)), hn::Log1p(d, e));
}

/// What σ(a) σ(b) is made of: with c the largest of −a, −b, −a−b negated, a_term = e^(c−a), b_term
/// = e^(c−b) and both_term = e^(c−a−b), of which one is 1; `rest` is the sum of the other two.
template <class V>
struct joint_terms {
  V c;
  V a_term;
  V b_term;
  V both_term;
  V rest;
};

/// ea = e^-|a|, eb = e^-|b|.
template <class D, class V>
HWY_INLINE joint_terms<V> join(D d, V a, V b, V ea, V eb) {
  const auto one = hn::Set(d, 1.0F);
  const auto apart = exp_minus_size(d, hn::Sub(a, b));
  const auto a_is_less = hn::Lt(a, b);
  const auto some_positive = hn::Ge(hn::Max(a, b), hn::Zero(d));
  // Both negative: c = a + b, and e^(c−a) = e^b. Else c = min(a, b), and the larger's exponential
  // is what is left of both.
  const auto a_near = hn::IfThenElse(a_is_less, one, apart);
  const auto b_near = hn::IfThenElse(a_is_less, apart, one);
  const auto larger = hn::IfThenElse(a_is_less, eb, ea);
  return {hn::IfThenElse(some_positive, hn::Min(a, b), hn::Add(a, b)),
          hn::IfThenElse(some_positive, a_near, eb),
          hn::IfThenElse(some_positive, b_near, ea),
          hn::IfThenElse(some_positive, larger, one),
          hn::IfThenElse(some_positive, hn::Add(apart, larger), hn::Add(ea, eb))};
}

/// Everything of the samples [begin, end); their losses from 0 on in click and conversion.
void forward_backward(const esmm_loss_args& args,
                      std::size_t begin,
                      std::size_t end,
                      float* click_losses,
                      float* conversion_losses) {
  for_columns(
      begin, end, [&args, begin, click_losses, conversion_losses](auto d, std::size_t i) HWY_ATTR {
        const auto a = hn::LoadU(d, args.ctr_logits.data() + i);
        const auto b = hn::LoadU(d, args.cvr_logits.data() + i);
        const auto click = hn::LoadU(d, args.clicks.data() + i);
        const auto conversion = hn::LoadU(d, args.conversions.data() + i);
        const auto ea = exp_minus_size(d, a);
        const auto eb = exp_minus_size(d, b);
        const auto p_ctr = sigmoid(d, a, ea);
        const auto p_cvr = sigmoid(d, b, eb);
        const auto p_ctcvr = hn::Mul(p_ctr, p_cvr);
        hn::StoreU(p_ctr, d, args.p_ctr.data() + i);
        hn::StoreU(p_cvr, d, args.p_cvr.data() + i);
        hn::StoreU(p_ctcvr, d, args.p_ctcvr.data() + i);

        const auto terms = join(d, a, b, ea, eb);
        const auto zeta = hn::Sub(terms.c, hn::Log1p(d, terms.rest));
        hn::StoreU(cross_entropy(d, a, click, ea), d, click_losses + (i - begin));
        hn::StoreU(cross_entropy(d, zeta, conversion, exp_minus_size(d, zeta)),
                   d,
                   conversion_losses + (i - begin));

        const auto off =
            hn::Div(hn::Mul(hn::Set(d, args.conversion_weight), hn::Sub(p_ctcvr, conversion)),
                    hn::Add(hn::Set(d, 1.0F), terms.rest));
        const auto click_part = hn::Mul(hn::Set(d, args.click_weight), hn::Sub(p_ctr, click));
        const auto a_share = hn::Add(terms.a_term, terms.both_term);
        const auto b_share = hn::Add(terms.b_term, terms.both_term);
        hn::StoreU(hn::MulAdd(off, a_share, click_part), d, args.ctr_gradients.data() + i);
        hn::StoreU(hn::Mul(off, b_share), d, args.cvr_gradients.data() + i);
      });
}

esmm_losses esmm_loss_target(const esmm_loss_args& args) {
  std::array<float, block> click;
  std::array<float, block> conversion;
  esmm_losses sums;
  for (std::size_t begin = 0; begin < args.ctr_logits.size(); begin += block) {
    const std::size_t n = std::min(block, args.ctr_logits.size() - begin);
    forward_backward(args, begin, begin + n, click.data(), conversion.data());
    for (std::size_t i = 0; i < n; ++i) {
      sums.click += static_cast<double>(click[i]);
      sums.conversion += static_cast<double>(conversion[i]);
    }
  }
  return sums;
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(esmm_loss_target);

esmm_losses esmm_loss_cpu(const esmm_loss_args& args) {
  const std::size_t n = args.ctr_logits.size();
  CHECK(args.cvr_logits.size() == n);
  CHECK(args.clicks.size() == n);
  CHECK(args.conversions.size() == n);
  CHECK(args.p_ctr.size() == n);
  CHECK(args.p_cvr.size() == n);
  CHECK(args.p_ctcvr.size() == n);
  CHECK(args.ctr_gradients.size() == n);
  CHECK(args.cvr_gradients.size() == n);
  return HWY_DYNAMIC_DISPATCH(esmm_loss_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
