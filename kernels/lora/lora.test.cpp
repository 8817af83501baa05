#include "kernels/lora/lora.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;

/// All that forward and backward read and write, as one type of value.
template <class Value>
struct lora_case {
  explicit lora_case(const lora_sizes& s)
      : sizes(s),
        x(s.rows * s.inputs),
        a(s.inputs * s.rank),
        b(s.rank * s.outputs),
        hidden(s.rows * s.rank),
        y(s.rows * s.outputs),
        dy(y.span().size()),
        dx(x.span().size()),
        da(a.span().size()),
        db(b.span().size()),
        workspace(lora_workspace(s)) {}

  void draw(std::uint64_t seed) {
    random_stream random(seed);
    for (auto* values : {&x, &a, &b, &y, &dy, &dx, &da, &db}) {
      for (Value& value : values->span()) value = static_cast<Value>(next_signed(random));
    }
    spoil();
  }
  /// What is written, not added to, holds no numbers before.
  void spoil() {
    for (auto* values : {&hidden, &workspace}) {
      for (Value& value : values->span()) value = std::numeric_limits<Value>::quiet_NaN();
    }
  }

  template <class Op>
  void forward(const Op& op) {
    op(basic_lora_forward_args<Value>{.sizes = sizes,
                                      .x = x.span(),
                                      .a = a.span(),
                                      .b = b.span(),
                                      .scale = scale,
                                      .hidden = hidden.span(),
                                      .y = y.span(),
                                      .workspace = workspace.span()});
  }
  template <class Op>
  void backward(const Op& op) {
    op(basic_lora_backward_args<Value>{.sizes = sizes,
                                       .x = x.span(),
                                       .a = a.span(),
                                       .b = b.span(),
                                       .scale = scale,
                                       .hidden = hidden.span(),
                                       .y_gradients = dy.span(),
                                       .x_gradients = dx.span(),
                                       .a_gradients = da.span(),
                                       .b_gradients = db.span(),
                                       .workspace = workspace.span()});
  }

  Value scale = Value{-0.75};
  lora_sizes sizes;
  misaligned<Value> x, a, b, hidden, y, dy, dx, da, db, workspace;
};

constexpr auto forward_ref = [](const auto& args) { lora_forward_ref(args); };
constexpr auto backward_ref = [](const auto& args) { lora_backward_ref(args); };

/// The same numbers as doubles, or their magnitudes.
lora_case<double> widened(lora_case<float>& from, bool magnitudes) {
  lora_case<double> to(from.sizes);
  to.scale = magnitudes ? std::abs(static_cast<double>(from.scale)) : from.scale;
  const auto copy = [magnitudes](std::span<const float> values, std::span<double> out) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      out[i] = static_cast<double>(magnitudes ? std::abs(values[i]) : values[i]);
    }
  };
  copy(from.x.span(), to.x.span());
  copy(from.a.span(), to.a.span());
  copy(from.b.span(), to.b.span());
  copy(from.hidden.span(), to.hidden.span());
  copy(from.y.span(), to.y.span());
  copy(from.dy.span(), to.dy.span());
  copy(from.dx.span(), to.dx.span());
  copy(from.da.span(), to.da.span());
  copy(from.db.span(), to.db.span());
  return to;
}

void expect_near(std::span<const float> got,
                 std::span<const double> exact,
                 std::span<const double> magnitudes,
                 std::size_t steps) {
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double bound = static_cast<double>(steps + 8) * unit_roundoff * magnitudes[i];
    ASSERT_LE(std::abs(static_cast<double>(got[i]) - exact[i]), bound) << "at " << i;
  }
}

template <class Check>
void for_each_case(const Check& check) {
  const std::vector<lora_sizes> all = {{0, 3, 2, 4},
                                       {3, 0, 2, 4},
                                       {3, 4, 0, 5},
                                       {3, 4, 2, 0},
                                       {1, 1, 1, 1},
                                       {1, 64, 8, 33},
                                       {2, 7, 3, 9},
                                       {5, 17, 4, 16},
                                       {16, 31, 8, 65},
                                       {33, 130, 16, 47}};
  for (const lora_sizes& sizes : all) {
    SCOPED_TRACE(std::to_string(sizes.rows) + " rows, " + std::to_string(sizes.inputs) + " x " +
                 std::to_string(sizes.rank) + " x " + std::to_string(sizes.outputs));
    lora_case<float> one(sizes);
    one.draw(test_seed() + sizes.inputs);
    check(one);
  }
}

template <class Forward>
void expect_forward_within_bound(lora_case<float> one, const Forward& forward) {
  lora_case<double> exact = widened(one, false);
  lora_case<double> magnitudes = widened(one, true);
  exact.forward(forward_ref);
  magnitudes.forward(forward_ref);
  one.forward(forward);
  const auto& [rows, inputs, rank, outputs] = one.sizes;
  expect_near(one.y.span(), exact.y.span(), magnitudes.y.span(), inputs + rank);
  expect_near(one.hidden.span(), exact.hidden.span(), magnitudes.hidden.span(), inputs);
}

template <class Backward>
void expect_backward_within_bound(lora_case<float> one, const Backward& backward) {
  one.forward(forward_ref);
  lora_case<double> exact = widened(one, false);
  lora_case<double> magnitudes = widened(one, true);
  exact.backward(backward_ref);
  magnitudes.backward(backward_ref);
  one.backward(backward);
  const auto& [rows, inputs, rank, outputs] = one.sizes;
  expect_near(one.dx.span(), exact.dx.span(), magnitudes.dx.span(), outputs + rank);
  expect_near(one.da.span(), exact.da.span(), magnitudes.da.span(), outputs + rows);
  expect_near(one.db.span(), exact.db.span(), magnitudes.db.span(), rows);
}

TEST(Lora, StaysWithinItsBoundsForwardAndBackward) {
  for_each_case([](const lora_case<float>& one) {
    expect_forward_within_bound(one, forward_ref);
    expect_backward_within_bound(one, backward_ref);
    for_each_cpu_target([&] {
      expect_forward_within_bound(one, lora_forward_cpu);
      expect_backward_within_bound(one, lora_backward_cpu);
    });
  });
}

/// <dy, y> in double; y begins at 0.
double loss(lora_case<double> one) {
  for (double& value : one.y.span()) value = 0.0;
  one.forward(forward_ref);
  double sum = 0.0;
  for (std::size_t i = 0; i < one.y.span().size(); ++i) sum += one.y.span()[i] * one.dy.span()[i];
  return sum;
}

/// The loss is linear in x, a and b each, so central differences are exact but for rounding.
TEST(Lora, GradientsOfTheReferenceEqualCentralDifferences) {
  constexpr double step = 1e-3;
  lora_case<double> one({.rows = 3, .inputs = 5, .rank = 2, .outputs = 4});
  one.draw(test_seed());
  for (auto* gradients : {&one.dx, &one.da, &one.db}) {
    for (double& value : gradients->span()) value = 0.0;
  }
  one.forward(forward_ref);
  one.backward(backward_ref);
  const auto expect_slopes = [&one](misaligned<double>& of, const misaligned<double>& gradients) {
    for (std::size_t i = 0; i < of.span().size(); ++i) {
      const double value = of.span()[i];
      of.span()[i] = value + step;
      const double above = loss(one);
      of.span()[i] = value - step;
      const double below = loss(one);
      of.span()[i] = value;
      const double slope = (above - below) / (2.0 * step);
      ASSERT_NEAR(gradients.span()[i], slope, 1e-9 * std::max(1.0, std::abs(slope))) << "at " << i;
    }
  };
  expect_slopes(one.x, one.dx);
  expect_slopes(one.a, one.da);
  expect_slopes(one.b, one.db);
}

TEST(Lora, GivesTheSameBitsTwice) {
  for_each_cpu_target([] {
    for_each_case([](const lora_case<float>& one) {
      lora_case<float> first = one;
      lora_case<float> second = one;
      for (lora_case<float>* each : {&first, &second}) {
        each->forward(lora_forward_cpu);
        each->backward(lora_backward_cpu);
      }
      ASSERT_TRUE(same_bits(first.y.span(), second.y.span()));
      ASSERT_TRUE(same_bits(first.dx.span(), second.dx.span()));
      ASSERT_TRUE(same_bits(first.da.span(), second.da.span()));
      ASSERT_TRUE(same_bits(first.db.span(), second.db.span()));
    });
  });
}

TEST(Lora, ChangesNothingWhileBIsZero) {
  for_each_cpu_target([] {
    lora_case<float> one({.rows = 3, .inputs = 5, .rank = 2, .outputs = 4});
    one.draw(test_seed());
    for (float& value : one.b.span()) value = 0.0F;
    misaligned<float> before = one.y;
    one.forward(lora_forward_cpu);
    EXPECT_TRUE(same_bits(one.y.span(), before.span()));
  });
}

TEST(Lora, ComputesASmallCaseByHandWithoutGradientsOfX) {
  const std::array<float, 2> x = {1.0F, 2.0F};
  const std::array<float, 2> a = {3.0F, 4.0F};
  const std::array<float, 1> b = {5.0F};
  const std::array<float, 1> dy = {10.0F};
  const lora_sizes sizes = {.rows = 1, .inputs = 2, .rank = 1, .outputs = 1};
  std::vector<float> workspace(lora_workspace(sizes));
  for_each_cpu_target([&] {
    std::array<float, 1> hidden{};
    std::array<float, 1> y = {1.0F};
    lora_forward_cpu({.sizes = sizes,
                      .x = x,
                      .a = a,
                      .b = b,
                      .scale = 0.5F,
                      .hidden = hidden,
                      .y = y,
                      .workspace = workspace});
    EXPECT_EQ(hidden[0], 5.5F);
    EXPECT_EQ(y[0], 28.5F);
    std::array<float, 2> da = {1.0F, 1.0F};
    std::array<float, 1> db = {1.0F};
    lora_backward_cpu({.sizes = sizes,
                       .x = x,
                       .a = a,
                       .b = b,
                       .scale = 0.5F,
                       .hidden = hidden,
                       .y_gradients = dy,
                       .x_gradients = {},
                       .a_gradients = da,
                       .b_gradients = db,
                       .workspace = workspace});
    EXPECT_EQ(da, (std::array{26.0F, 51.0F}));
    EXPECT_EQ(db[0], 56.0F);
  });
}

TEST(Lora, RefusesAWorkspaceThatIsTooSmall) {
  lora_case<float> one({.rows = 3, .inputs = 5, .rank = 2, .outputs = 4});
  one.workspace = misaligned<float>(5);
  EXPECT_DEATH(one.forward(lora_forward_cpu), "workspace");
}

}  // namespace
}  // namespace headrace::kernels
