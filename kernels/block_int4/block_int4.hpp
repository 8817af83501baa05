#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace headrace::kernels {

/// Values that share one scale.
constexpr std::size_t int4_block = 32;

/// Scales, and bytes of codes, of n values.
constexpr std::size_t int4_scales(std::size_t n) { return (n + int4_block - 1) / int4_block; }
constexpr std::size_t int4_bytes(std::size_t n) {
  constexpr std::size_t half = int4_block / 2;
  const std::size_t rest = n % int4_block;
  return n / int4_block * half + (rest < half ? rest : half);
}

/// Quantizes blocks of 32 values to int4 with one fp16 scale each: symmetric, round to nearest
/// even; 4.5 bits a value. The last block may be shorter.
///
/// values [n] in; codes [int4_bytes(n)] and scales [int4_scales(n)] fp16 bits out. A block has 16
/// bytes: byte i has the code of its value i in the low half, in two's complement, and that of
/// value 16 + i in the high half; a short block has its first bytes, and 0 where it has no value.
/// scale = the smallest finite fp16 with 7 * scale >= max|block|, so nothing is clipped; code =
/// round(value * (1 / scale)), both operations rounded to float, in [-7, 7]. Two ends: max|block|
/// <= 2^-25 gives scale 0 and codes 0; beyond 7 * 65504 it saturates. Bound unless saturated:
/// |value - code * scale| <= max(scale, 2^-24) / 2 * (1 + 2^-19) (derived in the test).
///
/// residuals [n] in and out, or empty. Where given, values + residuals (rounded to float) is what
/// is coded, and what that loses, value - code * scale, is left there: exactly, unless saturated
/// (the reason is in error_feedback.test.cpp). Bit-exact on every target for finite sums, which the
/// caller provides.
struct encode_int4_args {
  std::span<const float> values;
  std::span<float> residuals = {};
  std::span<std::uint8_t> codes;
  std::span<std::uint16_t> scales;
};
void encode_int4_ref(const encode_int4_args& args);
void encode_int4_cpu(const encode_int4_args& args);

inline void encode_int4(const encode_int4_args& args) { encode_int4_cpu(args); }

/// values[i] = code * scale, written: exact in float. Shapes as above, n = values.size(). The code
/// -8, which encode_int4 never gives, is decoded like any other.
struct decode_int4_args {
  std::span<const std::uint8_t> codes;
  std::span<const std::uint16_t> scales;
  std::span<float> values;
};
void decode_int4_ref(const decode_int4_args& args);
void decode_int4_cpu(const decode_int4_args& args);

inline void decode_int4(const decode_int4_args& args) { decode_int4_cpu(args); }

}  // namespace headrace::kernels
