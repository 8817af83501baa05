#pragma once

#include "kernels/runtime/half.hpp"

#include <cstdint>

namespace headrace::kernels {

/// The fp16 scale of a row whose largest magnitude is `magnitude` (finite, >= 0): the smallest half
/// h with 127 h >= magnitude, see quantize_rows.hpp.
///
/// Rounding m / 127 to float cannot hide that m > 127 h: 127 h is exact in float (7 + 11 bits), so
/// m is a float above it, m >= 127 h + ulp(127 h), and ulp(127 h) / 127 >= 64 ulp(h) / 127 > ulp(h)
/// / 2, so the quotient rounds to a float above h. Nor can it invent it: m <= 127 h gives m / 127
/// <= h, a float.
constexpr std::uint16_t row_scale(float magnitude) {
  return magnitude <= half_min_subnormal / 2 ? std::uint16_t{0} : half_at_least(magnitude / 127.0F);
}

}  // namespace headrace::kernels
