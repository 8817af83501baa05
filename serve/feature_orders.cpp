#include "serve/feature_orders.hpp"

#include "base/check.hpp"
#include "base/random.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

namespace headrace::serve {

feature_orders::feature_orders(std::size_t features, std::size_t permutations, std::uint64_t seed)
    : features_(features),
      orders_(permutations + permutations % 2),
      places_(features * (permutations + permutations % 2)) {
  CHECK(permutations >= 1);
  random_stream draw(mix64(seed));
  for (std::size_t i = 0; i < orders_; i += 2) {
    const auto one = std::span(places_).subspan(i * features_, features_);
    const auto reverse = std::span(places_).subspan((i + 1) * features_, features_);
    std::iota(one.begin(), one.end(), 0U);
    for (std::size_t left = features_; left > 1; --left)
      std::swap(one[left - 1], one[draw.next_below(left)]);
    std::reverse_copy(one.begin(), one.end(), reverse.begin());
  }
}

void feature_orders::for_each_state(
    const std::function<void(std::span<const std::uint8_t> with)>& visit) const {
  if (features_ < 2) return;
  std::vector<std::uint8_t> with(features_);
  for (std::size_t i = 0; i < orders_; ++i) {
    std::ranges::fill(with, 0);
    for (const std::uint32_t next : order(i).first(features_ - 1)) {
      with[next] = 1;
      visit(with);
    }
  }
}

std::vector<feature_orders::share> feature_orders::shares(double none,
                                                          double all,
                                                          std::span<const double> values) const {
  CHECK(values.size() == states());
  std::vector<share> made(features_);
  if (features_ == 0) return made;
  std::vector<double> sums(features_);
  std::vector<double> squares(features_);
  std::vector<double> pair(features_);
  const std::size_t between = features_ - 1;
  for (std::size_t i = 0; i < orders_; ++i) {
    if (i % 2 == 0) std::ranges::fill(pair, 0.0);
    double before = none;
    for (std::size_t k = 0; k < features_; ++k) {
      const double now = k == between ? all : values[i * between + k];
      pair[order(i)[k]] += (now - before) / 2.0;
      before = now;
    }
    if (i % 2 == 0) continue;
    for (std::size_t f = 0; f < features_; ++f) {
      sums[f] += pair[f];
      squares[f] += pair[f] * pair[f];
    }
  }
  const std::size_t whole_pairs = orders_ / 2;
  const auto pairs = static_cast<double>(whole_pairs);
  for (std::size_t f = 0; f < features_; ++f) {
    made[f].mean = sums[f] / pairs;
    const double spread = std::max(0.0, squares[f] / pairs - made[f].mean * made[f].mean);
    made[f].error =
        pairs > 1.0 ? std::sqrt(spread / (pairs - 1.0)) : std::numeric_limits<double>::quiet_NaN();
  }
  return made;
}

}  // namespace headrace::serve
