#include "kernels/loss_scaler/precision_guard.hpp"

#include "base/check.hpp"
#include "base/random.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace headrace::kernels {

double relative_error(std::span<const float> got, std::span<const float> wanted) {
  CHECK(got.size() == wanted.size());
  double off = 0.0;
  double all = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double value = static_cast<double>(wanted[i]);
    const double difference = static_cast<double>(got[i]) - value;
    off += difference * difference;
    all += value * value;
  }
  if (off == 0.0 && std::isfinite(all)) return 0.0;
  const double error = std::sqrt(off / all);
  return std::isfinite(error) && std::isfinite(all) ? error
                                                    : std::numeric_limits<double>::infinity();
}

precision_guard::precision_guard(std::size_t ops, const precision_guard_options& options)
    : options_(options), promoted_until_(ops) {
  CHECK(options.check_every > 0);
  CHECK(options.slice_rows > 0);
}

row_slice precision_guard::slice(std::uint64_t step, std::size_t rows) const {
  if (rows <= options_.slice_rows) return {0, rows};
  const std::size_t begin = mix64(step) % (rows - options_.slice_rows + 1);
  return {begin, begin + options_.slice_rows};
}

bool precision_guard::report(std::size_t op, std::uint64_t step, double error, double tolerance) {
  CHECK(op < promoted_until_.size());
  if (error <= options_.error_factor * tolerance) return false;  // false for NaN
  promoted_until_[op] = std::max(promoted_until_[op], step + 1 + options_.promoted_for);
  ++promotions_total_;
  return true;
}

bool precision_guard::promoted(std::size_t op, std::uint64_t step) const {
  CHECK(op < promoted_until_.size());
  return step < promoted_until_[op];
}

}  // namespace headrace::kernels
