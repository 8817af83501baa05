#pragma once

#include "kernels/quantized_linear/weight_codes.hpp"

#include <cstddef>
#include <span>

namespace headrace::kernels {

/// Quantization-aware training: weights as serving will see them, code * scale, the code by the
/// rule of pack_weights; so what is trained with is bit for bit what is served.
///
/// weights [inputs, outputs]; scales [scale_count], given (find_scales); quantized [inputs,
/// outputs] out, may be weights themselves. Weights are finite, below 2^100 in magnitude; a scale
/// is 0 or at least 2^-126. All versions and targets agree bit for bit.
struct fake_quant_args {
  std::span<const float> weights;
  quantized_shape shape;
  std::span<const float> scales;
  std::span<float> quantized;
};
void fake_quant_ref(const fake_quant_args& args);
void fake_quant_cpu(const fake_quant_args& args);

inline void fake_quant(const fake_quant_args& args) { fake_quant_cpu(args); }

/// Straight-through (Bengio et al. 2013, arXiv 1308.3432): rounding has derivative 1, cutting its
/// own, so dW += dquantized where the code was not cut, |w / scale| < largest code + 1/2; nothing
/// else is touched. A scale of 0 cuts everything. Scales get no gradient.
///
/// quantized_gradients and weight_gradients [inputs, outputs]. Agrees bit for bit everywhere.
struct fake_quant_backward_args {
  std::span<const float> weights;
  quantized_shape shape;
  std::span<const float> scales;
  std::span<const float> quantized_gradients;
  std::span<float> weight_gradients;
};
void fake_quant_backward_ref(const fake_quant_backward_args& args);
void fake_quant_backward_cpu(const fake_quant_backward_args& args);

inline void fake_quant_backward(const fake_quant_backward_args& args) {
  fake_quant_backward_cpu(args);
}

}  // namespace headrace::kernels
