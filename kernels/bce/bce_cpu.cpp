#include "base/check.hpp"
#include "kernels/bce/bce.hpp"

#include <algorithm>
#include <array>

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/bce/bce_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <hwy/contrib/math/math-inl.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

constexpr std::size_t block = 256;

/// 1 / (1 + e^-z), e = e^-|z|.
template <class D, class V>
HWY_INLINE V sigmoid(D d, V z, V e) {
  const auto one = hn::Set(d, 1.0F);
  return hn::Div(hn::IfThenElse(hn::Ge(z, hn::Zero(d)), one, e), hn::Add(one, e));
}

/// p, p − y and the loss of each of the samples [begin, end).
void forward_backward(const bce_args& args, std::size_t begin, std::size_t end, float* losses) {
  for_columns(begin, end, [&args, begin, losses](auto d, std::size_t i) HWY_ATTR {
    auto z = hn::LoadU(d, args.logits.data() + i);
    auto e = hn::Exp(d, hn::Neg(hn::Abs(z)));
    auto p = sigmoid(d, z, e);
    hn::StoreU(p, d, args.probabilities.data() + i);
    if (args.logit_offset != 0.0F) {
      z = hn::Add(z, hn::Set(d, args.logit_offset));
      e = hn::Exp(d, hn::Neg(hn::Abs(z)));
      p = sigmoid(d, z, e);
    }
    const auto y = hn::LoadU(d, args.labels.data() + i);
    hn::StoreU(hn::Sub(p, y), d, args.logit_gradients.data() + i);
    const auto linear = hn::Sub(hn::Max(z, hn::Zero(d)), hn::Mul(z, y));
    hn::StoreU(hn::Add(linear, hn::Log1p(d, e)), d, losses + (i - begin));
  });
}

double bce_target(const bce_args& args) {
  std::array<float, block> losses;
  double loss = 0.0;
  for (std::size_t begin = 0; begin < args.logits.size(); begin += block) {
    const std::size_t n = std::min(block, args.logits.size() - begin);
    forward_backward(args, begin, begin + n, losses.data());
    for (std::size_t i = 0; i < n; ++i) loss += static_cast<double>(losses[i]);
  }
  return loss;
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(bce_target);

double bce_cpu(const bce_args& args) {
  CHECK(args.labels.size() == args.logits.size());
  CHECK(args.probabilities.size() == args.logits.size());
  CHECK(args.logit_gradients.size() == args.logits.size());
  return HWY_DYNAMIC_DISPATCH(bce_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
