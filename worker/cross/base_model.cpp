#include "worker/cross/base_model.hpp"

#include "base/random.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::worker {
namespace {

// The bias may be anywhere; what all features say together has this variance before anything is
// known, and each has its share of it.
constexpr float bias_variance = 4.0F;
constexpr float all_variance = 2.0F;
constexpr float weight_variance_max = 0.5F;
// Steps as in deploy/config/criteo.toml: what the pairwise term learns must do no harm where ids
// are rare.
constexpr float vector_scale = 0.05F;
constexpr float vector_rate = 0.05F;
constexpr float square_start = 3.0F;

float variance_of(std::size_t features) {
  return std::min(weight_variance_max,
                  all_variance / static_cast<float>(std::max<std::size_t>(1, features)));
}

}  // namespace

base_model::base_model(std::size_t features, std::size_t dim)
    : dim_(dim),
      bias_{0.0F, bias_variance},
      weights_(slots, {0.0F, variance_of(features)}),
      vectors_(slots * dim),
      squares_(slots * dim, square_start),
      sums_(dim) {
  for (std::size_t i = 0; i < vectors_.size(); ++i)
    vectors_[i] = vector_scale * (2.0F * static_cast<float>(unit_double(mix64(i + 1))) - 1.0F);
}

double base_model::predict(const event& of) {
  slots_of_.resize(of.keys.size());
  logit_ = static_cast<double>(bias_.mean);
  for (std::size_t f = 0; f < of.keys.size(); ++f) {
    slots_of_[f] = mix64(of.keys[f]) % slots;
    logit_ += static_cast<double>(weights_[slots_of_[f]].mean * value(of, f));
  }
  if (dim_ > 0) logit_ += pairwise(of);
  return logit_;
}

double base_model::pairwise(const event& of) {
  double squared = 0.0;
  std::fill(sums_.begin(), sums_.end(), 0.0);
  for (std::size_t f = 0; f < slots_of_.size(); ++f) {
    const float* row = &vectors_[slots_of_[f] * dim_];
    for (std::size_t k = 0; k < dim_; ++k) {
      const double vx = static_cast<double>(row[k] * value(of, f));
      sums_[k] += vx;
      squared += vx * vx;
    }
  }
  double all = 0.0;
  for (const double sum : sums_) all += sum * sum;
  return 0.5 * (all - squared);
}

void base_model::learn(const event& from) {
  const bool label = from.label > 0.5F;
  double spread = static_cast<double>(bias_.variance);
  for (std::size_t f = 0; f < slots_of_.size(); ++f) {
    const double x = static_cast<double>(value(from, f));
    spread += static_cast<double>(weights_[slots_of_[f]].variance) * x * x;
  }
  const gaussian_step step(label, logit_, spread);
  step.move(bias_, 1.0);
  for (std::size_t f = 0; f < slots_of_.size(); ++f)
    step.move(weights_[slots_of_[f]], static_cast<double>(value(from, f)));
  if (dim_ > 0) learn_vectors(from, -step.error);
}

// d logit / d v of a feature is x (Σ v x − v x).
void base_model::learn_vectors(const event& from, double gradient) {
  for (std::size_t f = 0; f < slots_of_.size(); ++f) {
    const float x = value(from, f);
    float* row = &vectors_[slots_of_[f] * dim_];
    float* square = &squares_[slots_of_[f] * dim_];
    for (std::size_t k = 0; k < dim_; ++k) {
      const auto rest = static_cast<float>(sums_[k]) - row[k] * x;
      const float g = static_cast<float>(gradient) * x * rest;
      square[k] += g * g;
      row[k] -= vector_rate * g / std::sqrt(square[k]);
    }
  }
}

std::size_t base_model::bytes() const {
  return weights_.size() * sizeof(gaussian_weight) +
         (vectors_.size() + squares_.size()) * sizeof(float);
}

}  // namespace headrace::worker
