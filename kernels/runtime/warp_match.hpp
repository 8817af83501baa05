#pragma once

#include "kernels/runtime/device.hpp"

#include <bit>

/// Which lanes of a warp have the same small number, and ranks among them.
namespace headrace::kernels::device {

#if defined(__CUDACC__)
HEADRACE_DEVICE unsigned bits_set(unsigned word) { return static_cast<unsigned>(__popc(word)); }
#else
HEADRACE_DEVICE unsigned bits_set(unsigned word) {
  return static_cast<unsigned>(std::popcount(word));
}
#endif

/// Bits that numbers up to `largest` have.
HEADRACE_BOTH constexpr unsigned bits_of(unsigned largest) {
  unsigned bits = 0;
  while (bits < 32 && largest >> bits != 0) ++bits;
  return bits;
}

/// The lanes whose `value`, of `bits` bits, is this lane's: a vote a bit.
HEADRACE_DEVICE unsigned lanes_with(unsigned value, unsigned bits) {
  unsigned same = 0xFFFFFFFFU;
  for (unsigned b = 0; b < bits; ++b) {
    const bool is_set = (value >> b & 1U) != 0;
    const unsigned votes = ballot(is_set);
    same &= is_set ? votes : ~votes;
  }
  return same;
}

/// How many of `lanes` come before this one.
HEADRACE_DEVICE unsigned lanes_before(unsigned lanes) {
  return bits_set(lanes & ((1U << lane()) - 1U));
}

}  // namespace headrace::kernels::device
