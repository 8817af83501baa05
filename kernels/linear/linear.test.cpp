#include "kernels/linear/linear.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;
constexpr double slope_max = 1.13;
constexpr float poison = std::numeric_limits<float>::quiet_NaN();
constexpr std::array activations = {linear_activation::none,
                                    linear_activation::relu,
                                    linear_activation::sigmoid,
                                    linear_activation::silu,
                                    linear_activation::gelu,
                                    linear_activation::tanh};

struct linear_shape {
  std::size_t rows = 1;
  std::size_t in = 1;
  std::size_t out = 1;
  bool biased = true;
  linear_activation activation = linear_activation::none;
};

std::string describe(const linear_shape& s) {
  return std::to_string(s.rows) + " rows, " + std::to_string(s.in) + " to " +
         std::to_string(s.out) + (s.biased ? ", biased" : "") + ", activation " +
         std::to_string(static_cast<int>(s.activation));
}

/// Inputs and outputs of a layer, forward and backward, each misaligned.
template <class Value>
struct layer {
  explicit layer(const linear_shape& s)
      : shape(s),
        x(s.rows * s.in),
        weights(s.in * s.out),
        bias(s.biased ? s.out : 0),
        y(s.rows * s.out),
        saved(linear_reads_saved(s.activation) ? s.rows * s.out : 0),
        dy(s.rows * s.out),
        dx(s.rows * s.in),
        dweights(s.in * s.out),
        dbias(s.biased ? s.out : 0) {}

  basic_linear_args<Value> forward_args(std::span<Value> workspace = {}) {
    return {.x = x.span(),
            .weights = weights.span(),
            .bias = bias.span(),
            .rows = shape.rows,
            .in = shape.in,
            .out = shape.out,
            .activation = shape.activation,
            .y = y.span(),
            .saved = saved.span(),
            .workspace = workspace};
  }
  basic_linear_backward_args<Value> backward_args(std::span<Value> workspace = {}) {
    return {.x = x.span(),
            .weights = weights.span(),
            .y = linear_reads_y(shape.activation) ? y.span() : std::span<Value>(),
            .saved = saved.span(),
            .dy = dy.span(),
            .rows = shape.rows,
            .in = shape.in,
            .out = shape.out,
            .activation = shape.activation,
            .dx = dx.span(),
            .dweights = dweights.span(),
            .dbias = dbias.span(),
            .workspace = workspace};
  }

  linear_shape shape;
  misaligned<Value> x;
  misaligned<Value> weights;
  misaligned<Value> bias;
  misaligned<Value> y;
  misaligned<Value> saved;
  misaligned<Value> dy;
  misaligned<Value> dx;
  misaligned<Value> dweights;  // before backward: what it adds to
  misaligned<Value> dbias;
};

template <class Value>
void draw(layer<Value>& one, std::uint64_t seed) {
  random_stream random(seed);
  const auto fill = [&random](std::span<Value> values, float scale) {
    for (Value& value : values) {
      value = static_cast<Value>(random.next_below(9) == 0 ? 0.0F : next_signed(random, scale));
    }
  };
  fill(one.x.span(), 2.0F);
  fill(one.weights.span(), 1.0F);
  fill(one.bias.span(), 1.0F);
  fill(one.dy.span(), 1.0F);
  fill(one.dweights.span(), 1.0F);
  fill(one.dbias.span(), 1.0F);
}

layer<float> drawn(const linear_shape& shape) {
  layer<float> one(shape);
  draw(one, test_seed() + shape.rows * 1'000'003 + shape.in * 1009 + shape.out);
  linear_forward_ref(one.forward_args());
  return one;
}

/// The same numbers in double, or their absolute values without an activation: what bounds sum.
layer<double> widened(layer<float>& one, bool absolute) {
  linear_shape shape = one.shape;
  if (absolute) shape.activation = linear_activation::none;
  layer<double> wide(shape);
  const auto copy = [absolute](std::span<float> from, std::span<double> to) {
    for (std::size_t i = 0; i < to.size(); ++i) {
      to[i] = absolute ? std::abs(static_cast<double>(from[i])) : static_cast<double>(from[i]);
    }
  };
  copy(one.x.span(), wide.x.span());
  copy(one.weights.span(), wide.weights.span());
  copy(one.bias.span(), wide.bias.span());
  copy(one.y.span(), wide.y.span());
  copy(one.saved.span(), wide.saved.span());
  copy(one.dy.span(), wide.dy.span());
  copy(one.dweights.span(), wide.dweights.span());
  copy(one.dbias.span(), wide.dbias.span());
  return wide;
}

/// What linear_cpu makes of a layer, its outputs from NaN, its workspace full of `garbage`.
layer<float> run(const layer<float>& from, float garbage = poison) {
  layer<float> one = from;
  const linear_shape& s = one.shape;
  misaligned<float> workspace(linear_workspace(s.rows, s.in, s.out), garbage);
  for (const std::span<float> written : {one.y.span(), one.saved.span(), one.dx.span()}) {
    std::fill(written.begin(), written.end(), poison);
  }
  linear_forward_cpu(one.forward_args(workspace.span()));
  layer<float> with_reference = from;  // backward is held to its own inputs, not to forward's error
  std::fill(with_reference.dx.span().begin(), with_reference.dx.span().end(), poison);
  linear_backward_cpu(with_reference.backward_args(workspace.span()));
  one.dx = with_reference.dx;
  one.dweights = with_reference.dweights;
  one.dbias = with_reference.dbias;
  return one;
}

/// |got - exact| <= bound(at), which a NaN fails.
template <class Bound>
void check_within(const char* what,
                  std::span<float> got,
                  std::span<double> exact,
                  const Bound& bound) {
  for (std::size_t at = 0; at < got.size(); ++at) {
    ASSERT_LE(std::abs(static_cast<double>(got[at]) - exact[at]), bound(at))
        << what << " at " << at << ": " << got[at] << ", exact " << exact[at];
  }
}

void check_forward(layer<float>& from, layer<float>& got) {
  layer<double> exact = widened(from, false);
  layer<double> terms = widened(from, true);
  linear_forward_ref(exact.forward_args());
  linear_forward_ref(terms.forward_args());
  const auto z_bound = [&](std::size_t at) {
    return static_cast<double>(from.shape.in + 3) * unit_roundoff * terms.y.span()[at];
  };
  const auto y_bound = [&](std::size_t at) {
    const double own = 16.0 * unit_roundoff * (1.0 + std::abs(exact.y.span()[at]));
    return slope_max * z_bound(at) + own;
  };
  check_within("saved", got.saved.span(), exact.saved.span(), z_bound);
  check_within("y", got.y.span(), exact.y.span(), y_bound);
}

void check_backward(layer<float>& from, layer<float>& got) {
  layer<double> exact = widened(from, false);
  layer<double> before = widened(from, true);
  layer<double> terms = widened(from, true);
  std::fill(terms.dweights.span().begin(), terms.dweights.span().end(), 0.0);
  std::fill(terms.dbias.span().begin(), terms.dbias.span().end(), 0.0);
  linear_backward_ref(exact.backward_args());
  linear_backward_ref(terms.backward_args());
  const double out_steps = static_cast<double>(from.shape.out + 20) * unit_roundoff;
  const double row_steps = static_cast<double>(from.shape.rows + 20) * unit_roundoff;
  check_within("dx", got.dx.span(), exact.dx.span(), [&](std::size_t at) {
    return slope_max * out_steps * terms.dx.span()[at];
  });
  check_within("dweights", got.dweights.span(), exact.dweights.span(), [&](std::size_t at) {
    return row_steps * (slope_max * terms.dweights.span()[at] + before.dweights.span()[at]);
  });
  check_within("dbias", got.dbias.span(), exact.dbias.span(), [&](std::size_t at) {
    return row_steps * (slope_max * terms.dbias.span()[at] + before.dbias.span()[at]);
  });
}

void check_shape(const linear_shape& shape) {
  SCOPED_TRACE(describe(shape));
  layer<float> one = drawn(shape);
  for_each_cpu_target([&one] {
    layer<float> got = run(one);
    check_forward(one, got);
    check_backward(one, got);
    layer<float> again = run(one, 3.0F);
    ASSERT_TRUE(same_bits(again.y.span(), got.y.span()));
    ASSERT_TRUE(same_bits(again.saved.span(), got.saved.span()));
    ASSERT_TRUE(same_bits(again.dx.span(), got.dx.span()));
    ASSERT_TRUE(same_bits(again.dweights.span(), got.dweights.span()));
    ASSERT_TRUE(same_bits(again.dbias.span(), got.dbias.span()));
  });
}

void check_every_activation(linear_shape shape) {
  for (const linear_activation activation : activations) {
    shape.activation = activation;
    check_shape(shape);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(Linear, StaysWithinItsBoundsForSizesAtEveryEdge) {
  for (const std::size_t rows : {0U, 1U, 2U, 5U, 19U}) {
    for (const std::size_t in : {0U, 1U, 3U, 16U, 35U}) {
      for (const std::size_t out : {0U, 1U, 2U, 7U, 16U, 33U}) {
        check_every_activation(
            {.rows = rows, .in = in, .out = out, .biased = (rows + in + out) % 3 != 0});
      }
    }
  }
}

TEST(Linear, StaysWithinItsBoundsAcrossChunksOfRows) {
  for (const auto activation : {linear_activation::none, linear_activation::silu}) {
    check_shape({.rows = 259, .in = 3, .out = 515, .activation = activation});  // 254 + 5 rows
  }
}

TEST(Linear, StaysWithinItsBoundsWhereSubnormalsAreFlushed) {
  in_both_float_modes([] { check_every_activation({.rows = 9, .in = 21, .out = 19}); });
}

/// One input of weight 1, so that z is the value, and one row each.
TEST(Linear, ActivationsKeepTheirBoundsAtTheEndsOfTheRange) {
  const std::array<float, 19> ends = {0.0F,
                                      -0.0F,
                                      1e-30F,
                                      -1e-30F,
                                      0.5F,
                                      -0.5F,
                                      3.0F,
                                      -3.0F,
                                      9.0F,
                                      -9.0F,
                                      15.9F,
                                      -15.9F,
                                      16.1F,
                                      -16.1F,
                                      88.0F,
                                      -88.0F,
                                      -104.0F,
                                      1e30F,
                                      -1e30F};
  in_both_float_modes([&ends] {
    for (const linear_activation activation : activations) {
      layer<float> one({.rows = ends.size(), .biased = false, .activation = activation});
      SCOPED_TRACE(describe(one.shape));
      std::copy(ends.begin(), ends.end(), one.x.span().begin());
      one.weights.span()[0] = 1.0F;
      std::fill(one.dy.span().begin(), one.dy.span().end(), 1.0F);
      linear_forward_ref(one.forward_args());
      for_each_cpu_target([&one] {
        layer<float> got = run(one);
        check_forward(one, got);
        check_backward(one, got);
      });
    }
  });
}

TEST(Linear, NaNReachesItsRowAndNoOther) {
  for (const linear_activation activation : activations) {
    layer<float> one = drawn({.rows = 3, .in = 4, .out = 21, .activation = activation});
    one.x.span()[4] = poison;
    for_each_cpu_target([&one] {
      layer<float> got = run(one);
      for (std::size_t at = 0; at < got.y.span().size(); ++at) {
        ASSERT_EQ(std::isnan(got.y.span()[at]), at / 21 == 1) << describe(one.shape) << " " << at;
      }
    });
  }
}

/// Σ dy y of the reference in double.
double loss(layer<double>& one) {
  linear_forward_ref(one.forward_args());
  double sum = 0.0;
  for (std::size_t at = 0; at < one.y.span().size(); ++at) {
    sum += one.dy.span()[at] * one.y.span()[at];
  }
  return sum;
}

/// Truncation is some step² / 6 of a third derivative below 2 |dy x³|, rounding 1e-16 of the loss
/// over the step: below 1e-9 together.
void check_differences(layer<double>& one, std::span<double> of, std::span<const double> gradient) {
  constexpr double step = 1e-5;
  for (std::size_t at = 0; at < of.size(); ++at) {
    const double value = of[at];
    of[at] = value + step;
    const double above = loss(one);
    of[at] = value - step;
    const double below = loss(one);
    of[at] = value;
    ASSERT_NEAR(gradient[at], (above - below) / (2.0 * step), 1e-6 * std::abs(gradient[at]) + 1e-8)
        << "at " << at;
  }
}

TEST(LinearBackward, EqualsCentralDifferencesOfTheReference) {
  for (const linear_activation activation : activations) {
    layer<double> one({.rows = 4, .in = 5, .out = 3, .activation = activation});
    SCOPED_TRACE(describe(one.shape));
    draw(one, test_seed());
    for (double& value : one.bias.span()) value += 1e-4;  // no z on relu's corner
    std::fill(one.dweights.span().begin(), one.dweights.span().end(), 0.0);
    std::fill(one.dbias.span().begin(), one.dbias.span().end(), 0.0);
    linear_forward_ref(one.forward_args());
    linear_backward_ref(one.backward_args());
    check_differences(one, one.x.span(), one.dx.span());
    check_differences(one, one.weights.span(), one.dweights.span());
    check_differences(one, one.bias.span(), one.dbias.span());
  }
}

TEST(LinearBackward, GivesTheSameParameterGradientsWithoutDx) {
  for_each_cpu_target([] {
    layer<float> one = drawn({.rows = 7, .in = 6, .out = 9, .activation = linear_activation::relu});
    layer<float> wanted = run(one);
    std::vector<float> workspace(linear_workspace(7, 6, 9));
    linear_backward_args args = one.backward_args(workspace);
    args.dx = {};
    args.dbias = {};
    linear_backward(args);
    ASSERT_TRUE(same_bits(one.dweights.span(), wanted.dweights.span()));
  });
}

TEST(Linear, ComputesASmallCaseByHand) {
  const std::array<float, 2> x = {2.0F, -1.0F};
  const std::array<float, 4> weights = {1.0F, 2.0F, 3.0F, 5.0F};
  const std::array<float, 2> bias = {0.5F, 0.5F};
  const std::array<float, 2> dy = {10.0F, 100.0F};
  std::vector<float> workspace(linear_workspace(1, 2, 2));
  for_each_cpu_target([&] {
    std::array<float, 2> y{};
    linear_forward({.x = x,
                    .weights = weights,
                    .bias = bias,
                    .rows = 1,
                    .in = 2,
                    .out = 2,
                    .activation = linear_activation::relu,
                    .y = y,
                    .workspace = workspace});
    EXPECT_EQ(y, (std::array{0.0F, 0.0F}));  // relu(2 - 3 + 0.5), relu(4 - 5 + 0.5)
    y = {0.0F, 4.0F};
    std::array<float, 2> dx{};
    std::array<float, 4> dweights = {1.0F, 1.0F, 1.0F, 1.0F};
    std::array<float, 2> dbias = {1.0F, 1.0F};
    linear_backward({.x = x,
                     .weights = weights,
                     .y = y,
                     .dy = dy,
                     .rows = 1,
                     .in = 2,
                     .out = 2,
                     .activation = linear_activation::relu,
                     .dx = dx,
                     .dweights = dweights,
                     .dbias = dbias,
                     .workspace = workspace});
    EXPECT_EQ(dx, (std::array{200.0F, 500.0F}));
    EXPECT_EQ(dweights, (std::array{1.0F, 201.0F, 1.0F, -99.0F}));
    EXPECT_EQ(dbias, (std::array{1.0F, 101.0F}));
  });
}

TEST(Linear, NeedsNoMoreWorkspaceForFewerRows) {
  for (std::size_t rows = 1; rows < 1000; ++rows) {
    ASSERT_LE(linear_workspace(rows - 1, 429, 256), linear_workspace(rows, 429, 256)) << rows;
  }
}

TEST(Linear, RefusesSavedThatIsNotWanted) {
  layer<float> one({.rows = 2, .in = 2, .out = 2});
  std::vector<float> workspace(linear_workspace(2, 2, 2));
  linear_args args = one.forward_args(workspace);
  args.saved = one.dy.span();
  EXPECT_DEATH(linear_forward_cpu(args), "saved");
}

}  // namespace
}  // namespace headrace::kernels
