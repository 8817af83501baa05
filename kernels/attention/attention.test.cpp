#include "kernels/attention/attention.hpp"

#include "kernels/attention/attention_cases.hpp"
#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double infinity = std::numeric_limits<double>::infinity();

void forward_cpu(attention_case<float>& one) {
  one.forward([](const attention_args& args) { attention_cpu(args); });
}
template <class Value>
void forward_ref(attention_case<Value>& one) {
  one.forward([](const auto& args) { attention_ref(args); });
}

/// The header's bound for scores below 64.
void expect_close(const attention_case<float>& got, const attention_case<double>& exact) {
  const std::vector<double> wanted = doubles(exact.o.span());
  ASSERT_LE(error_norm(doubles(got.o.span()), wanted), 1e-5 * norm(wanted));
  for (std::size_t i = 0; i < exact.lse.span().size(); ++i) {
    const double log_sum = exact.lse.span()[i];
    const auto given = static_cast<double>(got.lse.span()[i]);
    if (log_sum == -infinity) {
      ASSERT_EQ(given, log_sum);
    } else {
      ASSERT_LE(std::abs(given - log_sum), 1e-5 * (1.0 + std::abs(log_sum))) << "at " << i;
    }
  }
}

TEST(Attention, StaysWithinItsBoundOfTheDoubleReference) {
  in_both_float_modes([] {
    for_each_shape([](const attention_shape& shape) {
      attention_case<double> exact(shape);
      forward_ref(exact);
      attention_case<float> one(shape);
      forward_ref(one);
      expect_close(one, exact);
      for_each_cpu_target([&] {
        forward_cpu(one);
        expect_close(one, exact);
      });
    });
  });
}

/// The header's general bound: what scores of hundreds cost.
TEST(Attention, StaysWithinTheDerivedBoundAtLargeScores) {
  const attention_shape shape = {
      .lengths = {100}, .heads = 1, .head_dim = 16, .table = 40, .scale = 20.0};
  attention_case<double> exact(shape);
  forward_ref(exact);
  const basic_attention_args<double> args = exact.forward_args();
  double score_error = 0.0;
  for (std::size_t i = 0; i < 100; ++i) {
    for (std::size_t j = 0; j < 100; ++j) {
      double terms = 1.0;  // the most a bias of this case has
      for (std::size_t c = 0; c < 16; ++c)
        terms +=
            std::abs(args.scale * args.q[i * args.q_stride + c] * args.k[j * args.k_stride + c]);
      score_error = std::max(score_error, 22.0 * 0x1p-23 * terms);
    }
  }
  const double largest_v = 2.0;
  for_each_cpu_target([&] {
    attention_case<float> one(shape);
    forward_cpu(one);
    for (std::size_t i = 0; i < exact.o.span().size(); ++i) {
      const double bound = (2.0 * score_error + 116.0 * 0x1p-23) * largest_v;
      ASSERT_LE(std::abs(static_cast<double>(one.o.span()[i]) - exact.o.span()[i]), bound);
    }
  });
}

TEST(Attention, GivesTheSameBitsTwice) {
  for_each_cpu_target([] {
    for_each_shape([](const attention_shape& shape) {
      attention_case<float> one(shape);
      attention_case<float> two(shape);
      forward_cpu(one);
      forward_cpu(two);
      ASSERT_TRUE(same_bits(one.o.span(), two.o.span()));
      ASSERT_TRUE(same_bits(one.lse.span(), two.lse.span()));
    });
  });
}

TEST(Attention, WithAWindowThatHidesNothingHasTheBitsOfNoWindow) {
  for_each_cpu_target([] {
    for (attention_shape shape : attention_shapes()) {
      shape.mask.window = attention_mask::no_window;
      SCOPED_TRACE(describe(shape));
      attention_case<float> unwindowed(shape);
      forward_cpu(unwindowed);
      const std::size_t longest =
          shape.lengths.empty() ? 0 : *std::ranges::max_element(shape.lengths);
      for (const std::size_t window : {longest, longest + 1, longest + 64}) {
        for (const std::size_t globals : {0UL, 3UL, 70UL}) {
          shape.mask.window = window;
          shape.mask.globals = globals;
          attention_case<float> windowed(shape);
          forward_cpu(windowed);
          ASSERT_TRUE(same_bits(windowed.o.span(), unwindowed.o.span()));
          ASSERT_TRUE(same_bits(windowed.lse.span(), unwindowed.lse.span()));
        }
      }
    }
  });
}

/// O = Σ e^L O / Σ e^L over branches with no key in common: a window alone, and globals alone (the
/// window of 0). Queries of the first window + globals - 1 have keys in both, and are left out.
TEST(Attention, OfAWindowAndGlobalsIsTheMergeOfTheTwoBranches) {
  static constexpr std::size_t window = 20;
  static constexpr std::size_t globals = 5;
  for_each_cpu_target([] {
    for (const bool causal : {false, true}) {
      attention_shape shape = {.lengths = {150}, .head_dim = 16};
      std::vector<attention_case<float>> cases;
      const attention_mask joint = {.causal = causal, .window = window, .globals = globals};
      const attention_mask near = {.causal = causal, .window = window};
      const attention_mask far = {.causal = causal, .window = 0, .globals = globals};
      for (const attention_mask& mask : {joint, near, far}) {
        shape.mask = mask;
        forward_cpu(cases.emplace_back(shape));
      }
      for (std::size_t at = (window + globals - 1) * 2; at < 150 * 2; ++at) {
        const double a = std::exp(static_cast<double>(cases[1].lse.span()[at]));
        const double b = std::exp(static_cast<double>(cases[2].lse.span()[at]));
        for (std::size_t c = at * 16; c < (at + 1) * 16; ++c) {
          const double merged = (a * static_cast<double>(cases[1].o.span()[c]) +
                                 b * static_cast<double>(cases[2].o.span()[c])) /
                                (a + b);
          ASSERT_NEAR(static_cast<double>(cases[0].o.span()[c]), merged, 1e-5);
        }
        ASSERT_NEAR(static_cast<double>(cases[0].lse.span()[at]), std::log(a + b), 1e-5);
      }
    }
  });
}

TEST(Attention, OfInactiveHeadsIsZeroAndLeavesTheOthersTheirBits) {
  const attention_shape shape = {
      .lengths = {70, 3}, .heads = 4, .kv_heads = 2, .head_dim = 8, .mask = {.causal = true}};
  for_each_cpu_target([&shape] {
    attention_case<float> all(shape);
    attention_case<float> some(shape);
    forward_cpu(all);
    some.active = {1, 0, 0, 1, 0, 1, 1, 0};
    forward_cpu(some);
    for (std::size_t i = 0; i < some.o.span().size(); ++i) {
      const std::size_t sequence = i / 32 < 70 ? 0 : 1;
      const bool active = some.active[sequence * 4 + i / 8 % 4] != 0;
      ASSERT_EQ(some.o.span()[i], active ? all.o.span()[i] : 0.0F);
      const float lse = some.lse.span()[i / 8];
      ASSERT_EQ(lse, active ? all.lse.span()[i / 8] : -static_cast<float>(infinity));
    }
  });
}

TEST(Attention, OfOneKeyIsItsValue) {
  for_each_cpu_target([] {
    attention_case<float> one({.lengths = {1, 40}, .head_dim = 10, .mask = {.window = 1}});
    forward_cpu(one);
    const attention_args args = one.forward_args();
    for (std::size_t i = 0; i < one.o.span().size(); ++i)
      ASSERT_EQ(one.o.span()[i], args.v[i / 20 * args.v_stride + i % 10]);
  });
}

TEST(Attention, OfEqualScoresIsTheMeanAndLnOfTheirNumber) {
  for_each_cpu_target([] {
    attention_case<float> one({.lengths = {100}, .heads = 1, .head_dim = 4, .scale = 1e-30});
    forward_cpu(one);
    const attention_args args = one.forward_args();
    double mean = 0.0;
    for (std::size_t j = 0; j < 100; ++j)
      mean += 0.01 * static_cast<double>(args.v[j * args.v_stride]);
    ASSERT_NEAR(static_cast<double>(one.o.span()[0]), mean, 1e-6);
    ASSERT_NEAR(static_cast<double>(one.lse.span()[0]), std::log(100.0), 1e-6);
  });
}

TEST(Attention, LetsNanThrough) {
  for_each_cpu_target([] {
    attention_case<float> one({.lengths = {70}, .heads = 1, .head_dim = 8});
    one.qkv.span()[40 * one.stride + one.q_width] = poison<float>;  // a key's
    forward_cpu(one);
    ASSERT_TRUE(std::ranges::all_of(one.o.span(), [](float x) { return std::isnan(x); }));
  });
}

TEST(Attention, RefusesHeadsThatDoNotShareEvenly) {
  attention_case<float> one({.lengths = {2}});
  attention_args args = one.forward_args();
  args.kv_heads = 3;
  EXPECT_DEATH(attention_cpu(args), "kv_heads");
}

TEST(Attention, RefusesAWorkspaceThatIsTooSmall) {
  attention_case<float> one({.lengths = {2}});
  EXPECT_DEATH(attention_cpu(one.forward_args()), "workspace");
}

}  // namespace
}  // namespace headrace::kernels
