#include "kernels/cross/cross.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;

std::string describe(const cross_shape& s) {
  return std::to_string(s.rows) + " rows, dim " + std::to_string(s.dim) + ", rank " +
         std::to_string(s.rank);
}

std::size_t matrix_size(const cross_shape& s) {
  return s.rank == 0 ? s.dim * s.dim : 2 * s.dim * s.rank;
}

/// Values of the parameters: the matrix or both of them, then the bias.
template <class Value>
cross_weights<Value> parts(const cross_shape& s, std::span<Value> all) {
  const std::span<Value> bias = all.subspan(matrix_size(s));
  if (s.rank == 0) return {.full = all.first(s.dim * s.dim), .bias = bias};
  const std::size_t half = s.dim * s.rank;
  return {.down = all.first(half), .up = all.subspan(half, half), .bias = bias};
}

/// All inputs and outputs of a layer, forward and backward, in one type; float ones misaligned.
template <class Value>
struct layer {
  explicit layer(const cross_shape& s)
      : shape(s),
        x0(s.rows * s.dim),
        x(s.rows * s.dim),
        weights(matrix_size(s) + s.dim),
        g(s.rows * s.dim),
        out(s.rows * s.dim),
        affine(s.rows * s.dim),
        projected(s.rows * s.rank),
        dx(s.rows * s.dim),
        dx0(s.rows * s.dim),
        weight_gradients(matrix_size(s) + s.dim) {}

  template <class Each>
  void for_inputs(const Each& each) {
    for (auto* one : {&x0, &x, &weights, &g, &dx0, &weight_gradients}) each(one->span());
  }

  void forward(void (*op)(const basic_cross_args<Value>&)) {
    const Value poison = static_cast<Value>(std::nan(""));
    for (auto* one : {&out, &affine, &projected}) {
      std::fill(one->span().begin(), one->span().end(), poison);
    }
    misaligned<Value> workspace(cross_workspace(shape), poison);
    op({.shape = shape,
        .x0 = x0.span(),
        .x = x.span(),
        .weights = parts<const Value>(shape, weights.span()),
        .out = out.span(),
        .affine = affine.span(),
        .projected = projected.span(),
        .workspace = workspace.span()});
  }

  void backward(void (*op)(const basic_cross_backward_args<Value>&), bool in_place = false) {
    const Value poison = static_cast<Value>(std::nan(""));
    std::fill(dx.span().begin(), dx.span().end(), poison);
    if (in_place) dx = g;
    misaligned<Value> workspace(cross_backward_workspace(shape), poison);
    op({.shape = shape,
        .x0 = x0.span(),
        .x = x.span(),
        .weights = parts<const Value>(shape, weights.span()),
        .affine = affine.span(),
        .projected = projected.span(),
        .out_gradients = in_place ? dx.span() : g.span(),
        .x_gradients = dx.span(),
        .x0_gradients = dx0.span(),
        .weight_gradients = parts<Value>(shape, weight_gradients.span()),
        .workspace = workspace.span()});
  }

  cross_shape shape;
  misaligned<Value> x0, x, weights, g, out, affine, projected, dx, dx0, weight_gradients;
};

template <class Value>
void draw(layer<Value>& one, std::uint64_t seed) {
  random_stream random(seed);
  one.for_inputs([&random](auto values) {
    for (Value& value : values) value = static_cast<Value>(2.0 * random.next_unit() - 1.0);
  });
}

template <class Each>
void for_each_pair(layer<double>& to, const layer<float>& from, const Each& each) {
  const std::array<std::pair<misaligned<double>*, const misaligned<float>*>, 9> pairs = {
      {{&to.x0, &from.x0},
       {&to.x, &from.x},
       {&to.weights, &from.weights},
       {&to.g, &from.g},
       {&to.out, &from.out},
       {&to.affine, &from.affine},
       {&to.projected, &from.projected},
       {&to.dx0, &from.dx0},
       {&to.weight_gradients, &from.weight_gradients}}};
  for (const auto& [wide, narrow] : pairs) {
    for (std::size_t i = 0; i < narrow->span().size(); ++i)
      wide->span()[i] = each(static_cast<double>(narrow->span()[i]));
  }
}

/// The same layer in double, as it is and with absolute values.
struct exact_layers {
  explicit exact_layers(const layer<float>& one) : exact(one.shape), magnitude(one.shape) {
    for_each_pair(exact, one, [](double value) { return value; });
    for_each_pair(magnitude, one, [](double value) { return std::abs(value); });
  }
  layer<double> exact;
  layer<double> magnitude;
};

void expect_within(const misaligned<float>& got,
                   const misaligned<double>& exact,
                   const misaligned<double>& magnitude,
                   std::size_t steps,
                   const char* what) {
  const double unit = static_cast<double>(steps) * unit_roundoff;
  for (std::size_t i = 0; i < got.span().size(); ++i) {
    ASSERT_LE(std::abs(static_cast<double>(got.span()[i]) - exact.span()[i]),
              unit * magnitude.span()[i])
        << what << " at " << i;
  }
}

template <class Check>
void for_each_case(const Check& check) {
  for (const std::size_t rows : {0U, 1U, 5U, 33U}) {
    for (const std::size_t dim : {0U, 1U, 3U, 4U, 7U, 8U, 9U, 16U, 17U, 33U, 65U}) {
      for (const std::size_t rank : {0U, 1U, 5U}) {
        const cross_shape shape = {rows, dim, rank};
        SCOPED_TRACE(describe(shape));
        layer<float> one(shape);
        draw(one, test_seed() + rows * 1000 + dim);
        check(one);
      }
    }
  }
}

void expect_forward_within_bound(layer<float>& one, void (*op)(const cross_args&)) {
  exact_layers both(one);
  both.exact.forward(cross_ref);
  both.magnitude.forward(cross_ref);
  one.forward(op);
  const std::size_t steps = one.shape.dim + one.shape.rank + 8;
  expect_within(one.affine, both.exact.affine, both.magnitude.affine, steps, "affine");
  expect_within(one.projected, both.exact.projected, both.magnitude.projected, steps, "projected");
  expect_within(one.out, both.exact.out, both.magnitude.out, steps, "out");
}

TEST(Cross, StaysWithinItsBoundFullAndOfLowRank) {
  for_each_cpu_target([] {
    for_each_case([](layer<float>& one) { expect_forward_within_bound(one, cross_cpu); });
  });
  for_each_case([](layer<float>& one) { expect_forward_within_bound(one, cross_ref); });
}

void expect_backward_within_bound(layer<float> one,
                                  void (*op)(const cross_backward_args&),
                                  bool in_place) {
  one.forward(cross_ref);
  exact_layers both(one);
  both.exact.backward(cross_backward_ref);
  both.magnitude.backward(cross_backward_ref);
  one.backward(op, in_place);
  const std::size_t steps = one.shape.dim + one.shape.rows + one.shape.rank + 8;
  expect_within(one.dx, both.exact.dx, both.magnitude.dx, steps, "dx");
  expect_within(one.dx0, both.exact.dx0, both.magnitude.dx0, steps, "dx0");
  expect_within(one.weight_gradients,
                both.exact.weight_gradients,
                both.magnitude.weight_gradients,
                steps,
                "parameters");
}

TEST(CrossBackward, StaysWithinItsBoundAddingToWhatWasThere) {
  for_each_cpu_target([] {
    for_each_case([](layer<float>& one) {
      expect_backward_within_bound(one, cross_backward_cpu, false);
      expect_backward_within_bound(one, cross_backward_cpu, true);
    });
  });
  for_each_case(
      [](layer<float>& one) { expect_backward_within_bound(one, cross_backward_ref, false); });
}

TEST(Cross, GivesTheSameBitsTwiceInBothFloatModes) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for (const std::size_t rank : {0U, 6U}) {
        layer<float> one({.rows = 19, .dim = 45, .rank = rank});
        draw(one, test_seed());
        layer<float> again = one;
        expect_forward_within_bound(one, cross_cpu);
        again.forward(cross_cpu);
        expect_backward_within_bound(one, cross_backward_cpu, false);
        one.backward(cross_backward_cpu);
        again.backward(cross_backward_cpu);
        ASSERT_TRUE(same_bits(one.out.span(), again.out.span()));
        ASSERT_TRUE(same_bits(one.dx.span(), again.dx.span()));
        ASSERT_TRUE(same_bits(one.dx0.span(), again.dx0.span()));
        ASSERT_TRUE(same_bits(one.weight_gradients.span(), again.weight_gradients.span()));
      }
    });
  });
}

/// loss = <g, out>; the gradient of each input by central differences: out is at most of degree 3
/// in all of them together, of degree 1 in each value by itself.
void expect_central_differences(const cross_shape& shape) {
  layer<double> one(shape);
  draw(one, test_seed());
  for (auto* sums : {&one.dx0, &one.weight_gradients}) {
    std::fill(sums->span().begin(), sums->span().end(), 0.0);
  }
  const auto loss = [&one] {
    one.forward(cross_ref);
    double sum = 0.0;
    for (std::size_t i = 0; i < one.g.span().size(); ++i)
      sum += one.g.span()[i] * one.out.span()[i];
    return sum;
  };
  loss();
  one.backward(cross_backward_ref);
  const auto expect = [&loss](std::span<double> values, std::span<const double> gradients) {
    for (std::size_t i = 0; i < values.size(); ++i) {
      constexpr double step = 1e-5;
      const double value = values[i];
      values[i] = value + step;
      const double above = loss();
      values[i] = value - step;
      const double below = loss();
      values[i] = value;
      const double difference = (above - below) / (2.0 * step);
      ASSERT_NEAR(gradients[i], difference, 1e-6 * std::max(1.0, std::abs(difference)))
          << "at " << i;
    }
  };
  const layer<double> gradients = one;
  expect(one.x.span(), gradients.dx.span());
  expect(one.x0.span(), gradients.dx0.span());
  expect(one.weights.span(), gradients.weight_gradients.span());
}

TEST(CrossBackward, ReferenceEqualsCentralDifferencesInDouble) {
  expect_central_differences({.rows = 3, .dim = 5, .rank = 0});
  expect_central_differences({.rows = 3, .dim = 5, .rank = 2});
}

/// W [in, out] sends input 0 to output 1: the orientation that the header states.
TEST(Cross, ComputesASmallCaseByHand) {
  for_each_cpu_target([] {
    layer<float> full({.rows = 1, .dim = 2, .rank = 0});
    std::ranges::copy(std::array{2.0F, 3.0F}, full.x0.span().begin());
    std::ranges::copy(std::array{5.0F, 7.0F}, full.x.span().begin());
    std::ranges::copy(std::array{0.0F, 1.0F, 0.0F, 0.0F, 0.5F, -1.0F}, full.weights.span().begin());
    full.forward(cross_cpu);
    EXPECT_EQ(full.affine.span()[0], 0.5F);
    EXPECT_EQ(full.affine.span()[1], 4.0F);
    EXPECT_EQ(full.out.span()[0], 6.0F);
    EXPECT_EQ(full.out.span()[1], 19.0F);
    layer<float> low({.rows = 1, .dim = 2, .rank = 1});
    low.x0 = full.x0;
    low.x = full.x;
    std::ranges::copy(std::array{1.0F, 0.0F, 0.0F, 1.0F, 0.5F, -1.0F}, low.weights.span().begin());
    low.forward(cross_cpu);
    EXPECT_EQ(low.projected.span()[0], 5.0F);
    EXPECT_TRUE(same_bits(low.out.span(), full.out.span()));
  });
}

TEST(Cross, RefusesAWorkspaceThatIsTooSmall) {
  layer<float> one({.rows = 40, .dim = 40, .rank = 0});
  std::vector<float> workspace(cross_backward_workspace(one.shape) - 1);
  EXPECT_DEATH(
      cross_backward_cpu({.shape = one.shape,
                          .x0 = one.x0.span(),
                          .x = one.x.span(),
                          .weights = parts<const float>(one.shape, one.weights.span()),
                          .affine = one.affine.span(),
                          .out_gradients = one.g.span(),
                          .x_gradients = one.dx.span(),
                          .x0_gradients = one.dx0.span(),
                          .weight_gradients = parts<float>(one.shape, one.weight_gradients.span()),
                          .workspace = workspace}),
      "workspace");
}

}  // namespace
}  // namespace headrace::kernels
