#pragma once

#include "kernels/runtime/device.hpp"

#include <bit>
#include <cstdint>

/// The digits that selection goes by: 11 + 10 + 10 bits of the magnitude, the highest first.
namespace headrace::kernels::device {

constexpr unsigned digit_rounds = 3;
constexpr std::uint32_t digits_max = 2048;

/// Bits of |value|: as integers they are ordered as magnitudes are, NaN above infinity.
HEADRACE_BOTH std::uint32_t magnitude_bits(float value) {
  return std::bit_cast<std::uint32_t>(value) & 0x7FFFFFFFU;
}

HEADRACE_BOTH unsigned digit_shift(unsigned round) { return 20 - 10 * round; }
HEADRACE_BOTH std::uint32_t digits_in(unsigned round) { return round == 0 ? 2048 : 1024; }

HEADRACE_BOTH std::uint32_t digit_of(std::uint32_t bits, unsigned round) {
  return bits >> digit_shift(round) & (digits_in(round) - 1);
}

/// The digits above those of this round.
HEADRACE_BOTH std::uint32_t prefix_of(std::uint32_t bits, unsigned round) {
  return round == 0 ? 0 : bits >> digit_shift(round - 1);
}

/// `prefix` with the digit of this round behind it.
HEADRACE_BOTH std::uint32_t with_digit(std::uint32_t prefix, std::uint32_t digit, unsigned round) {
  return prefix << (round == 0 ? 11 : 10) | digit;
}

}  // namespace headrace::kernels::device
