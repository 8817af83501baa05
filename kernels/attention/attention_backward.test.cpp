#include "kernels/attention/attention.hpp"
#include "kernels/attention/attention_cases.hpp"
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

/// Norms of the gradients with P (|d_o Vᵀ| + |D|) for dS, and magnitudes in every sum: what
/// rounding is measured by.
struct gradient_norms {
  explicit gradient_norms(attention_case<double> one) {
    one.forward([](const auto& args) { attention_ref(args); });
    const basic_attention_args<double> args = one.forward_args();
    q.assign(one.tokens * one.q_width, 0.0);
    k.assign(one.tokens * one.kv_width, 0.0);
    v.assign(one.tokens * one.kv_width, 0.0);
    table.assign(one.table.span().size(), 0.0);
    for (std::size_t i = 0; i < table.size(); ++i) table[i] = std::abs(one.table_before.span()[i]);
    for (std::size_t s = 0; s + 1 < one.offsets.size(); ++s) {
      for (std::size_t h = 0; h < args.heads; ++h) {
        if (one.active.empty() || one.active[s * args.heads + h] != 0) add_head(one, args, s, h);
      }
    }
  }

  void add_head(const attention_case<double>& one,
                const basic_attention_args<double>& args,
                std::size_t s,
                std::size_t h) {
    for (std::size_t i = one.offsets[s]; i < one.offsets[s + 1]; ++i) {
      double mean = 0.0;
      for (std::size_t c = 0; c < args.head_dim; ++c) {
        const std::size_t at = i * one.q_width + h * args.head_dim + c;
        mean += std::abs(one.d_o.span()[at] * one.o.span()[at]);
      }
      for (std::size_t j = one.offsets[s]; j < one.offsets[s + 1]; ++j) {
        if (sees(args.mask, i - one.offsets[s], j - one.offsets[s]))
          add_pair(one, args, h, i, j, mean);
      }
    }
  }

  void add_pair(const attention_case<double>& one,
                const basic_attention_args<double>& args,
                std::size_t h,
                std::size_t i,
                std::size_t j,
                double mean) {
    const std::size_t d = args.head_dim;
    const std::size_t kv = h / (args.heads / args.kv_heads) * d;
    const double* query = args.q + i * args.q_stride + h * d;
    const double* key = args.k + j * args.k_stride + kv;
    const double* value = args.v + j * args.v_stride + kv;
    const double* d_o = one.d_o.span().data() + i * one.q_width + h * d;
    double score = 0.0;
    double gradient = mean;
    for (std::size_t c = 0; c < d; ++c) {
      score += args.scale * query[c] * key[c];
      gradient += std::abs(d_o[c] * value[c]);
    }
    const auto offset = static_cast<std::ptrdiff_t>(j) - static_cast<std::ptrdiff_t>(i);
    if (!args.alibi_slopes.empty())
      score -= args.alibi_slopes[h] * std::abs(static_cast<double>(offset));
    const auto limit = static_cast<std::ptrdiff_t>(args.max_distance);
    const std::size_t bucket = h * (2 * args.max_distance + 1) +
                               static_cast<std::size_t>(std::clamp(offset, -limit, limit) + limit);
    if (!table.empty()) score += args.bias_table[bucket];
    const double weight = std::exp(score - one.lse.span()[i * args.heads + h]);
    for (std::size_t c = 0; c < d; ++c) {
      q[i * one.q_width + h * d + c] += args.scale * weight * gradient * std::abs(key[c]);
      k[j * one.kv_width + kv + c] += args.scale * weight * gradient * std::abs(query[c]);
      v[j * one.kv_width + kv + c] += weight * std::abs(d_o[c]);
    }
    if (!table.empty()) table[bucket] += weight * gradient;
  }

  std::vector<double> q;
  std::vector<double> k;
  std::vector<double> v;
  std::vector<double> table;
};

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
