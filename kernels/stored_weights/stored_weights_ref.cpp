#include "base/check.hpp"
#include "kernels/quantize_rows/row_scale.hpp"
#include "kernels/runtime/half.hpp"
#include "kernels/stored_weights/stored_weights.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

namespace headrace::kernels {
namespace {

template <class Value>
Value value_at(const std::byte* row, std::size_t offset) {
  Value value;
  std::memcpy(&value, row + offset, sizeof(value));
  return value;
}
template <class Value>
void put(std::byte* row, std::size_t offset, Value value) {
  std::memcpy(row + offset, &value, sizeof(value));
}

float widened(value_format format, const std::byte* row, std::size_t c) {
  switch (format) {
    case value_format::fp32:
      return value_at<float>(row, 4 * c);
    case value_format::int8:
      return static_cast<float>(value_at<std::int8_t>(row, 4 + c)) *
             half_to_float(value_at<std::uint16_t>(row, 0));
    case value_format::fp16:
      return half_to_float(value_at<std::uint16_t>(row, 2 * c));
    case value_format::bf16:
      return brain_to_float(value_at<std::uint16_t>(row, 2 * c));
  }
  return 0.0F;
}

/// What a column's rounding compares with; null where rounding is to nearest.
using column_draws = const std::uint64_t*;

/// A magnitude >= 0 to a whole number.
float whole(float magnitude, column_draws draw, std::size_t c) {
  if (draw == nullptr) return std::nearbyint(magnitude);
  const float below = std::floor(magnitude);
  const float u = static_cast<float>(column_draw(*draw, static_cast<std::uint32_t>(c)) >> 8);
  return below + (u * 0x1p-24F < magnitude - below ? 1.0F : 0.0F);
}

/// Drops the low `bits` of a float's magnitude.
std::uint32_t cut(std::uint32_t magnitude, unsigned bits, column_draws draw, std::size_t c) {
  const std::uint32_t mask = (1U << bits) - 1;
  return (magnitude + (column_draw(*draw, static_cast<std::uint32_t>(c)) & mask)) >> bits;
}

std::uint16_t half(float value, column_draws draw, std::size_t c) {
  if (draw == nullptr) return half_nearest(value);
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  const bool normal = magnitude >= (127U - 14U) << 23;
  const std::uint32_t rounded =
      normal ? cut(magnitude - ((127U - 15U) << 23), 13, draw, c)
             : static_cast<std::uint32_t>(
                   whole(std::bit_cast<float>(magnitude) / half_min_subnormal, draw, c));
  return static_cast<std::uint16_t>((bits >> 16 & 0x8000U) |
                                    std::min<std::uint32_t>(rounded, half_max_bits));
}

std::uint16_t brain(float value, column_draws draw, std::size_t c) {
  if (draw == nullptr) return brain_nearest(value);
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t rounded = cut(bits & 0x7FFFFFFFU, 16, draw, c);
  return static_cast<std::uint16_t>((bits >> 16 & 0x8000U) |
                                    std::min<std::uint32_t>(rounded, brain_max_bits));
}

void round_codes(std::span<const float> values, column_draws draw, std::byte* row) {
  float magnitude = 0.0F;
  for (const float value : values) magnitude = std::max(magnitude, std::abs(value));
  const std::uint16_t bits = row_scale(magnitude);
  put(row, 0, bits);
  if (bits == 0) return;
  for (std::size_t c = 0; c < values.size(); ++c) {
    const float steps = std::clamp(values[c] / half_to_float(bits), -127.0F, 127.0F);
    const float code = std::copysign(whole(std::abs(steps), draw, c), steps);
    put(row, 4 + c, static_cast<std::int8_t>(code));
  }
}

void round_row(value_format format,
               std::span<const float> values,
               column_draws draw,
               std::byte* row) {
  std::memset(row, 0, stored_bytes(format, values.size()));
  if (format == value_format::int8) return round_codes(values, draw, row);
  for (std::size_t c = 0; c < values.size(); ++c) {
    if (format == value_format::fp32) put(row, 4 * c, values[c]);
    if (format == value_format::fp16) put(row, 2 * c, half(values[c], draw, c));
    if (format == value_format::bf16) put(row, 2 * c, brain(values[c], draw, c));
  }
}

}  // namespace

void widen_weights_ref(const widen_weights_args& args) {
  CHECK(args.values.size() == args.rows.size() * args.dim);
  for (std::size_t r = 0; r < args.rows.size(); ++r) {
    for (std::size_t c = 0; c < args.dim; ++c) {
      args.values[r * args.dim + c] = widened(args.format, args.rows[r], c);
    }
  }
}

void round_weights_ref(const round_weights_args& args) {
  CHECK(args.values.size() == args.rows.size() * args.dim);
  CHECK(args.draws.empty() || args.draws.size() == args.rows.size());
  for (std::size_t r = 0; r < args.rows.size(); ++r) {
    round_row(args.format,
              args.values.subspan(r * args.dim, args.dim),
              args.draws.empty() ? nullptr : &args.draws[r],
              args.rows[r]);
  }
}

}  // namespace headrace::kernels
