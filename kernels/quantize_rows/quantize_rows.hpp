#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Quantizes each row to int8 with one fp16 scale: symmetric, round to nearest even.
///
/// values [rows, dim] f32 in; codes [rows, dim] i8 and scales [rows] fp16 bits out; row-major, dim
/// >= 1. scale = the smallest finite fp16 with 127 * scale >= max|row|, so nothing is clipped; code
/// = round(value * (1 / scale)), both operations rounded to float, in [-127, 127]. Two ends:
/// max|row| <= 2^-25 (codes would all be 0) gives scale 0 and codes 0; max|row| > 127 * 65504
/// saturates: scale 65504, codes limited to ±127. Bound unless saturated: |value - code * scale| <=
/// max(scale, 2^-24) / 2 * (1 + 2^-15): half a step, and the two roundings, at most 127 * 2^-23 of
/// a step (derived in the test). Bit-exact on every target for finite values, which the caller
/// provides.
struct quantize_rows_args {
  std::span<const float> values;
  std::span<std::int8_t> codes;
  std::span<std::uint16_t> scales;
  std::size_t dim = 1;
};
void quantize_rows_ref(const quantize_rows_args& args);
void quantize_rows_cpu(const quantize_rows_args& args);

inline void quantize_rows(const quantize_rows_args& args) { quantize_rows_cpu(args); }

/// values[r, c] = codes[r, c] * scales[r]: exact in float (8 + 11 bits). Shapes as above.
struct dequantize_rows_args {
  std::span<const std::int8_t> codes;
  std::span<const std::uint16_t> scales;
  std::size_t dim = 1;
  std::span<float> values;
};
void dequantize_rows_ref(const dequantize_rows_args& args);
void dequantize_rows_cpu(const dequantize_rows_args& args);

inline void dequantize_rows(const dequantize_rows_args& args) { dequantize_rows_cpu(args); }

}  // namespace headrace::kernels
