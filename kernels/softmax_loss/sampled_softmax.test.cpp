#include "kernels/softmax_loss/sampled_softmax.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

enum class correction { none, shared, each };

struct sampled_shape {
  std::size_t positions = 1;
  std::size_t candidates = 1;
  correction log_q = correction::none;
  bool weighted = false;
  bool placed = false;  // the positive somewhere, else in column 0
  float scale = 1.0F;
};

std::size_t log_q_size(const sampled_shape& s) {
  if (s.log_q == correction::none) return 0;
  return s.log_q == correction::shared ? s.candidates : s.positions * s.candidates;
}

template <class Value>
struct sampled_case {
  sampled_case(const sampled_shape& s, std::uint64_t seed)
      : shape(s),
        scores(s.positions * s.candidates),
        log_q(log_q_size(s)),
        weights(s.weighted ? s.positions : 0),
        losses(s.positions),
        gradients(s.positions * s.candidates) {
    random_stream random(seed);
    for (Value& score : scores.span()) score = static_cast<Value>(next_signed(random, s.scale));
    for (Value& value : log_q.span()) value = static_cast<Value>(-12.0 * random.next_unit());
    for (Value& weight : weights.span()) {
      weight = random.next_below(3) == 0 ? Value{0} : static_cast<Value>(3.0 * random.next_unit());
    }
    for (std::size_t t = 0; s.placed && t < s.positions; ++t) {
      positives.push_back(static_cast<std::uint32_t>(random.next_below(s.candidates)));
    }
  }

  template <class Op>
  double run(const Op& op) {
    std::fill(losses.span().begin(), losses.span().end(), static_cast<Value>(nan_value));
    std::fill(gradients.span().begin(), gradients.span().end(), static_cast<Value>(nan_value));
    return op(basic_sampled_softmax_args<Value>{.scores = scores.span(),
                                                .log_q = log_q.span(),
                                                .weights = weights.span(),
                                                .positives = positives,
                                                .candidates = shape.candidates,
                                                .losses = losses.span(),
                                                .score_gradients = gradients.span()});
  }

  sampled_shape shape;
  misaligned<Value> scores;
  misaligned<Value> log_q;
  misaligned<Value> weights;
  std::vector<std::uint32_t> positives;
  misaligned<Value> losses;
  misaligned<Value> gradients;
};

double on_reference(sampled_case<double>& one) {
  return one.run([](const auto& args) { return sampled_softmax_ref(args); });
}

/// The same numbers in double, with the reference's results.
sampled_case<double> exact_of(sampled_case<float>& one) {
  sampled_case<double> exact(one.shape, 0);
  const auto copy = [](misaligned<float>& from, misaligned<double>& to) {
    std::copy(from.span().begin(), from.span().end(), to.span().begin());
  };
  copy(one.scores, exact.scores);
  copy(one.log_q, exact.log_q);
  copy(one.weights, exact.weights);
  exact.positives = one.positives;
  on_reference(exact);
  return exact;
}

double largest_score(sampled_case<double>& one, std::size_t t) {
  const std::size_t n = one.shape.candidates;
  double largest = 0.0;
  for (std::size_t c = 0; c < n; ++c) {
    double score = one.scores.span()[t * n + c];
    if (one.shape.log_q == correction::shared) score -= one.log_q.span()[c];
    if (one.shape.log_q == correction::each) score -= one.log_q.span()[t * n + c];
    if (std::isfinite(score)) largest = std::max(largest, std::abs(score));
  }
  return largest;
}

void expect_within_bounds(sampled_case<float>& one, double sum) {
  sampled_case<double> exact = exact_of(one);
  const std::size_t n = one.shape.candidates;
  double total = 0.0;
  double total_bound = 0.0;
  for (std::size_t t = 0; t < one.shape.positions; ++t) {
    const double d = largest_score(exact, t);
    const double steps = 2.0 * static_cast<double>(n) + 24.0;
    const double weight = one.shape.weighted ? exact.weights.span()[t] : 1.0;
    const double loss = exact.losses.span()[t];
    const double spread = weight > 0.0 ? std::min(1.0, loss / weight) : 0.0;
    const double bound = weight * spread * (12.0 * d + steps) * unit_roundoff +
                         2.0 * unit_roundoff * loss + 0x1p-120;
    ASSERT_LE(std::abs(static_cast<double>(one.losses.span()[t]) - loss), bound)
        << "position " << t;
    total += loss;
    total_bound += bound;
    for (std::size_t i = t * n; i < (t + 1) * n; ++i) {
      const double wanted = exact.gradients.span()[i];
      const double allowed = (8.0 * d + steps) * unit_roundoff * std::abs(wanted) + 0x1p-120;
      ASSERT_LE(std::abs(static_cast<double>(one.gradients.span()[i]) - wanted), allowed)
          << "position " << t << ", candidate " << i - t * n << ", wanted " << wanted;
    }
  }
  ASSERT_LE(std::abs(sum - total), total_bound);
}

template <class Check>
void for_each_shape(const Check& check) {
  for (const std::size_t positions : {0U, 1U, 5U}) {
    for (const std::size_t candidates : {1U, 2U, 3U, 4U, 5U, 8U, 9U, 16U, 17U, 33U, 101U, 1001U}) {
      sampled_shape shape = {positions, candidates};
      shape.log_q = static_cast<correction>(candidates % 3);
      shape.weighted = candidates % 2 == 0;
      shape.placed = candidates % 4 != 1;
      for (const float scale : {1.0F, 30.0F, 1000.0F}) {
        shape.scale = scale;
        SCOPED_TRACE(std::to_string(positions) + " positions, " + std::to_string(candidates) +
                     " candidates, scale " + std::to_string(scale));
        check(shape);
      }
    }
  }
}

TEST(SampledSoftmax, StaysWithinItsBoundsForSizesAtEveryEdge) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for_each_shape([](const sampled_shape& shape) {
        sampled_case<float> one(shape, test_seed() + shape.candidates);
        const double sum = one.run(sampled_softmax_cpu);
        expect_within_bounds(one, sum);
      });
    });
  });
}

TEST(SampledSoftmax, ReferenceInFloatsIsRoundedFromDouble) {
  sampled_case<float> one({7, 33, correction::each, true, true, 5.0F}, test_seed());
  sampled_case<double> exact = exact_of(one);
  one.run([](const auto& args) { return sampled_softmax_ref(args); });
  for (std::size_t i = 0; i < one.gradients.span().size(); ++i) {
    ASSERT_EQ(one.gradients.span()[i], static_cast<float>(exact.gradients.span()[i]));
  }
}

/// Error of a central difference: step^2 / 6 times a third derivative (below 1), so 2e-11, and
/// rounding of the sum (some 40 here) over the step, some 5e-10.
TEST(SampledSoftmax, GradientEqualsCentralDifferencesOfTheReference) {
  constexpr double step = 1e-5;
  for (const correction kind : {correction::none, correction::shared, correction::each}) {
    sampled_case<double> one({6, 11, kind, kind != correction::shared, true, 3.0F}, test_seed());
    on_reference(one);
    const misaligned<double> gradients = one.gradients;
    for (std::size_t i = 0; i < one.scores.span().size(); ++i) {
      const double score = one.scores.span()[i];
      one.scores.span()[i] = score + step;
      const double above = on_reference(one);
      one.scores.span()[i] = score - step;
      const double below = on_reference(one);
      one.scores.span()[i] = score;
      const double wanted = (above - below) / (2.0 * step);
      ASSERT_NEAR(gradients.span()[i], wanted, 1e-6 * std::abs(wanted) + 2e-9) << "at " << i;
    }
  }
}

TEST(SampledSoftmax, KeepsTheSmallLossOfAPositionThatIsNearlyRight) {
  for_each_cpu_target([] {
    sampled_case<float> one({1, 2}, test_seed());
    one.scores.span()[0] = 30.0F;
    one.scores.span()[1] = 0.0F;
    one.run(sampled_softmax_cpu);
    const double wanted = std::log1p(std::exp(-30.0));
    EXPECT_NEAR(static_cast<double>(one.losses.span()[0]) / wanted, 1.0, 4e-5);
    EXPECT_NEAR(static_cast<double>(one.gradients.span()[0]) / -wanted, 1.0, 4e-5);
  });
}

TEST(SampledSoftmax, LeavesOutWeightZeroAndScoresOfMinusInfinity) {
  for_each_cpu_target([] {
    sampled_case<float> one({2, 9, correction::none, true}, test_seed());
    one.weights.span()[0] = 0.0F;
    one.weights.span()[1] = 1.0F;
    for (std::size_t c = 0; c < 9; ++c) {
      one.scores.span()[c] = nan_value;
      one.scores.span()[9 + c] = c < 2 ? 1.0F : -infinity;
    }
    EXPECT_NEAR(one.run(sampled_softmax_cpu), std::log(2.0), 1e-6);
    EXPECT_EQ(one.losses.span()[0], 0.0F);
    for (std::size_t c = 0; c < 9; ++c) {
      EXPECT_EQ(one.gradients.span()[c], 0.0F);
      EXPECT_NEAR(one.gradients.span()[9 + c], c > 1 ? 0.0F : c == 1 ? 0.5F : -0.5F, 1e-6F);
    }
  });
}

TEST(SampledSoftmax, ShowsANanOrAnInfinityAmongTheScores) {
  for_each_cpu_target([] {
    for (const float bad : {nan_value, infinity}) {
      for (const std::size_t at : {0U, 1U, 9U, 18U}) {
        sampled_case<float> one({1, 19}, test_seed());
        one.scores.span()[at] = bad;
        EXPECT_TRUE(std::isnan(one.run(sampled_softmax_cpu))) << bad << " at " << at;
      }
    }
  });
}

TEST(SampledSoftmax, GivesTheSameBitsTwice) {
  for_each_cpu_target([] {
    sampled_case<float> one({9, 103, correction::shared, true, true, 4.0F}, test_seed());
    one.run(sampled_softmax_cpu);
    misaligned<float> gradients = one.gradients;
    misaligned<float> losses = one.losses;
    one.run(sampled_softmax_cpu);
    EXPECT_TRUE(same_bits(one.gradients.span(), gradients.span()));
    EXPECT_TRUE(same_bits(one.losses.span(), losses.span()));
  });
}

TEST(SampledSoftmax, RefusesAPositiveThatIsNoCandidate) {
  sampled_case<float> one({2, 3, correction::none, false, true}, test_seed());
  one.positives[1] = 3;
  EXPECT_DEATH(one.run(sampled_softmax_cpu), "positive < n");
}

}  // namespace
}  // namespace headrace::kernels
