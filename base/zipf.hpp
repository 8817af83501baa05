#pragma once

#include "base/check.hpp"
#include "base/random.hpp"

#include <cmath>
#include <cstdint>

namespace headrace {

/// Draws ranks 1 … n with P(k) ∝ k^-exponent, without a table, for any n: the skew of the rows64
/// workload and of the planted CTR set.
///
/// Rejection-inversion (Hörmann and Derflinger, "Rejection-inversion to generate variates from
/// monotone discrete distributions", TOMACS 6(3), 1996, with H as they define it for Zipf). One
/// uniform draw a try, more than 90 % of the tries accepted. Deterministic for a given libm; the
/// generated sets' statistics are tested.
class zipf_rejection_inversion {
 public:
  /// exponent > 0 (1 included), n ≥ 1.
  zipf_rejection_inversion(double exponent, std::uint64_t n) : exponent_(exponent), n_(n) {
    CHECK(exponent > 0.0);
    CHECK(n >= 1);
    area_first_ = area(1.5) - 1.0;
    area_all_ = area(static_cast<double>(n) + 0.5);
    accept_below_ = 2.0 - area_inverse(area(2.5) - height(2.0));
  }

  /// The next rank, 1 … n.
  std::uint64_t operator()(random_stream& random) const {
    for (;;) {
      const double u = area_all_ + random.next_unit() * (area_first_ - area_all_);
      const double x = area_inverse(u);
      const double rounded = std::floor(x + 0.5);
      const double k = rounded < 1.0                       ? 1.0
                       : rounded > static_cast<double>(n_) ? static_cast<double>(n_)
                                                           : rounded;
      if (k - x <= accept_below_ || u >= area(k + 0.5) - height(k))
        return static_cast<std::uint64_t>(k);
    }
  }

 private:
  double height(double x) const { return std::exp(-exponent_ * std::log(x)); }
  // Integral of x^-exponent, shifted so that it has no pole at exponent 1.
  double area(double x) const {
    const double log_x = std::log(x);
    const double t = (1.0 - exponent_) * log_x;
    return (std::fabs(t) > 1e-8 ? std::expm1(t) / t : 1.0 + t * 0.5 * (1.0 + t / 3.0)) * log_x;
  }
  double area_inverse(double a) const {
    double t = a * (1.0 - exponent_);
    if (t < -1.0) t = -1.0;  // only by rounding
    return std::exp((std::fabs(t) > 1e-8 ? std::log1p(t) / t : 1.0 - t * (0.5 - t / 3.0)) * a);
  }

  double exponent_;
  std::uint64_t n_;
  double area_first_ = 0.0;
  double area_all_ = 0.0;
  double accept_below_ = 0.0;
};

}  // namespace headrace
