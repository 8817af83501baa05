#include "kernels/attention/head_gate.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <cmath>

namespace headrace::kernels {
namespace {

/// Sequences of 3, 0 and 5 tokens, 4 columns, 3 heads.
template <class Value>
struct gate_case {
  gate_case() {
    random_stream random(test_seed());
    for (misaligned<Value>* values : {&x, &weights, &gate_gradients, &before}) {
      for (Value& value : values->span()) value = static_cast<Value>(next_signed(random, 2.0F));
    }
  }
  basic_head_gate_args<Value> args() {
    return {.x = x.span().data(),
            .x_stride = 5,
            .offsets = offsets,
            .width = 4,
            .heads = 3,
            .weights = weights.span(),
            .strength = 4,
            .means = means.span(),
            .scores = scores.span(),
            .active = active.span()};
  }
  double forward() {
    std::ranges::fill(means.span(), std::numeric_limits<Value>::quiet_NaN());
    std::ranges::fill(scores.span(), std::numeric_limits<Value>::quiet_NaN());
    return head_gate(args());
  }
  void backward() {
    std::ranges::fill(dx.span(), std::numeric_limits<Value>::quiet_NaN());
    weight_gradients = before;
    head_gate_backward({.forward = args(),
                        .gate_gradients = gate_gradients.span(),
                        .dx = dx.span().data(),
                        .dx_stride = 5,
                        .weight_gradients = weight_gradients.span()});
  }

  std::vector<std::uint32_t> offsets = {0, 3, 3, 8};
  misaligned<Value> x = misaligned<Value>(8 * 5);
  misaligned<Value> dx = misaligned<Value>(8 * 5);
  misaligned<Value> weights = misaligned<Value>(4 * 3);
  misaligned<Value> before = misaligned<Value>(4 * 3);
  misaligned<Value> weight_gradients = misaligned<Value>(4 * 3);
  misaligned<Value> gate_gradients = misaligned<Value>(3 * 3);
  misaligned<Value> means = misaligned<Value>(3 * 4);
  misaligned<Value> scores = misaligned<Value>(3 * 3);
  misaligned<std::uint8_t> active = misaligned<std::uint8_t>(3 * 3, 7);
};

TEST(HeadGate, OpensWhereTheScoreIsAboveTheThresholdAndPenalisesTheShare) {
  gate_case<double> one;
  const double penalty = one.forward();
  double open = 0.0;
  for (std::size_t at = 0; at < 9; ++at) {
    double z = 0.0;
    for (std::size_t c = 0; c < 4; ++c) {
      double mean = 0.0;
      const std::size_t first = at < 3 ? 0 : 3;
      const std::size_t last = at < 3 ? 3 : (at < 6 ? 3 : 8);
      for (std::size_t t = first; t < last; ++t) mean += one.x.span()[t * 5 + c];
      if (last > first) mean /= static_cast<double>(last - first);
      z += mean * one.weights.span()[c * 3 + at % 3];
    }
    ASSERT_NEAR(one.scores.span()[at], 1.0 / (1.0 + std::exp(-z)), 1e-14);
    ASSERT_EQ(one.active.span()[at], z > 0.0 ? 1 : 0);
    open += z > 0.0 ? 1.0 : 0.0;
  }
  ASSERT_NEAR(penalty, 4.0 * std::pow(open / 9.0 - 0.35, 2), 1e-14);
}

/// The function that the straight-through gradient is the derivative of: the gates' gradients, and
/// the penalty's at the gates taken, times the soft scores.
TEST(HeadGate, BackwardEqualsCentralDifferencesOfTheSoftScores) {
  gate_case<double> one;
  one.forward();
  double open = 0.0;
  for (const std::uint8_t active : one.active.span()) open += active;
  const double slope = 2.0 * 4.0 * (open / 9.0 - 0.35) / 9.0;
  const auto objective = [&one, slope] {
    one.forward();
    double sum = 0.0;
    for (std::size_t at = 0; at < 9; ++at)
      sum += (one.gate_gradients.span()[at] + slope) * one.scores.span()[at];
    return sum;
  };
  one.backward();
  const auto difference = [&objective](double& input) {
    const double before = input;
    input = before + 1e-5;
    const double above = objective();
    input = before - 1e-5;
    const double below = objective();
    input = before;
    return (above - below) / 2e-5;
  };
  for (std::size_t i = 0; i < 12; ++i) {
    const double gradient = one.weight_gradients.span()[i] - one.before.span()[i];
    ASSERT_NEAR(gradient, difference(one.weights.span()[i]), 1e-6 * std::abs(gradient) + 1e-10);
  }
  for (std::size_t t = 0; t < 8; ++t) {
    for (std::size_t c = 0; c < 4; ++c) {
      const double gradient = one.dx.span()[t * 5 + c];
      ASSERT_NEAR(gradient, difference(one.x.span()[t * 5 + c]), 1e-6 * std::abs(gradient) + 1e-10);
    }
    ASSERT_TRUE(std::isnan(one.dx.span()[t * 5 + 4]));  // between tokens
  }
}

TEST(HeadGate, OfFloatsIsThatOfDoublesToFloatRounding) {
  gate_case<double> exact;
  gate_case<float> one;
  ASSERT_EQ(one.forward() > 0.0, exact.forward() > 0.0);
  exact.backward();
  one.backward();
  for (std::size_t at = 0; at < 9; ++at)
    ASSERT_NEAR(static_cast<double>(one.scores.span()[at]), exact.scores.span()[at], 1e-6);
  for (std::size_t i = 0; i < 12; ++i) {
    ASSERT_NEAR(static_cast<double>(one.weight_gradients.span()[i]),
                exact.weight_gradients.span()[i],
                1e-6);
  }
}

/// More columns than one pass takes: each has the mean and the dx of its own.
TEST(HeadGate, TreatsManyColumnsEachAlone) {
  constexpr std::size_t width = 37;
  random_stream random(test_seed());
  const std::vector<std::uint32_t> offsets = {0, 3, 5};
  std::vector<double> x(5 * width);
  std::vector<double> weights(width);
  for (auto* values : {&x, &weights}) {
    for (double& value : *values) value = static_cast<double>(next_signed(random, 2.0F));
  }
  std::vector<double> means(2 * width);
  std::vector<double> scores(2);
  std::vector<std::uint8_t> active(2);
  const basic_head_gate_args<double> args = {.x = x.data(),
                                             .x_stride = width,
                                             .offsets = offsets,
                                             .width = width,
                                             .heads = 1,
                                             .weights = weights,
                                             .means = means,
                                             .scores = scores,
                                             .active = active};
  head_gate(args);
  std::vector<double> dx(x.size());
  std::vector<double> weight_gradients(width);
  const std::vector<double> given = {3.0, -2.0};
  head_gate_backward({.forward = args,
                      .gate_gradients = given,
                      .dx = dx.data(),
                      .dx_stride = width,
                      .weight_gradients = weight_gradients});
  for (std::size_t c = 0; c < width; ++c) {
    ASSERT_DOUBLE_EQ(means[c], (x[c] + x[width + c] + x[2 * width + c]) / 3.0);
    ASSERT_DOUBLE_EQ(means[width + c], (x[3 * width + c] + x[4 * width + c]) / 2.0);
    for (std::size_t t = 0; t < 5; ++t) {
      const std::size_t s = t < 3 ? 0 : 1;
      const double slope = given[s] * scores[s] * (1.0 - scores[s]);
      ASSERT_DOUBLE_EQ(dx[t * width + c], weights[c] * slope / (s == 0 ? 3.0 : 2.0));
    }
  }
}

TEST(HeadGate, RefusesWeightsOfTheWrongSize) {
  gate_case<float> one;
  head_gate_args args = one.args();
  args.heads = 2;
  EXPECT_DEATH(head_gate(args), "weights");
}

}  // namespace
}  // namespace headrace::kernels
