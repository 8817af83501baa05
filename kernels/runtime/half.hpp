#pragma once

#include <bit>
#include <cstdint>
#include <limits>

/// IEEE 754 binary16 as bits (what scales are on the wire), and bfloat16 ("brain"), the upper half
/// of a float. Integer arithmetic only, so every build gives the same bits.
namespace headrace::kernels {

constexpr float half_max = 65504.0F;              // 0x7BFF
constexpr float half_min_subnormal = 0x1.0p-24F;  // 0x0001
constexpr std::uint16_t half_max_bits = 0x7BFF;
constexpr std::uint16_t brain_max_bits = 0x7F7F;

/// The float of the same value: exact for every one of the 65,536 patterns, NaN payloads included.
constexpr float half_to_float(std::uint16_t bits) {
  const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16;
  const std::uint32_t magnitude = bits & 0x7FFFU;
  if (magnitude < 0x0400U) {  // zero and subnormals: an integer number of 2^-24, exact in float
    const float value = static_cast<float>(magnitude) * half_min_subnormal;
    return std::bit_cast<float>(std::bit_cast<std::uint32_t>(value) | sign);
  }
  constexpr std::uint32_t rebias = (127U - 15U) << 23;
  const std::uint32_t top =
      magnitude >= 0x7C00U ? 0x7F800000U | (magnitude << 13) : (magnitude << 13) + rebias;
  return std::bit_cast<float>(top | sign);
}

/// The smallest finite half not below `value`, or 65504 where there is none. `value` >= 0, not NaN.
constexpr std::uint16_t half_at_least(float value) {
  if (!(value > 0.0F)) return 0;
  if (value >= half_max) return half_max_bits;
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t exponent = bits >> 23;  // biased by 127; value > 0, so no sign
  constexpr std::uint32_t smallest_normal = 127U - 14U;
  if (exponent >=
      smallest_normal) {  // drop 13 bits of the fraction, rounding up; carries are right
    constexpr std::uint32_t rebias = (127U - 15U) << 23;
    return static_cast<std::uint16_t>((bits - rebias + 0x1FFFU) >> 13);
  }
  // Subnormal half: how many 2^-24, rounded up. Floats below 2^-24 (all float subnormals too)
  // give 1.
  if (exponent < 127U - 24U) return 1;
  const std::uint32_t fraction = (bits & 0x7FFFFFU) | 0x800000U;
  const std::uint32_t shift = 126U - exponent;  // 14 (2^-15) ... 23 (2^-24)
  return static_cast<std::uint16_t>((fraction + (1U << shift) - 1U) >> shift);
}

/// The nearest half, ties to even, beyond ±65504 that end: never infinite. `value` is no NaN.
constexpr std::uint16_t half_nearest(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t sign = bits >> 16 & 0x8000U;
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  constexpr std::uint32_t rebias = (127U - 15U) << 23;
  std::uint32_t half = 0;
  if (magnitude >= (127U - 14U) << 23) {
    half = (magnitude - rebias + 0xFFFU + (magnitude >> 13 & 1U)) >> 13;
    if (half > half_max_bits) half = half_max_bits;
  } else if (magnitude >= (127U - 25U) << 23) {  // subnormal half; below 2^-25 the nearest is 0
    const std::uint32_t fraction = (magnitude & 0x7FFFFFU) | 0x800000U;
    const std::uint32_t shift = 126U - (magnitude >> 23);  // 14 ... 24: that many bits go
    const std::uint32_t rest = fraction & ((1U << shift) - 1U);
    const std::uint32_t middle = 1U << (shift - 1U);
    half = fraction >> shift;
    half += rest > middle || (rest == middle && (half & 1U) != 0) ? 1U : 0U;
  }
  return static_cast<std::uint16_t>(sign | half);
}

/// The float of the same value.
constexpr float brain_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

/// The nearest bfloat16, ties to even, the largest finite one at most. `value` is no NaN.
constexpr std::uint16_t brain_nearest(float value) {
  const std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  const std::uint32_t magnitude = bits & 0x7FFFFFFFU;
  std::uint32_t brain = (magnitude + 0x7FFFU + (magnitude >> 16 & 1U)) >> 16;
  if (brain > brain_max_bits) brain = brain_max_bits;
  return static_cast<std::uint16_t>((bits >> 16 & 0x8000U) | brain);
}

}  // namespace headrace::kernels
