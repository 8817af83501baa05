#pragma once

namespace headrace::kernels {

/// Float nearest integers: adding and taking away 1.5 * 2^23 rounds |value| < 2^22 to nearest even.
constexpr float rounding_shift = 0x1.8p23F;

/// What a weight is multiplied by to get its code. Scales are 0 or at least 2^-126, below 2^100.
constexpr float inverse_scale(float scale) { return scale == 0.0F ? 0.0F : 1.0F / scale; }

/// The code of a weight as a float: rounded to nearest even, cut to ± largest.
constexpr float weight_code(float weight, float inverse, float largest) {
  const float value = weight * inverse;
  const float cut = value < -largest ? -largest : (value > largest ? largest : value);
  return (cut + rounding_shift) - rounding_shift;
}

}  // namespace headrace::kernels
