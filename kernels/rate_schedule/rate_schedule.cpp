#include "kernels/rate_schedule/rate_schedule.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace headrace::kernels {
namespace {

double ratio(std::uint64_t above, std::uint64_t below) {
  return static_cast<double>(above) / static_cast<double>(below);
}

/// sin(x) for |x| <= π/2 by its series up to x^21, whose first term left out is below 2e-18.
double sine(double x) {
  double sum = 1.0;
  for (int n = 20; n >= 2; n -= 2) sum = 1.0 - x * x / static_cast<double>(n * (n + 1)) * sum;
  return x * sum;
}

/// cos(π t) for t in [0, 1]; exact at 0, 1/2 and 1.
double half_turn_cosine(double t) {
  if (t == 0.0 || t == 1.0) return 1.0 - 2.0 * t;
  return sine(std::numbers::pi * (0.5 - t));
}

/// The cosine from step 0 of `steps` after the warm-up.
double cosine(const rate_schedule& schedule, std::uint64_t step, std::uint64_t steps) {
  const double floor = static_cast<double>(schedule.floor);
  if (step >= steps) return floor;
  const double height = 0.5 * (1.0 + half_turn_cosine(ratio(step, steps)));
  return floor + (static_cast<double>(schedule.peak) - floor) * height;
}

double after_warmup(const rate_schedule& schedule, std::uint64_t step, std::uint64_t warmup) {
  const double peak = static_cast<double>(schedule.peak);
  switch (schedule.kind) {
    case rate_kind::cosine:
      return cosine(schedule, step - warmup, schedule.total_steps - warmup);
    case rate_kind::inverse_root:
      return peak * std::sqrt(ratio(warmup, step + 1));
    case rate_kind::constant:
    case rate_kind::warmup:
      break;
  }
  return peak;
}

}  // namespace

bool is_valid(const rate_schedule& schedule) {
  if (!(schedule.peak > 0.0F) || !std::isfinite(schedule.peak)) return false;
  if (schedule.kind != rate_kind::cosine) return true;
  return schedule.floor >= 0.0F && schedule.floor <= schedule.peak &&
         schedule.total_steps > schedule.warmup_steps;
}

float rate_at(const rate_schedule& schedule, std::uint64_t step) {
  CHECK(is_valid(schedule));
  if (schedule.kind == rate_kind::constant) return schedule.peak;
  const std::uint64_t least = schedule.kind == rate_kind::inverse_root ? 1 : 0;
  const std::uint64_t warmup = std::max(schedule.warmup_steps, least);
  if (step < warmup) {
    return static_cast<float>(static_cast<double>(schedule.peak) * ratio(step + 1, warmup));
  }
  return static_cast<float>(after_warmup(schedule, step, warmup));
}

}  // namespace headrace::kernels
