#include "base/check.hpp"
#include "kernels/quantized_linear/code_rule.hpp"
#include "kernels/quantized_linear/fake_quant.hpp"

// foreach_target compiles what follows once for each target: it comes before what each target
// needs.
// clang-format off
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/quantized_linear/fake_quant_cpu.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/runtime/columns-inl.hpp"
// clang-format on

HWY_BEFORE_NAMESPACE();
namespace headrace::kernels::HWY_NAMESPACE {

/// 1 / scale, 0 where the scale is 0.
template <class D, class V>
HWY_INLINE V inverse(D d, V scale) {
  const auto zero = hn::Zero(d);
  return hn::IfThenZeroElse(hn::Eq(scale, zero), hn::Div(hn::Set(d, 1.0F), scale));
}

/// Calls row(scales of the row, where the row begins) for each input.
template <class Row>
HWY_INLINE void for_rows(const quantized_shape& shape, const float* scales, const Row& row) {
  for (std::size_t i = 0; i < shape.inputs; ++i) {
    row(scales + i / inputs_per_scale(shape) * shape.outputs, i * shape.outputs);
  }
}

void fake_quant_target(const fake_quant_args& args) {
  const float largest = static_cast<float>(largest_code(args.shape.bits));
  for_rows(args.shape, args.scales.data(), [&](const float* scales, std::size_t at) HWY_ATTR {
    const float* weights = args.weights.data() + at;
    float* quantized = args.quantized.data() + at;
    for_columns(0, args.shape.outputs, [=](auto d, std::size_t o) HWY_ATTR {
      const auto scale = hn::LoadU(d, scales + o);
      const auto value = hn::Mul(hn::LoadU(d, weights + o), inverse(d, scale));
      const auto cut = hn::Min(hn::Max(value, hn::Set(d, -largest)), hn::Set(d, largest));
      const auto shift = hn::Set(d, rounding_shift);
      const auto code = hn::Sub(hn::Add(cut, shift), shift);
      hn::StoreU(hn::Mul(code, scale), d, quantized + o);
    });
  });
}

void fake_quant_backward_target(const fake_quant_backward_args& args) {
  const float limit = static_cast<float>(largest_code(args.shape.bits)) + 0.5F;
  for_rows(args.shape, args.scales.data(), [&](const float* scales, std::size_t at) HWY_ATTR {
    const float* weights = args.weights.data() + at;
    const float* from = args.quantized_gradients.data() + at;
    float* to = args.weight_gradients.data() + at;
    for_columns(0, args.shape.outputs, [=](auto d, std::size_t o) HWY_ATTR {
      const auto scale = hn::LoadU(d, scales + o);
      const auto value = hn::Mul(hn::LoadU(d, weights + o), inverse(d, scale));
      const auto before = hn::LoadU(d, to + o);
      const auto passes =
          hn::And(hn::Lt(hn::Abs(value), hn::Set(d, limit)), hn::Gt(scale, hn::Zero(d)));
      const auto after = hn::Add(before, hn::LoadU(d, from + o));
      hn::StoreU(hn::IfThenElse(passes, after, before), d, to + o);
    });
  });
}

}  // namespace headrace::kernels::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace headrace::kernels {

HWY_EXPORT(fake_quant_target);
HWY_EXPORT(fake_quant_backward_target);

void fake_quant_cpu(const fake_quant_args& args) {
  CHECK(args.weights.size() == args.shape.inputs * args.shape.outputs);
  CHECK(args.scales.size() == scale_count(args.shape));
  CHECK(args.quantized.size() == args.weights.size());
  HWY_DYNAMIC_DISPATCH(fake_quant_target)(args);
}

void fake_quant_backward_cpu(const fake_quant_backward_args& args) {
  CHECK(args.weights.size() == args.shape.inputs * args.shape.outputs);
  CHECK(args.scales.size() == scale_count(args.shape));
  CHECK(args.quantized_gradients.size() == args.weights.size());
  CHECK(args.weight_gradients.size() == args.weights.size());
  HWY_DYNAMIC_DISPATCH(fake_quant_backward_target)(args);
}

}  // namespace headrace::kernels
#endif  // HWY_ONCE
