#pragma once

#include "base/random.hpp"
#include "kernels/runtime/value_format.hpp"

#include <cstddef>
#include <cstdint>
#include <span>

/// Weights of rows as a table keeps them at rest, to and from f32.
namespace headrace::kernels {

/// Bytes of `dim` weights at rest, a multiple of 4:
///   fp32        dim f32
///   fp16, bf16  dim 16-bit values, zeros to 4
///   int8        fp16 scale, 2 zero bytes, dim codes, zeros to 4
constexpr std::size_t stored_bytes(value_format format, std::size_t dim) {
  const std::size_t head = format == value_format::int8 ? 4 : 0;
  return head + (dim * value_bytes(format) + 3) / 4 * 4;
}

/// values [n, dim] f32 out of `rows` [n] pointers to stored weights, 4-byte aligned. Exact: each
/// value at rest is a float (an infinity or a NaN, which `round_weights` never writes, becomes
/// something not finite).
struct widen_weights_args {
  value_format format = value_format::fp32;
  std::span<const std::byte* const> rows;
  std::size_t dim = 1;
  std::span<float> values;
};
void widen_weights_ref(const widen_weights_args& args);
/// Prefetches rows ahead.
void widen_weights_cpu(const widen_weights_args& args);

inline void widen_weights(const widen_weights_args& args) { widen_weights_cpu(args); }

/// values [n, dim] finite f32 in, `rows` [n] pointers to stored weights out, all `stored_bytes` of
/// them.
///
/// With `draws` [n], one number a row, rounding is stochastic: a value between two neighbours
/// becomes the upper one with the probability of its distance from the lower (to 2^-16 of a step
/// for bf16, 2^-13 for fp16, 2^-24 for int8 and subnormal halves), so that its mean is the value.
/// Column c compares with column_draw(draw, c). Without draws: to nearest, ties to even. Values at
/// rest stay what they are either way (int8: in rows whose largest code is ±127). Ends: fp16 ±65504
/// and bf16 its largest finite value, never an infinity; int8 has the scale of quantize_rows, the
/// smallest fp16 with 127 * scale >= max|row| (0, and all codes 0, where max|row| <= 2^-25; 65504
/// at most, codes limited to ±127), and codes of value / scale, where quantize_rows multiplies by
/// 1 / scale: only the quotient gives a code back exactly.
/// Bit-exact: reference and every CPU target give the same bits.
struct round_weights_args {
  value_format format = value_format::fp32;
  std::span<const float> values;
  std::size_t dim = 1;
  std::span<const std::uint64_t> draws = {};
  std::span<std::byte* const> rows;
};
void round_weights_ref(const round_weights_args& args);
void round_weights_cpu(const round_weights_args& args);

inline void round_weights(const round_weights_args& args) { round_weights_cpu(args); }

/// The number that names the roundings of a row: by key and by how often it was pushed, in a stream
/// apart from its initial values. Frozen.
constexpr std::uint64_t rounding_draw(std::uint64_t seed, std::uint64_t key, std::uint64_t count) {
  return counter_draw(seed ^ 0x726F756E64696E67ULL, key, count);  // "rounding"
}

/// 32 random bits of a column. 64-bit hashes have no vector form on most targets, so: the
/// multiply-xorshift hash "lowbias32" (Wellons, 2018) of the low half and the column, with the high
/// half in its middle. Frozen.
constexpr std::uint32_t column_draw(std::uint64_t draw, std::uint32_t column) {
  std::uint32_t x = static_cast<std::uint32_t>(draw) + column * 0x9E3779B9U;
  x = (x ^ (x >> 16)) * 0x7FEB352DU;
  x ^= static_cast<std::uint32_t>(draw >> 32);
  x = (x ^ (x >> 15)) * 0x846CA68BU;
  return x ^ (x >> 16);
}

}  // namespace headrace::kernels
