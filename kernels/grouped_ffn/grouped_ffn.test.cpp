#include "kernels/grouped_ffn/grouped_ffn.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

namespace headrace::kernels {
namespace {

struct ffn_shape {
  ffn_form form = ffn_form::swiglu;
  std::vector<std::uint32_t> rows;  // of each expert
  std::size_t dim = 1;
  std::size_t hidden = 1;

  std::size_t total() const {
    std::size_t sum = 0;
    for (const std::uint32_t n : rows) sum += n;
    return sum;
  }
  ffn_sizes sizes() const {
    return {.form = form, .experts = rows.size(), .dim = dim, .hidden = hidden};
  }
  std::size_t weights() const { return rows.size() * dim * hidden; }
  bool gated() const { return form == ffn_form::swiglu; }
};

std::string describe(const ffn_shape& s) {
  std::string text = s.gated() ? "swiglu" : "relu";
  for (const std::uint32_t n : s.rows) text += ' ' + std::to_string(n);
  return text + " rows, dim " + std::to_string(s.dim) + ", hidden " + std::to_string(s.hidden);
}

/// All buffers of one batch, misaligned. Weights of experts without rows are NaN: they are not
/// read.
template <class Value>
struct ffn_case {
  ffn_case(ffn_shape s, std::uint64_t seed)
      : shape(std::move(s)),
        offsets(shape.rows.size() + 1),
        x(shape.total() * shape.dim),
        w1(shape.weights()),
        w3(shape.gated() ? shape.weights() : 0),
        w2(shape.weights()),
        first(shape.total() * shape.hidden, nan),
        third(shape.gated() ? first.span().size() : 0, nan),
        dy(x.span().size()) {
    random_stream random(seed);
    const auto fill = [&random](std::span<Value> values, double scale) {
      for (Value& value : values) value = static_cast<Value>(scale * next_signed(random));
    };
    fill(x.span(), 2.0);
    fill(w1.span(), 2.0 / std::sqrt(static_cast<double>(shape.dim)));
    fill(w3.span(), 2.0 / std::sqrt(static_cast<double>(shape.dim)));
    fill(w2.span(), 2.0 / std::sqrt(static_cast<double>(shape.hidden)));
    fill(dy.span(), 1.0);
    for (std::size_t e = 0; e < shape.rows.size(); ++e) {
      offsets.span()[e + 1] = offsets.span()[e] + shape.rows[e];
      if (shape.rows[e] != 0) continue;
      for (misaligned<Value>* weights : {&w1, &w3, &w2}) {
        if (!weights->span().empty()) std::ranges::fill(of_expert(*weights, e), nan);
      }
    }
  }

  std::span<Value> of_expert(misaligned<Value>& weights, std::size_t expert) const {
    return weights.span().subspan(expert * shape.dim * shape.hidden, shape.dim * shape.hidden);
  }
  misaligned<Value> workspace() const {
    return misaligned<Value>(grouped_ffn_workspace(shape.sizes(), shape.total()), nan);
  }

  /// y, with first and third filled.
  template <class Forward>
  misaligned<Value> forward(const Forward& op) {
    misaligned<Value> y(x.span().size(), nan);
    misaligned<Value> room = workspace();
    op(basic_grouped_ffn_args<Value>{.sizes = shape.sizes(),
                                     .offsets = offsets.span(),
                                     .x = x.span(),
                                     .w1 = w1.span(),
                                     .w3 = w3.span(),
                                     .w2 = w2.span(),
                                     .first = first.span(),
                                     .third = third.span(),
                                     .y = y.span(),
                                     .workspace = room.span()});
    return y;
  }

  struct gradients {
    misaligned<Value> x;
    misaligned<Value> w1;
    misaligned<Value> w3;
    misaligned<Value> w2;
  };
  /// The parameters' gradients start from `before`.
  template <class Backward>
  gradients backward(const Backward& op, Value before = Value{0}) const {
    gradients out = {misaligned<Value>(x.span().size(), nan),
                     misaligned<Value>(w1.span().size(), before),
                     misaligned<Value>(w3.span().size(), before),
                     misaligned<Value>(w2.span().size(), before)};
    misaligned<Value> room = workspace();
    op(basic_grouped_ffn_backward_args<Value>{.sizes = shape.sizes(),
                                              .offsets = offsets.span(),
                                              .x = x.span(),
                                              .w1 = w1.span(),
                                              .w3 = w3.span(),
                                              .w2 = w2.span(),
                                              .first = first.span(),
                                              .third = third.span(),
                                              .y_gradients = dy.span(),
                                              .x_gradients = out.x.span(),
                                              .w1_gradients = out.w1.span(),
                                              .w3_gradients = out.w3.span(),
                                              .w2_gradients = out.w2.span(),
                                              .workspace = room.span()});
    return out;
  }

  static constexpr Value nan = std::numeric_limits<Value>::quiet_NaN();
  ffn_shape shape;
  misaligned<std::uint32_t> offsets;
  misaligned<Value> x;
  misaligned<Value> w1;
  misaligned<Value> w3;
  misaligned<Value> w2;
  misaligned<Value> first;
  misaligned<Value> third;
  misaligned<Value> dy;
};

const auto forward_ref = [](const auto& args) { grouped_ffn_ref(args); };
const auto forward_cpu = [](const grouped_ffn_args& args) { grouped_ffn_cpu(args); };
const auto backward_ref = [](const auto& args) { grouped_ffn_backward_ref(args); };
const auto backward_cpu = [](const grouped_ffn_backward_args& args) {
  grouped_ffn_backward_cpu(args);
};

void copy(const misaligned<float>& from, misaligned<double>& to) {
  std::copy(from.span().begin(), from.span().end(), to.span().begin());
}

ffn_case<double> widened(const ffn_case<float>& one) {
  ffn_case<double> wide(one.shape, 0);
  copy(one.x, wide.x);
  copy(one.w1, wide.w1);
  copy(one.w3, wide.w3);
  copy(one.w2, wide.w2);
  copy(one.first, wide.first);
  copy(one.third, wide.third);
  copy(one.dy, wide.dy);
  return wide;
}

/// NaN, or a gap to exact results larger than the bound, fails.
::testing::AssertionResult within_bound(const misaligned<float>& got,
                                        const misaligned<double>& exact) {
  double error = 0.0;
  double norm = 0.0;
  for (std::size_t i = 0; i < exact.span().size(); ++i) {
    error += std::pow(static_cast<double>(got.span()[i]) - exact.span()[i], 2);
    norm += std::pow(exact.span()[i], 2);
  }
  if (std::sqrt(error) <= 1e-5 * std::sqrt(norm)) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "error " << std::sqrt(error / norm);
}

const std::vector<ffn_shape>& shapes() {
  static const std::vector<ffn_shape> all = [] {
    std::vector<ffn_shape> made;
    for (const ffn_form form : {ffn_form::relu, ffn_form::swiglu}) {
      for (const auto& [dim, hidden] :
           {std::pair{1U, 1U}, {3U, 5U}, {4U, 8U}, {8U, 17U}, {17U, 15U}, {33U, 64U}, {65U, 31U}}) {
        for (const std::vector<std::uint32_t>& rows :
             std::vector<std::vector<std::uint32_t>>{{0}, {1}, {0, 3, 0, 9, 1, 0}, {40, 0, 7}}) {
          made.push_back({form, rows, dim, hidden});
        }
      }
      // More rows than pass at a time, and than a product takes in one step of its depth.
      made.push_back({form, {513, 0, 320, 1}, 9, 16});
    }
    return made;
  }();
  return all;
}

template <class Check>
void for_each_case(const Check& check) {
  for (const ffn_shape& shape : shapes()) {
    SCOPED_TRACE(describe(shape));
    ffn_case<float> one(shape, test_seed() + shape.dim);
    check(one);
  }
}

TEST(GroupedFfn, StaysWithinItsBoundOfTheExactOutput) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for_each_case([](ffn_case<float>& one) {
        ffn_case<double> wide = widened(one);
        const misaligned<double> exact = wide.forward(forward_ref);
        ASSERT_TRUE(within_bound(one.forward(forward_cpu), exact));
        ASSERT_TRUE(within_bound(one.first, wide.first));
        ASSERT_TRUE(within_bound(one.third, wide.third));
      });
    });
  });
}

TEST(GroupedFfnBackward, StaysWithinItsBoundOfTheExactGradients) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for_each_case([](ffn_case<float>& one) {
        one.forward(forward_cpu);
        const auto got = one.backward(backward_cpu);
        const auto exact = widened(one).backward(backward_ref);
        ASSERT_TRUE(within_bound(got.x, exact.x));
        ASSERT_TRUE(within_bound(got.w1, exact.w1));
        ASSERT_TRUE(within_bound(got.w3, exact.w3));
        ASSERT_TRUE(within_bound(got.w2, exact.w2));
      });
    });
  });
}

TEST(GroupedFfn, GivesTheSameBitsTwice) {
  for_each_cpu_target([] {
    for_each_case([](ffn_case<float>& one) {
      misaligned<float> y = one.forward(forward_cpu);
      auto gradients = one.backward(backward_cpu);
      ASSERT_TRUE(same_bits(one.forward(forward_cpu).span(), y.span()));
      auto again = one.backward(backward_cpu);
      ASSERT_TRUE(same_bits(again.x.span(), gradients.x.span()));
      ASSERT_TRUE(same_bits(again.w1.span(), gradients.w1.span()));
      ASSERT_TRUE(same_bits(again.w2.span(), gradients.w2.span()));
    });
  });
}

TEST(GroupedFfnBackward, AddsToTheGradientsOfParameters) {
  for_each_cpu_target([] {
    for (const ffn_form form : {ffn_form::relu, ffn_form::swiglu}) {
      ffn_case<float> one({form, {5, 12}, 6, 10}, test_seed());
      one.forward(forward_cpu);
      const auto from_zero = one.backward(backward_cpu);
      const auto from_100 = one.backward(backward_cpu, 100.0F);
      for (const auto gradients :
           {&ffn_case<float>::gradients::w1, &ffn_case<float>::gradients::w2}) {
        const auto wanted = (from_zero.*gradients).span();
        const auto got = (from_100.*gradients).span();
        for (std::size_t i = 0; i < got.size(); ++i) {
          ASSERT_NEAR(got[i], wanted[i] + 100.0F, 1e-4F);
        }
      }
    }
  });
}

/// What stands there is not even a number, and every bit of it stays.
TEST(GroupedFfnBackward, LeavesTheGradientsOfAnExpertWithoutRowsUntouched) {
  for_each_cpu_target([] {
    for (const ffn_form form : {ffn_form::relu, ffn_form::swiglu}) {
      ffn_case<float> one({form, {0, 5, 0, 0, 2, 0}, 7, 11}, test_seed());
      one.forward(forward_cpu);
      const float before = std::bit_cast<float>(0x7FC12345U);
      auto got = one.backward(backward_cpu, before);
      for (misaligned<float>* gradients : {&got.w1, &got.w3, &got.w2}) {
        if (gradients->span().empty()) continue;
        for (const std::size_t expert : {0U, 2U, 3U, 5U}) {
          for (const float value : one.of_expert(*gradients, expert)) {
            ASSERT_EQ(std::bit_cast<std::uint32_t>(value), 0x7FC12345U) << "expert " << expert;
          }
        }
      }
      for (const float value : got.x.span()) ASSERT_TRUE(std::isfinite(value));
    }
  });
}

TEST(GroupedFfnBackward, MayWriteOverTheGradientsOfItsOutput) {
  for_each_cpu_target([] {
    for (const ffn_form form : {ffn_form::relu, ffn_form::swiglu}) {
      ffn_case<float> one({form, {600, 3}, 9, 6}, test_seed());
      one.forward(forward_cpu);
      auto wanted = one.backward(backward_cpu);
      misaligned<float> both = one.dy;
      one.backward([&both](grouped_ffn_backward_args args) {
        args.y_gradients = both.span();
        args.x_gradients = both.span();
        grouped_ffn_backward_cpu(args);
      });
      ASSERT_TRUE(same_bits(both.span(), wanted.x.span()));
    }
  });
}

/// Third derivatives are of order 10 and values of order 10: with this step truncation is of order
/// 1e-9 and rounding of order 1e-10. relu is linear between its kinks, far enough from all x W1
/// here.
TEST(GroupedFfnBackward, EqualsCentralDifferencesOfTheReference) {
  constexpr double step = 0x1p-17;
  for (const ffn_form form : {ffn_form::relu, ffn_form::swiglu}) {
    ffn_case<double> one({form, {3, 0, 2}, 4, 5}, test_seed());
    one.forward(forward_ref);
    auto got = one.backward(backward_ref);
    const auto loss = [&one] {
      const misaligned<double> y = one.forward(forward_ref);
      double sum = 0.0;
      for (std::size_t i = 0; i < y.span().size(); ++i) sum += y.span()[i] * one.dy.span()[i];
      return sum;
    };
    const auto expect_gradients = [&loss](std::span<double> values, std::span<double> gradients) {
      double error = 0.0;
      double norm = 0.0;
      for (std::size_t i = 0; i < values.size(); ++i) {
        const double value = values[i];
        values[i] = value + step;
        const double above = loss();
        values[i] = value - step;
        const double below = loss();
        values[i] = value;
        const double wanted = (above - below) / (2.0 * step);
        error += std::pow(gradients[i] - wanted, 2);
        norm += std::pow(wanted, 2);
      }
      ASSERT_LE(std::sqrt(error), 1e-6 * std::sqrt(norm));
    };
    expect_gradients(one.x.span(), got.x.span());
    expect_gradients(one.w1.span(), got.w1.span());
    expect_gradients(one.w3.span(), got.w3.span());
    expect_gradients(one.w2.span(), got.w2.span());
  }
}

TEST(GroupedFfn, ComputesASmallCaseByHand) {
  for_each_cpu_target([] {
    ffn_case<float> relu({ffn_form::relu, {1, 1}, 1, 2}, 0);
    std::ranges::copy(std::array{2.0F, -3.0F}, relu.x.span().begin());
    std::ranges::copy(std::array{1.0F, -1.0F, 5.0F, -4.0F}, relu.w1.span().begin());
    std::ranges::copy(std::array{10.0F, 20.0F, 30.0F, 0.5F}, relu.w2.span().begin());
    misaligned<float> y = relu.forward(forward_cpu);
    EXPECT_EQ(y.span()[0], 20.0F);
    EXPECT_EQ(y.span()[1], 6.0F);
    ffn_case<float> gated({ffn_form::swiglu, {1}, 1, 1}, 0);
    gated.x.span()[0] = 2.0F;
    gated.w1.span()[0] = 0.5F;
    gated.w3.span()[0] = 1.5F;
    gated.w2.span()[0] = 4.0F;
    EXPECT_NEAR(gated.forward(forward_cpu).span()[0], 12.0 / (1.0 + std::exp(-1.0)), 1e-5);
  });
}

TEST(GroupedFfn, StaysFiniteWhereSigmoidIsZeroOrOne) {
  for_each_cpu_target([] {
    ffn_case<float> one({ffn_form::swiglu, {4}, 1, 1}, 0);
    std::ranges::copy(std::array{-1e4F, 1e4F, -200.0F, 200.0F}, one.x.span().begin());
    one.w1.span()[0] = 1.0F;
    const misaligned<float> y = one.forward(forward_cpu);
    for (const float value : y.span()) ASSERT_TRUE(std::isfinite(value));
    const auto gradients = one.backward(backward_cpu);
    for (const float value : gradients.x.span()) ASSERT_TRUE(std::isfinite(value));
  });
}

TEST(GroupedFfn, RefusesOffsetsThatDescend) {
  ffn_case<float> one({ffn_form::relu, {2, 3}, 2, 2}, test_seed());
  one.offsets.span()[1] = 6;
  EXPECT_DEATH(one.forward(forward_cpu), "offsets");
}

}  // namespace
}  // namespace headrace::kernels
