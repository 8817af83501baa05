#include "kernels/runtime/emulated_cases.hpp"
#include "kernels/softmax_loss/sampled_softmax.hpp"
#include "kernels/softmax_loss/sampled_softmax_launch.hpp"

#include <string>
#include <vector>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;
constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

struct sampled_batch {
  /// log_q_rows: 0 none, 1 for all, else one a position.
  sampled_batch(std::size_t n, std::size_t candidate_count, std::size_t log_q_rows, float scale)
      : positions(n), candidates(candidate_count), scores(n * candidates) {
    random_stream random(test_seed() + 31 * n + candidates);
    fill_signed<float>(scores, random, scale);
    log_q.resize(log_q_rows * candidates);
    for (float& value : log_q) value = -12.0F * static_cast<float>(random.next_unit());
    for (std::size_t t = 0; t < positions; ++t) {
      weights.push_back(random.next_below(3) == 0 ? 0.0F : next_signed(random) + 1.5F);
      positives.push_back(static_cast<std::uint32_t>(random.next_below(candidates)));
    }
    losses.assign(positions, std::nanf(""));
    gradients.assign(scores.size(), std::nanf(""));
  }

  double run(const emulated_launch& launch) {
    std::vector<double> partials(sum_blocks(positions), std::nan(""));
    double loss = std::nan("");
    launch_sampled_softmax({.scores = scores.data(),
                            .log_q = log_q.empty() ? nullptr : log_q.data(),
                            .log_q_stride = log_q.size() == candidates ? 0 : candidates,
                            .weights = weights.empty() ? nullptr : weights.data(),
                            .positives = positives.empty() ? nullptr : positives.data(),
                            .losses = losses.data(),
                            .score_gradients = gradients.data(),
                            .positions = positions,
                            .candidates = static_cast<std::uint32_t>(candidates)},
                           partials.data(),
                           &loss,
                           launch);
    return loss;
  }

  /// The same in double.
  double run_exactly(std::vector<double>& loss, std::vector<double>& gradient) const {
    const auto wide = [](const std::vector<float>& from) {
      return std::vector<double>(from.begin(), from.end());
    };
    const std::vector<double> s = wide(scores), q = wide(log_q), w = wide(weights);
    loss.resize(positions);
    gradient.resize(scores.size());
    return sampled_softmax_ref(basic_sampled_softmax_args<double>{.scores = s,
                                                                  .log_q = q,
                                                                  .weights = w,
                                                                  .positives = positives,
                                                                  .candidates = candidates,
                                                                  .losses = loss,
                                                                  .score_gradients = gradient});
  }

  double largest_score(std::size_t t) const {
    double most = 0.0;
    for (std::size_t c = 0; c < candidates; ++c) {
      double score = static_cast<double>(scores[t * candidates + c]);
      const std::size_t row = log_q.size() == candidates ? 0 : t;
      if (!log_q.empty()) score -= static_cast<double>(log_q[row * candidates + c]);
      if (std::isfinite(score)) most = std::max(most, std::abs(score));
    }
    return most;
  }

  std::size_t positions, candidates;
  std::vector<float> scores, log_q, weights;
  std::vector<std::uint32_t> positives;
  std::vector<float> losses, gradients;
};

/// The bounds of sampled_softmax.hpp.
void expect_within_bounds(sampled_batch one, const emulated_launch& launch) {
  std::vector<double> losses, gradients;
  const double exact = one.run_exactly(losses, gradients);
  const double sum = one.run(launch);
  double allowed = 1e-30;
  for (std::size_t t = 0; t < one.positions; ++t) {
    const double d = one.largest_score(t);
    const double steps = 2.0 * static_cast<double>(one.candidates) + 24.0;
    const double weight = one.weights.empty() ? 1.0 : static_cast<double>(one.weights[t]);
    const double spread = weight > 0.0 ? std::min(1.0, losses[t] / weight) : 0.0;
    const double bound = weight * spread * (12.0 * d + steps) * unit_roundoff +
                         2.0 * unit_roundoff * losses[t] + 0x1p-120;
    ASSERT_NEAR(static_cast<double>(one.losses[t]), losses[t], bound) << "position " << t;
    allowed += bound;
    for (std::size_t i = t * one.candidates; i < (t + 1) * one.candidates; ++i) {
      const double share = (8.0 * d + steps) * unit_roundoff;
      ASSERT_NEAR(static_cast<double>(one.gradients[i]),
                  gradients[i],
                  share * std::abs(gradients[i]) + 0x1p-120)
          << "position " << t << ", candidate " << i - t * one.candidates;
    }
  }
  ASSERT_NEAR(sum, exact, allowed);
}

TEST(SampledSoftmaxKernel, StaysWithinTheBoundsOfTheCpu) {
  for (const std::size_t positions : {0U, 1U, 9U}) {
    for (const std::size_t candidates : {1U, 2U, 31U, 32U, 33U, 200U}) {
      for (const float scale : {1.0F, 30.0F, 1000.0F}) {
        SCOPED_TRACE(std::to_string(positions) + " positions of " + std::to_string(candidates) +
                     ", scale " + std::to_string(scale));
        const std::size_t rows = candidates % 3 == 2 ? positions : candidates % 3;
        expect_within_bounds({positions, candidates, rows, scale}, {test_seed()});
      }
    }
  }
}

TEST(SampledSoftmaxKernel, GivesABlockToManyCandidatesAndTheSameBitsInAnyOrder) {
  for (const std::size_t candidates : {1024U, 1025U, 2000U}) {
    const sampled_batch one(3, candidates, 1, 8.0F);
    std::vector<float> first;
    for_each_order([&](const emulated_launch& launch) {
      sampled_batch now = one;
      now.run(launch);
      if (first.empty()) first = now.gradients;
      ASSERT_EQ(now.gradients, first);
    });
    expect_within_bounds(one, {test_seed()});
  }
}

TEST(SampledSoftmaxKernel, LeavesOutWhatMinusInfinityHidesAndReadsNothingOfWeightZero) {
  sampled_batch one(2, 40, 0, 3.0F);
  one.weights = {0.0F, 1.0F};
  one.positives = {};
  one.scores[0] = std::nanf("");
  one.scores[40 + 7] = minus_infinity;
  const double loss = one.run({test_seed()});
  EXPECT_EQ(one.losses[0], 0.0F);
  EXPECT_EQ(std::vector<float>(one.gradients.begin(), one.gradients.begin() + 40),
            std::vector<float>(40, 0.0F));
  EXPECT_EQ(one.gradients[47], 0.0F);
  EXPECT_LT(one.gradients[40], 0.0F);
  EXPECT_FLOAT_EQ(static_cast<float>(loss), one.losses[1]);
}

TEST(SampledSoftmaxKernel, LetsNanThrough) {
  for (const std::size_t candidates : {40U, 1500U}) {
    for (const float bad : {std::nanf(""), -minus_infinity}) {
      sampled_batch one(1, candidates, 0, 3.0F);
      one.weights = {};
      one.scores[candidates - 3] = bad;
      EXPECT_TRUE(std::isnan(one.run({test_seed()})));
      for (const float value : one.gradients) ASSERT_TRUE(std::isnan(value));
    }
  }
}

}  // namespace
}  // namespace headrace::kernels
