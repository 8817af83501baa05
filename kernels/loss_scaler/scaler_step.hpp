#pragma once

#include "kernels/runtime/device.hpp"

#include <cstdint>

/// loss_scaler's step (loss_scaler.hpp) on words that lie on a device.
namespace headrace::kernels::device {

/// As loss_scaler_options, without the first scale. Powers of two in order, an interval above 0.
struct scaler_rule {
  std::uint32_t growth_interval;
  float scale_min;
  float scale_max;
};

/// As loss_scaler_state.
struct scaler_words {
  float scale;
  std::uint32_t clean_steps;
  std::uint64_t skipped_total;
};

/// The state after a step whose gradients were `finite`, or not.
HEADRACE_BOTH scaler_words after_step(scaler_words now, const scaler_rule& rule, bool finite) {
  if (!finite) {
    const float half = 0.5F * now.scale;
    return {half > rule.scale_min ? half : rule.scale_min, 0, now.skipped_total + 1};
  }
  if (now.clean_steps + 1 < rule.growth_interval) {
    return {now.scale, now.clean_steps + 1, now.skipped_total};
  }
  const float twice = 2.0F * now.scale;
  return {twice < rule.scale_max ? twice : rule.scale_max, 0, now.skipped_total};
}

}  // namespace headrace::kernels::device
