#pragma once

#include "kernels/runtime/half.hpp"

#include <cstdint>

namespace headrace::kernels {

/// The fp16 scale of a block whose largest magnitude is `magnitude` (finite, >= 0): the smallest
/// half h with 7 h >= magnitude, see block_int4.hpp.
///
/// Rounding m / 7 to float cannot hide that m > 7 h: 7 h is exact in float (3 + 11 bits), so m >=
/// 7 h + ulp(7 h), and ulp(7 h) / 7 >= 4 ulp(h) / 7 > ulp(h) / 2, so the quotient rounds to a float
/// above h. Nor can it invent it: m <= 7 h gives m / 7 <= h, a float.
constexpr std::uint16_t block_scale(float magnitude) {
  return magnitude <= half_min_subnormal / 2 ? std::uint16_t{0} : half_at_least(magnitude / 7.0F);
}

}  // namespace headrace::kernels
