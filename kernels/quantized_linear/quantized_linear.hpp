#pragma once

#include "kernels/quantized_linear/weight_codes.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Y = X W + bias with W as codes and scales (weight_codes.hpp), for serving: activations stay f32.
///
/// x [rows, inputs]; codes [word_count] and scales [scale_count] as pack_weights left them; bias
/// [outputs] or empty; y [rows, outputs] out, overlapping none of them. Made for 1 … 64 rows, where
/// reading the weights is what costs: a code becomes a float in a register and is never stored as
/// one. Bound against the exact product with weight = code * scale, while nothing over- or
/// underflows: (inputs + 6) * 2^-24 * (Σ|x weight| + |bias|). On one target a row gives the same
/// bits whatever rows are beside it; targets differ.
template <class Value>
struct basic_quantized_linear_args {
  std::span<const Value> x;
  quantized_shape shape;
  std::span<const std::uint32_t> codes;
  std::span<const float> scales;
  std::span<const Value> bias = {};
  std::span<Value> y;
  std::size_t rows = 0;
};
using quantized_linear_args = basic_quantized_linear_args<float>;

void quantized_linear_ref(const quantized_linear_args& args);  // double accumulators
void quantized_linear_ref(const basic_quantized_linear_args<double>& args);
void quantized_linear_cpu(const quantized_linear_args& args);

inline void quantized_linear(const quantized_linear_args& args) { quantized_linear_cpu(args); }

}  // namespace headrace::kernels
