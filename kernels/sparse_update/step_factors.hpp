#pragma once

#include "kernels/sparse_update/sparse_update.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

/// What a row's step needs once, in plain code that every target shares: see sparse_update.hpp.
namespace headrace::kernels {

/// beta^(2^k) for k = 0 … 31, and with them beta^n: the factors of n's set bits, lowest first.
class power_table {
 public:
  explicit power_table(float beta) {
    double square = static_cast<double>(beta);
    for (double& entry : squares_) {
      entry = square;
      square = square * square;
    }
  }
  double power(std::uint32_t n) const {
    double product = 1.0;
    for (; n != 0; n &= n - 1) product = product * squares_[std::countr_zero(n)];
    return product;
  }

 private:
  std::array<double, 32> squares_;
};

/// r and e of adam.
struct adam_factors {
  float rate;
  float epsilon;
};

/// Factors of columns with `first_rate`, and of the others.
using adam_pair = std::array<adam_factors, 2>;

/// Factors by number of steps. Most rows of a push have few steps behind them, so the last found
/// for each of some step counts are kept (20 ns a row otherwise).
class adam_correction {
 public:
  explicit adam_correction(const sparse_update_args& args)
      : first_rate_(args.first_rate), rate_(args.rate), first_(args.beta1), second_(args.beta2) {}

  /// `steps` >= 1.
  const adam_pair& at(std::uint32_t steps) {
    kept& entry = kept_[steps % kept_.size()];
    if (entry.steps != steps) entry = {steps, made(steps)};
    return entry.factors;
  }

 private:
  struct kept {
    std::uint32_t steps = 0;
    adam_pair factors{};
  };

  adam_pair made(std::uint32_t steps) const {
    const double root = std::sqrt(1.0 - second_.power(steps));
    const double factor = root / (1.0 - first_.power(steps));
    const float epsilon = static_cast<float>(static_cast<double>(adam_epsilon) * root);
    return {adam_factors{limited(static_cast<double>(first_rate_) * factor), epsilon},
            adam_factors{limited(static_cast<double>(rate_) * factor), epsilon}};
  }
  static float limited(double x) {
    constexpr double largest = static_cast<double>(std::numeric_limits<float>::max());
    return static_cast<float>(std::min(std::max(x, -largest), largest));
  }

  float first_rate_;
  float rate_;
  power_table first_;
  power_table second_;
  std::array<kept, 64> kept_;
};

/// One more step in the word that counts a row's steps.
inline std::uint32_t next_step(float* word) {
  std::uint32_t steps = 0;
  std::memcpy(&steps, word, sizeof(steps));
  steps += steps < std::numeric_limits<std::uint32_t>::max() ? 1 : 0;
  std::memcpy(word, &steps, sizeof(steps));
  return steps;
}

/// f of rowwise_adagrad; its accumulator takes in the mean of squares.
inline float rowwise_spread(float* accumulator, float squares, std::size_t dim) {
  *accumulator = std::min(*accumulator + squares / static_cast<float>(dim), weight_max);
  return std::sqrt(*accumulator) + adagrad_epsilon;
}
inline float rowwise_factor(float rate, float spread) {
  constexpr float largest = std::numeric_limits<float>::max();
  return std::min(std::max(rate / spread, -largest), largest);
}

/// i of ftrl.
inline float inverse_rate(float rate) {
  return std::min(1.0F / rate, std::numeric_limits<float>::max());
}

/// Sums of 16 lanes in the one order of every target.
inline float lanes_summed(std::array<float, 16>& lanes) {
  for (std::size_t half = lanes.size() / 2; half > 0; half /= 2) {
    for (std::size_t i = 0; i < half; ++i) lanes[i] = lanes[i] + lanes[i + half];
  }
  return lanes[0];
}

}  // namespace headrace::kernels
