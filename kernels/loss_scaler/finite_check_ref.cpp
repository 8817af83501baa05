#include "kernels/loss_scaler/finite_check.hpp"

#include <cmath>
#include <limits>

namespace headrace::kernels {

float abs_max_ref(std::span<const float> values) {
  float largest = 0.0F;
  for (const float value : values) {
    if (std::isnan(value)) return std::numeric_limits<float>::quiet_NaN();
    if (std::abs(value) > largest) largest = std::abs(value);
  }
  return largest;
}

bool all_finite_ref(std::span<const float> values) {
  for (const float value : values) {
    if (!std::isfinite(value)) return false;
  }
  return true;
}

}  // namespace headrace::kernels
