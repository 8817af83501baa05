#pragma once

#include "kernels/half_gemm/half_gemm.hpp"
#include "kernels/runtime/half.hpp"

#include <bit>
#include <cstdint>

/// One 16-bit float at a time: the definition that vectors are tested against.
namespace headrace::kernels {

constexpr std::uint32_t float_infinity_bits = 0x7F800000;
/// From here on the nearest half is infinite: 65,520, half a step beyond the largest.
constexpr std::uint32_t half_overflow_bits = 0x477FF000;
constexpr std::uint16_t half_infinity = 0x7C00;
constexpr std::uint16_t half_nan = 0x7E00;
constexpr std::uint16_t brain_nan = 0x7FC0;

constexpr std::uint16_t half_word(half_format format, float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const auto sign = static_cast<std::uint16_t>(bits >> 16 & 0x8000U);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude > float_infinity_bits)
    return static_cast<std::uint16_t>(sign | (format == half_format::bf16 ? brain_nan : half_nan));
  if (format == half_format::bf16)
    return static_cast<std::uint16_t>(sign | (magnitude + 0x7FFFU + (magnitude >> 16 & 1U)) >> 16);
  if (magnitude >= half_overflow_bits) return static_cast<std::uint16_t>(sign | half_infinity);
  return half_nearest(value);
}

constexpr float half_value(half_format format, std::uint16_t word) {
  return format == half_format::bf16 ? brain_to_float(word) : half_to_float(word);
}

}  // namespace headrace::kernels
