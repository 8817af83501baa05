#include "kernels/hstu/hstu.hpp"

#include "kernels/hstu/hstu_cases.hpp"
#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;

constexpr auto forward_cpu = [](const hstu_args& args) { hstu_cpu(args); };
constexpr auto forward_ref = [](const auto& args) { hstu_ref(args); };
constexpr auto backward_cpu = [](const hstu_backward_args& args) { hstu_backward_cpu(args); };
constexpr auto backward_ref = [](const auto& args) { hstu_backward_ref(args); };

/// The same batch with the absolute values of all inputs.
hstu_case<double> magnitudes(const hstu_shape& shape) {
  hstu_case<double> one(shape);
  for (misaligned<double>* values : {&one.qkv, &one.d_o, &one.table, &one.table_before}) {
    for (double& value : values->span()) value = std::abs(value);
  }
  return one;
}

void expect_near(std::span<const float> got,
                 std::span<const double> exact,
                 std::span<const double> units,
                 double factor) {
  for (std::size_t i = 0; i < exact.size(); ++i) {
    if (std::isnan(exact[i])) {  // between tokens
      ASSERT_TRUE(std::isnan(got[i])) << "at " << i;
    } else {
      ASSERT_LE(std::abs(static_cast<double>(got[i]) - exact[i]), factor * units[i]) << "at " << i;
    }
  }
}

TEST(Hstu, StaysWithinItsBoundOfTheExactResult) {
  in_both_float_modes([] {
    for_each_hstu_shape([](const hstu_shape& shape) {
      hstu_case<double> exact(shape);
      exact.forward(forward_ref);
      hstu_case<double> units = magnitudes(shape);
      units.forward(forward_ref);
      const double steps = 2.2 * static_cast<double>(shape.head_dim) +
                           2.0 * static_cast<double>(shape.longest()) + 40.0;
      hstu_case<float> one(shape);
      const auto check = [&](const auto& op) {
        one.forward(op);
        expect_near(one.o.span(), exact.o.span(), units.o.span(), steps * unit_roundoff);
      };
      check(forward_ref);
      for_each_cpu_target([&check] { check(forward_cpu); });
    });
  });
}

/// The largest of scale Σ|q k| + |bias| over all pairs of a sequence, at least 1.
double largest_score(const hstu_shape& shape) {
  hstu_case<double> one = magnitudes(shape);
  const basic_hstu_args<double> args = one.forward_args();
  double largest = 0.0;
  for (std::size_t s = 0; s < shape.lengths.size(); ++s) {
    for (std::size_t at = 0; at < shape.lengths[s] * shape.lengths[s] * shape.heads; ++at) {
      const std::size_t pair = at / shape.heads;
      const std::size_t head = at % shape.heads * shape.head_dim;
      const double* q = args.q + (one.offsets[s] + pair / shape.lengths[s]) * args.q_stride + head;
      const double* k = args.k + (one.offsets[s] + pair % shape.lengths[s]) * args.k_stride + head;
      double score = 0.0;
      for (std::size_t c = 0; c < shape.head_dim; ++c) score += shape.scale * q[c] * k[c];
      largest = std::max(largest, score);
    }
  }
  return std::max(1.0, largest + (shape.table == 0 ? 0.0 : 1.0));
}

TEST(HstuBackward, StaysWithinItsBoundOfTheExactGradients) {
  in_both_float_modes([] {
    for_each_hstu_shape([](const hstu_shape& shape) {
      hstu_case<double> exact(shape);
      exact.backward(backward_ref);
      hstu_case<double> units = magnitudes(shape);
      units.backward(backward_ref);
      const double steps = (static_cast<double>(shape.head_dim) + 8.0) * largest_score(shape) +
                           2.2 * static_cast<double>(shape.value_dim) + 60.0;
      double tiles = 0.0;
      for (const std::size_t n : shape.lengths) tiles += std::pow((n + 63) / 64, 2);
      const double length = static_cast<double>(shape.longest());
      hstu_case<float> one(shape);
      const auto check = [&](const auto& op) {
        one.backward(op);
        expect_near(one.gradients.span(),
                    exact.gradients.span(),
                    units.gradients.span(),
                    (steps + 2.0 * length) * unit_roundoff);
        expect_near(one.table_gradient.span(),
                    exact.table_gradient.span(),
                    units.table_gradient.span(),
                    (steps + 2.0 * (64.0 + 192.0 * tiles)) * unit_roundoff);
      };
      check(backward_ref);
      for_each_cpu_target([&check] { check(backward_cpu); });
    });
  });
}

double norm(std::span<const double> values) {
  double sum = 0.0;
  for (const double value : values) sum += std::isnan(value) ? 0.0 : value * value;
  return std::sqrt(sum);
}

double error(std::span<const float> got, std::span<const double> exact) {
  std::vector<double> errors(exact.begin(), exact.end());
  for (std::size_t i = 0; i < exact.size(); ++i) errors[i] -= static_cast<double>(got[i]);
  return norm(errors);
}

/// What rounding really costs, in L2, where the sums don't cancel on purpose.
TEST(Hstu, HasASmallRelativeErrorForwardAndBackward) {
  const hstu_shape shape = {.lengths = {200, 150},
                            .heads = 3,
                            .head_dim = 32,
                            .value_dim = 16,
                            .table = 50,
                            .scale = 0.2};
  hstu_case<double> exact(shape);
  exact.forward(forward_ref);
  exact.backward(backward_ref);
  for_each_cpu_target([&] {
    hstu_case<float> one(shape);
    one.forward(forward_cpu);
    one.backward(backward_cpu);
    EXPECT_LE(error(one.o.span(), exact.o.span()), 2e-6 * norm(exact.o.span()));
    EXPECT_LE(error(one.gradients.span(), exact.gradients.span()),
              2e-6 * norm(exact.gradients.span()));
    EXPECT_LE(error(one.table_gradient.span(), exact.table_gradient.span()),
              2e-6 * norm(exact.table_gradient.span()));
  });
}

TEST(Hstu, GivesTheSameBitsTwiceForwardAndBackward) {
  for_each_cpu_target([] {
    for_each_hstu_shape([](const hstu_shape& shape) {
      hstu_case<float> one(shape);
      hstu_case<float> two(shape);
      for (hstu_case<float>* each : {&one, &two}) {
        each->forward(forward_cpu);
        each->backward(backward_cpu);
      }
      ASSERT_TRUE(same_bits(one.o.span(), two.o.span()));
      ASSERT_TRUE(same_bits(one.gradients.span(), two.gradients.span()));
      ASSERT_TRUE(same_bits(one.table_gradient.span(), two.table_gradient.span()));
    });
  });
}

/// Central differences of Σ d_o ⊙ o by each value of `inputs`. The step of 1e-5 leaves some 1e-9
/// from the third derivative and 1e-10 from rounding.
void expect_differences(hstu_case<double>& one,
                        std::span<double> inputs,
                        std::span<const double> gradients) {
  constexpr double step = 1e-5;
  const auto objective = [&one] {
    one.forward(forward_ref);
    double sum = 0.0;
    for (std::size_t i = 0; i < one.o.span().size(); ++i)
      sum += one.d_o.span()[i] * one.o.span()[i];
    return sum;
  };
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const double kept = inputs[i];
    if (std::isnan(kept)) continue;
    inputs[i] = kept + step;
    const double above = objective();
    inputs[i] = kept - step;
    const double below = objective();
    inputs[i] = kept;
    ASSERT_NEAR(gradients[i], (above - below) / (2.0 * step), 1e-8 + 1e-6 * std::abs(gradients[i]))
        << "at " << i;
  }
}

TEST(HstuBackward, OfTheReferenceEqualsCentralDifferences) {
  for (const hstu_shape& shape : std::vector<hstu_shape>{
           {.lengths = {5, 3}, .head_dim = 3, .value_dim = 2, .table = 3},
           {.lengths = {7}, .head_dim = 2, .mask = {.window = 2, .globals = 1}, .normaliser = 11.0},
           {.lengths = {4, 6}, .head_dim = 2, .value_dim = 3, .mask = {}, .table = 9}}) {
    SCOPED_TRACE(describe(shape));
    hstu_case<double> one(shape);
    std::ranges::fill(one.table_before.span(), 0.0);
    one.backward(backward_ref);
    expect_differences(one, one.qkv.span(), one.gradients.span());
    expect_differences(one, one.table.span(), one.table_gradient.span());
  }
}

/// Scores 2 and, with the bias of -1 for the token before, 6 - 1: SiLU(2) = 2 / (1 + e^-2).
TEST(Hstu, ComputesASmallCaseByHand) {
  const std::array<float, 2> q = {1.0F, 2.0F};
  const std::array<float, 2> k = {3.0F, 1.0F};
  const std::array<float, 2> v = {10.0F, 1.0F};
  const std::array<float, 3> table = {-1.0F, 0.0F, 100.0F};
  const std::array<std::uint32_t, 2> offsets = {0, 2};
  std::vector<float> workspace(hstu_workspace(1, 1));
  for_each_cpu_target([&] {
    std::array<float, 2> o{};
    hstu_cpu({.q = q.data(),
              .q_stride = 1,
              .k = k.data(),
              .k_stride = 1,
              .v = v.data(),
              .v_stride = 1,
              .offsets = offsets,
              .heads = 1,
              .head_dim = 1,
              .value_dim = 1,
              .bias_table = table,
              .max_distance = 1,
              .o = o.data(),
              .o_stride = 1,
              .workspace = workspace});
    const auto silu = [](double x) { return x / (1.0 + std::exp(-x)); };
    EXPECT_NEAR(o[0], silu(3.0) * 10.0 / 2.0, 1e-5);
    EXPECT_NEAR(o[1], (silu(5.0) * 10.0 + silu(2.0)) / 2.0, 1e-5);
  });
}

/// SiLU is x from 20 on and 0 below -20, but for 1e-8 of x.
TEST(Hstu, StaysFiniteForScoresFarFromZero) {
  for_each_cpu_target([] {
    hstu_case<float> one({.lengths = {40}, .heads = 1, .head_dim = 1, .value_dim = 1});
    for (std::size_t i = 0; i < 40; ++i) {
      float* token = one.qkv.span().data() + i * one.stride;
      token[0] = 2e4F;
      token[1] = i % 2 == 0 ? 1e4F : -1e4F;
      token[2] = 1.0F;
    }
    one.forward(forward_cpu);
    for (std::size_t i = 0; i < 40; ++i) {
      const double wanted = 1e8 * static_cast<double>(i / 2 + 1) / 40.0;
      ASSERT_NEAR(one.o.span()[i], wanted, 1e-6 * wanted);
    }
    one.backward(backward_cpu);
    for (std::size_t i = 0; i < 40; ++i) {
      for (std::size_t c = 0; c < 3; ++c)
        ASSERT_TRUE(std::isfinite(one.gradients.span()[i * one.stride + c]));
    }
  });
}

TEST(Hstu, LetsNanThroughToTheQueriesThatSeeIt) {
  for_each_cpu_target([] {
    hstu_case<float> one({.lengths = {70}, .heads = 1});
    one.qkv.span()[40 * one.stride + one.width] = hstu_case<float>::poison;  // a key's
    one.forward(forward_cpu);
    for (std::size_t i = 0; i < one.o.span().size(); ++i)
      ASSERT_EQ(std::isnan(one.o.span()[i]), i / 8 >= 40) << "at " << i;
  });
}

TEST(Hstu, RefusesAWorkspaceThatIsTooSmall) {
  hstu_case<float> one({.lengths = {2}});
  EXPECT_DEATH(hstu_cpu(one.forward_args()), "workspace");
}

}  // namespace
}  // namespace headrace::kernels
