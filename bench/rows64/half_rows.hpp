#pragma once

#include <bit>
#include <cstdint>

/// Rows as 16-bit values on the client's side: rounded to nearest even, widened exactly.
namespace headrace::bench {

/// `value` finite.
constexpr std::uint16_t to_bf16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return static_cast<std::uint16_t>((bits + 0x7FFFU + (bits >> 16 & 1U)) >> 16);
}
constexpr float from_bf16(std::uint16_t bits) {
  return std::bit_cast<float>(std::uint32_t{bits} << 16);
}

/// `value` 0, or of a magnitude in 2^-14 … 65504: what rows64 pushes.
constexpr std::uint16_t to_fp16(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  if (magnitude == 0) return static_cast<std::uint16_t>(sign);
  constexpr std::uint32_t rebias = (127U - 15U) << 23;
  const std::uint32_t rounded = magnitude - rebias + 0xFFFU + (magnitude >> 13 & 1U);
  return static_cast<std::uint16_t>(sign | rounded >> 13);
}

}  // namespace headrace::bench
