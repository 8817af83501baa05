#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace headrace::serve {

/// Orders in which features come to an instance, for Shapley values by sampling (Castro et al.,
/// Computers & OR 36(5), 2009): drawn by seed, each beside its reverse, which takes out what is odd
/// in the order (Mitchell et al., JMLR 23, 2022, §2).
class feature_orders {
 public:
  /// `permutations` ≥ 1, made even.
  feature_orders(std::size_t features, std::size_t permutations, std::uint64_t seed);

  /// Sets of features between none and all that the orders pass: each order's one after another.
  std::size_t states() const { return features_ < 2 ? 0 : orders_ * (features_ - 1); }
  /// Calls visit(with) for each, `with` [features] being 1 for those that came.
  void for_each_state(const std::function<void(std::span<const std::uint8_t> with)>& visit) const;

  struct share {
    double mean = 0.0;   // what the feature added
    double error = 0.0;  // standard error; not a number of a single pair
  };
  /// [features], from the values of the states; means add up to `all` − `none`.
  std::vector<share> shares(double none, double all, std::span<const double> values) const;

 private:
  std::span<const std::uint32_t> order(std::size_t i) const {
    return std::span(places_).subspan(i * features_, features_);
  }

  std::size_t features_;
  std::size_t orders_;
  std::vector<std::uint32_t> places_;  // [orders, features]
};

}  // namespace headrace::serve
