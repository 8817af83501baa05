#include "kernels/loss_scaler/loss_scaler.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::kernels {
namespace {

bool is_power_of_two(float value) {
  int exponent = 0;
  return value > 0.0F && std::isnormal(value) && std::frexp(value, &exponent) == 0.5F;
}

}  // namespace

loss_scaler::loss_scaler(const loss_scaler_options& options)
    : loss_scaler(options, {.scale = options.initial_scale}) {}

loss_scaler::loss_scaler(const loss_scaler_options& options, const loss_scaler_state& state)
    : options_(options), state_(state) {
  CHECK(is_power_of_two(options.scale_min));
  CHECK(is_power_of_two(options.scale_max));
  CHECK(is_power_of_two(state.scale));
  CHECK(options.scale_min <= state.scale);
  CHECK(state.scale <= options.scale_max);
  CHECK(options.growth_interval > 0);
}

bool loss_scaler::take(bool finite) {
  if (!finite) {
    state_.scale = std::max(0.5F * state_.scale, options_.scale_min);
    state_.clean_steps = 0;
    ++state_.skipped_total;
    return false;
  }
  if (++state_.clean_steps >= options_.growth_interval) {
    state_.scale = std::min(2.0F * state_.scale, options_.scale_max);
    state_.clean_steps = 0;
  }
  return true;
}

}  // namespace headrace::kernels
