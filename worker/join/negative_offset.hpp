#pragma once

#include "base/check.hpp"

#include <algorithm>
#include <cmath>
#include <span>

namespace headrace::worker {

/// What a stream keeps all positives but only `share` of its negatives of, adds to the logit of a
/// model that learns from it: −ln(share) ≥ 0, as odds there are 1 / share times what they are.
///
/// A model that trains on logit + negative_offset(share) learns the true logit, so that nothing has
/// to be put right when it predicts (King and Zeng 2001, the prior correction; He et al. 2014,
/// section 6.3, the same on probabilities). 0 < share ≤ 1.
inline float negative_offset(float share) {
  CHECK(share > 0.0F);
  CHECK(share <= 1.0F);
  return -std::log(share);
}

/// How many samples of the whole stream one stands for that was kept, by its labels: one without
/// any was thinned out to `share`, one with some was not.
inline float negative_weight(std::span<const float> labels, float share) {
  return std::ranges::any_of(labels, [](float label) { return label != 0.0F; }) ? 1.0F
                                                                                : 1.0F / share;
}

/// The true probability, of one that a model gave which trained without the offset.
inline double without_sampling(double probability, float share) {
  return probability / (probability + (1.0 - probability) / static_cast<double>(share));
}

}  // namespace headrace::worker
