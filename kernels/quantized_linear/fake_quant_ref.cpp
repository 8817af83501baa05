#include "base/check.hpp"
#include "kernels/quantized_linear/code_rule.hpp"
#include "kernels/quantized_linear/fake_quant.hpp"

#include <cmath>

namespace headrace::kernels {
namespace {

/// The scale of the weight at `at` of [inputs, outputs].
float scale_of(const quantized_shape& shape, std::span<const float> scales, std::size_t at) {
  const std::size_t group = at / shape.outputs / inputs_per_scale(shape);
  return scales[group * shape.outputs + at % shape.outputs];
}

}  // namespace

void fake_quant_ref(const fake_quant_args& args) {
  CHECK(args.quantized.size() == args.weights.size());
  const float largest = static_cast<float>(largest_code(args.shape.bits));
  for (std::size_t i = 0; i < args.weights.size(); ++i) {
    const float scale = scale_of(args.shape, args.scales, i);
    args.quantized[i] = weight_code(args.weights[i], inverse_scale(scale), largest) * scale;
  }
}

void fake_quant_backward_ref(const fake_quant_backward_args& args) {
  CHECK(args.weight_gradients.size() == args.weights.size());
  const float limit = static_cast<float>(largest_code(args.shape.bits)) + 0.5F;
  for (std::size_t i = 0; i < args.weights.size(); ++i) {
    const float scale = scale_of(args.shape, args.scales, i);
    const bool cut = std::abs(args.weights[i] * inverse_scale(scale)) >= limit;
    if (scale != 0.0F && !cut) args.weight_gradients[i] += args.quantized_gradients[i];
  }
}

}  // namespace headrace::kernels
