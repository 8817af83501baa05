#include "kernels/target_attention/target_attention.hpp"

#include "kernels/runtime/test_cases.hpp"
#include "kernels/target_attention/target_attention_cases.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;

constexpr auto forward_ref = [](const auto& args) { target_attention_ref(args); };
constexpr auto backward_ref = [](const auto& args) { target_attention_backward_ref(args); };

target_result<double> widened(const target_result<float>& from, const target_shape& shape) {
  target_result<double> to(shape);
  const auto copy = [](std::span<const float> a, std::span<double> b) {
    std::copy(a.begin(), a.end(), b.begin());
  };
  copy(from.activations.span(), to.activations.span());
  copy(from.attention.span(), to.attention.span());
  copy(from.o.span(), to.o.span());
  return to;
}

/// Signs such that every term of every sum is positive (or all negative): what the bounds are in
/// units of. t < 0 makes e - t a sum of magnitudes.
target_case<double> magnitudes(const target_case<float>& of) {
  target_case<double> to(of);
  const auto positive = [](std::span<double> values) {
    for (double& value : values) value = std::abs(value);
  };
  const auto negative = [](std::span<double> values) {
    for (double& value : values) value = -std::abs(value);
  };
  for (const std::span<double> values : to.in.all()) positive(values);
  negative(to.in.targets.span());
  const std::size_t block = of.shape.dim * of.shape.hidden;
  negative(to.in.first_weights.span().subspan(block, block));
  negative(to.in.first_weights.span().subspan(3 * block, block));
  if (of.shape.activation == target_activation::sigmoid) {
    for (double& value : to.in.first_bias.span()) value += 1.0;
  }
  to.shape.activation = target_activation::relu;
  to.shape.softmax = false;
  positive(to.o_gradients.span());
  for (const std::span<double> values : to.before.all())
    std::fill(values.begin(), values.end(), 0.0);
  return to;
}

void expect_near(std::span<const float> got,
                 std::span<const double> exact,
                 std::span<const double> units,
                 double factor,
                 std::span<const double> before = {}) {
  ASSERT_EQ(got.size(), exact.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double unit = std::abs(units[i]) + (before.empty() ? 0.0 : std::abs(before[i]));
    ASSERT_LE(std::abs(static_cast<double>(got[i]) - exact[i]), factor * unit) << "at " << i;
  }
}

double norm(std::span<const double> values) {
  double sum = 0.0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

void expect_relative(std::span<const float> got, std::span<const double> exact, double bound) {
  double sum = 0.0;
  for (std::size_t i = 0; i < got.size(); ++i)
    sum += std::pow(static_cast<double>(got[i]) - exact[i], 2);
  ASSERT_LE(std::sqrt(sum), bound);
}

double factor(const target_shape& s, std::size_t length) {
  return static_cast<double>(2 * s.dim + s.hidden + length + 24) * unit_roundoff;
}

void expect_forward_in_bound(const target_case<float>& one,
                             const target_result<double>& exact,
                             const target_result<double>& units,
                             const target_result<float>& got) {
  const double step = factor(one.shape, one.shape.longest());
  expect_near(got.activations.span(), exact.activations.span(), units.activations.span(), step);
  if (!one.shape.softmax) {
    expect_near(got.attention.span(), exact.attention.span(), units.attention.span(), step);
    expect_near(got.o.span(), exact.o.span(), units.o.span(), step);
    return;
  }
  for (std::size_t s = 0; s < one.shape.samples(); ++s) {
    const auto sample = [&one, s](auto values) {
      return values.subspan(s * one.shape.dim, one.shape.dim);
    };
    double score = 0.0;
    for (std::size_t j = one.shape.offsets[s]; j < one.shape.offsets[s + 1]; ++j)
      score = std::max(score, units.attention.span()[j]);
    const double relative = std::max(1e-5, 5.0 * step * score);
    const std::span<const double> wanted = sample(exact.o.span());
    expect_relative(sample(got.o.span()), wanted, relative * norm(wanted));
  }
}

TEST(TargetAttention, StaysWithinItsBoundsOfTheExactResult) {
  for_each_target_case([](const target_case<float>& one) {
    const target_result<double> exact = target_case<double>(one).forward(forward_ref);
    const target_result<double> units = magnitudes(one).forward(forward_ref);
    expect_forward_in_bound(one, exact, units, one.forward(forward_ref));
    for_each_cpu_target(
        [&] { expect_forward_in_bound(one, exact, units, one.forward(target_attention_cpu)); });
  });
}

/// The header's bounds; with softmax, ds cancels: relative to the norms with and without.
void expect_backward_in_bound(const target_case<float>& one,
                              const target_inputs<double>& exact,
                              const target_inputs<double>& units,
                              const target_inputs<float>& got) {
  const double step = factor(one.shape, one.shape.samples() + one.shape.tokens());
  const target_case<double> wide(one);
  for (std::size_t i = 0; i < exact.all().size(); ++i) {
    SCOPED_TRACE("input " + std::to_string(i));
    const auto wanted = exact.all()[i];
    if (one.shape.softmax) {
      expect_relative(got.all()[i], wanted, 1e-6 * (norm(wanted) + norm(units.all()[i])));
    } else {
      const auto before = i < 2 ? std::span<const double>() : wide.before.all()[i];
      expect_near(got.all()[i], wanted, units.all()[i], step, before);
    }
  }
}

TEST(TargetAttentionBackward, StaysWithinItsBoundsOfTheExactGradients) {
  for_each_target_case([](const target_case<float>& one) {
    const target_result<float> forward = one.forward(forward_ref);
    const target_inputs<double> exact =
        target_case<double>(one).backward(backward_ref, widened(forward, one.shape));
    target_case<double> absolute = magnitudes(one);
    absolute.shape.activation = one.shape.activation;
    target_result<double> magnitude = widened(forward, one.shape);
    for (double& a : magnitude.attention.span()) a = std::abs(a);
    const target_inputs<double> units = absolute.backward(backward_ref, magnitude);
    for_each_cpu_target([&] {
      expect_backward_in_bound(
          one, exact, units, one.backward(target_attention_backward_cpu, forward));
    });
  });
}

TEST(TargetAttention, GivesTheSameBitsTwiceForwardAndBackward) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for_each_target_case([](const target_case<float>& one) {
        target_result<float> first = one.forward(target_attention_cpu);
        target_result<float> second = one.forward(target_attention_cpu);
        ASSERT_TRUE(same_bits(first.activations.span(), second.activations.span()));
        ASSERT_TRUE(same_bits(first.attention.span(), second.attention.span()));
        ASSERT_TRUE(same_bits(first.o.span(), second.o.span()));
        target_inputs<float> third = one.backward(target_attention_backward_cpu, first);
        target_inputs<float> fourth = one.backward(target_attention_backward_cpu, first);
        for (std::size_t i = 0; i < third.all().size(); ++i)
          ASSERT_TRUE(same_bits(third.all()[i], fourth.all()[i]));
      });
    });
  });
}

/// Of Σ g o in double. With values of order 1 and a step of 2^-18 the cut-off term is some 1e-11
/// and rounding 1e-15 * 2^18 = 4e-10 of the loss; no z is that near to 0.
void expect_differences(target_case<double> one) {
  const auto loss = [&one] {
    const target_result<double> out = one.forward(forward_ref);
    double sum = 0.0;
    for (std::size_t i = 0; i < out.o.span().size(); ++i)
      sum += one.o_gradients.span()[i] * out.o.span()[i];
    return sum;
  };
  const target_inputs<double> got = one.backward(backward_ref, one.forward(forward_ref));
  for (std::size_t i = 0; i < got.all().size(); ++i) {
    for (std::size_t at = 0; at < got.all()[i].size(); ++at) {
      constexpr double step = 0x1p-18;
      double& value = one.in.all()[i][at];
      const double kept = value;
      value = kept + step;
      const double above = loss();
      value = kept - step;
      const double below = loss();
      value = kept;
      const double gradient = got.all()[i][at] - (i < 2 ? 0.0 : one.before.all()[i][at]);
      ASSERT_NEAR(gradient, (above - below) / (2.0 * step), 1e-6 * std::abs(gradient) + 1e-8)
          << "input " << i << " at " << at;
    }
  }
}

TEST(TargetAttentionBackward, OfTheReferenceEqualsCentralDifferences) {
  for (const target_activation activation : {target_activation::relu, target_activation::sigmoid}) {
    for (const bool softmax : {false, true}) {
      SCOPED_TRACE(softmax ? "softmax" : "plain");
      expect_differences(target_case<double>({.offsets = {0, 3, 3, 7},
                                              .dim = 4,
                                              .hidden = 5,
                                              .activation = activation,
                                              .softmax = softmax},
                                             test_seed()));
    }
  }
}

/// e = (2), t = 3: parts (2, 3, -1, 6); z = 2 + 6 - 3 - 6 * 0.5 + 1 = 3; a = 3 * 4 - 1.
TEST(TargetAttention, ComputesASmallCaseByHand) {
  for_each_cpu_target([] {
    target_case<float> one({.offsets = {0, 2}, .dim = 1, .hidden = 1}, test_seed());
    const std::array<float, 4> weights = {1.0F, 2.0F, 3.0F, -0.5F};
    std::copy(weights.begin(), weights.end(), one.in.first_weights.span().begin());
    one.in.history.span()[0] = 2.0F;
    one.in.history.span()[1] = -10.0F;  // z = -10 + 6 - 39 + 15 + 1 < 0
    one.in.targets.span()[0] = 3.0F;
    one.in.first_bias.span()[0] = 1.0F;
    one.in.second_weights.span()[0] = 4.0F;
    one.in.second_bias.span()[0] = -1.0F;
    const target_result<float> got = one.forward(target_attention_cpu);
    EXPECT_EQ(got.activations.span()[0], 3.0F);
    EXPECT_EQ(got.activations.span()[1], 0.0F);
    EXPECT_EQ(got.attention.span()[0], 11.0F);
    EXPECT_EQ(got.attention.span()[1], -1.0F);
    EXPECT_EQ(got.o.span()[0], 32.0F);
  });
}

TEST(TargetAttention, StaysFiniteForLargeScores) {
  for_each_cpu_target([] {
    for (const bool softmax : {false, true}) {
      target_case<float> one({.offsets = {0, 17},
                              .dim = 4,
                              .hidden = 19,
                              .activation = target_activation::sigmoid,
                              .softmax = softmax},
                             test_seed());
      for (float& value : one.in.first_weights.span()) value *= 1e6F;
      for (float& value : one.in.second_weights.span()) value *= 1e6F;
      const target_result<float> got = one.forward(target_attention_cpu);
      for (const float value : got.activations.span()) {
        ASSERT_GE(value, 0.0F);
        ASSERT_LE(value, 1.0F);
      }
      for (const float value : got.o.span()) ASSERT_TRUE(std::isfinite(value));
    }
  });
}

TEST(TargetAttention, RefusesWeightsOfTheWrongSize) {
  target_case<float> one({.offsets = {0, 2}, .dim = 3, .hidden = 2}, test_seed());
  one.in.first_weights = misaligned<float>(12);
  EXPECT_DEATH(one.forward(target_attention_cpu), "first_weights");
}

}  // namespace
}  // namespace headrace::kernels
