#include "kernels/attention/attention.hpp"
#include "kernels/attention/attention_cases.hpp"
#include "kernels/attention/gradient_norms.hpp"
#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::kernels {
namespace {

void run_cpu(attention_case<float>& one) {
  one.forward([](const attention_args& args) { attention_cpu(args); });
  one.backward([](const attention_backward_args& args) { attention_backward_cpu(args); });
}
template <class Value>
void run_ref(attention_case<Value>& one) {
  one.backward([](const auto& args) { attention_backward_ref(args); });
}

void expect_close(const attention_case<float>& got,
                  const attention_case<double>& exact,
                  const gradient_norms& norms) {
  constexpr double share = 1e-6;
  ASSERT_LE(error_norm(got.dq(), exact.dq()), share * norm(norms.q));
  ASSERT_LE(error_norm(got.dk(), exact.dk()), share * norm(norms.k));
  ASSERT_LE(error_norm(got.dv(), exact.dv()), share * norm(norms.v));
  ASSERT_LE(error_norm(got.d_table(), exact.d_table()), share * norm(norms.table));
}

TEST(AttentionBackward, StaysWithinItsBoundOfTheDoubleReference) {
  in_both_float_modes([] {
    for_each_shape([](const attention_shape& shape) {
      attention_case<double> exact(shape);
      run_ref(exact);
      const gradient_norms norms(exact);
      attention_case<float> one(shape);
      run_ref(one);
      expect_close(one, exact, norms);
      for_each_cpu_target([&] {
        run_cpu(one);
        expect_close(one, exact, norms);
      });
    });
  });
}

/// The plain relative error, where the true gradients aren't 0 themselves.
TEST(AttentionBackward, HasASmallRelativeErrorAtLength) {
  for (const bool causal : {false, true}) {
    const attention_shape shape = {.lengths = {200, 150},
                                   .heads = 4,
                                   .kv_heads = 2,
                                   .head_dim = 32,
                                   .mask = {.causal = causal},
                                   .table = 50};
    attention_case<double> exact(shape);
    run_ref(exact);
    attention_case<float> one(shape);
    run_cpu(one);
    EXPECT_LE(error_norm(one.dq(), exact.dq()), 1e-5 * norm(exact.dq()));
    EXPECT_LE(error_norm(one.dk(), exact.dk()), 1e-5 * norm(exact.dk()));
    EXPECT_LE(error_norm(one.dv(), exact.dv()), 1e-5 * norm(exact.dv()));
    EXPECT_LE(error_norm(one.d_table(), exact.d_table()), 1e-5 * norm(exact.d_table()));
  }
}

TEST(AttentionBackward, GivesTheSameBitsTwiceAndLeavesTheGapsBetweenTokens) {
  for_each_cpu_target([] {
    for_each_shape([](const attention_shape& shape) {
      attention_case<float> one(shape);
      attention_case<float> two(shape);
      run_cpu(one);
      run_cpu(two);
      ASSERT_TRUE(same_bits(one.gradients.span(), two.gradients.span()));
      ASSERT_TRUE(same_bits(one.table_gradient.span(), two.table_gradient.span()));
      for (std::size_t i = 0; i < one.gradients.span().size(); ++i) {
        const bool in_gap = i % one.stride >= one.stride - attention_case<float>::gap;
        ASSERT_EQ(std::isnan(one.gradients.span()[i]), in_gap) << "at " << i;
      }
    });
  });
}

TEST(AttentionBackward, WithAWindowThatHidesNothingHasTheBitsOfNoWindow) {
  for_each_cpu_target([] {
    attention_shape shape = {.lengths = {130, 60}, .mask = {.causal = true}, .table = 20};
    attention_case<float> unwindowed(shape);
    run_cpu(unwindowed);
    shape.mask.window = 130;
    attention_case<float> windowed(shape);
    run_cpu(windowed);
    ASSERT_TRUE(same_bits(windowed.gradients.span(), unwindowed.gradients.span()));
    ASSERT_TRUE(same_bits(windowed.table_gradient.span(), unwindowed.table_gradient.span()));
  });
}

/// Σ d_o ⊙ o in double: what the reference's gradients are the derivatives of.
double objective(attention_case<double>& one) {
  one.forward([](const auto& args) { attention_ref(args); });
  double sum = 0.0;
  for (std::size_t i = 0; i < one.o.span().size(); ++i) sum += one.d_o.span()[i] * one.o.span()[i];
  return sum;
}

/// Central differences of the objective by each value of `inputs`. The step
/// of 1e-5 leaves an error of 1e-10 from the third derivative and 1e-11 from rounding.
std::vector<double> differences(attention_case<double>& one, std::span<double> inputs) {
  constexpr double step = 1e-5;
  std::vector<double> result;
  for (double& input : inputs) {
    const double before = input;
    input = before + step;
    const double above = objective(one);
    input = before - step;
    const double below = objective(one);
    input = before;
    result.push_back((above - below) / (2.0 * step));
  }
  return result;
}

TEST(AttentionBackward, ReferenceEqualsCentralDifferences) {
  const std::vector<attention_shape> shapes = {
      {.lengths = {5, 3}, .heads = 4, .kv_heads = 2, .head_dim = 3, .alibi = true, .table = 3},
      {.lengths = {7},
       .head_dim = 2,
       .mask = {.causal = true, .window = 2, .globals = 1},
       .table = 9},
      {.lengths = {6, 4},
       .head_dim = 2,
       .mask = {.window = 2, .globals = 1},
       .table = 1,
       .gated = true}};
  for (const attention_shape& shape : shapes) {
    SCOPED_TRACE(describe(shape));
    attention_case<double> one(shape);
    run_ref(one);
    const std::vector<double> qkv = doubles(one.gradients.span());
    const std::vector<double> qkv_differences = differences(one, one.qkv.span());
    for (std::size_t i = 0; i < qkv.size(); ++i) {
      if (std::isnan(one.qkv.span()[i])) continue;
      ASSERT_NEAR(qkv[i], qkv_differences[i], 1e-9 + 1e-6 * std::abs(qkv[i])) << "at " << i;
    }
    const std::vector<double> table = differences(one, one.table.span());
    for (std::size_t i = 0; i < table.size(); ++i) {
      const double gradient = one.table_gradient.span()[i] - one.table_before.span()[i];
      ASSERT_NEAR(gradient, table[i], 1e-9 + 1e-6 * std::abs(gradient)) << "bucket " << i;
    }
  }
}

TEST(AttentionBackward, GivesInactiveHeadsNoGradient) {
  for_each_cpu_target([] {
    attention_case<float> one({.lengths = {20, 9}, .heads = 4, .kv_heads = 2, .head_dim = 4});
    one.active = {0, 0, 1, 0, 1, 0, 1, 1};
    run_cpu(one);
    for (std::size_t i = 0; i < 29; ++i) {
      const std::size_t sequence = i < 20 ? 0 : 1;
      for (std::size_t c = 0; c < 16; ++c) {
        const bool active = one.active[sequence * 4 + c / 4] != 0;
        ASSERT_EQ(one.gradients.span()[i * one.stride + c] != 0.0F, active) << i << ", " << c;
      }
      for (std::size_t c = 0; c < 4; ++c)  // of the first key head, both of whose heads are off
        ASSERT_EQ(one.gradients.span()[i * one.stride + 16 + c] != 0.0F, sequence == 1);
    }
  });
}

TEST(AttentionBackward, RefusesAWorkspaceThatIsTooSmall) {
  attention_case<float> one({.lengths = {2}});
  EXPECT_DEATH(attention_backward_cpu(one.backward_args()), "workspace");
}

}  // namespace
}  // namespace headrace::kernels
