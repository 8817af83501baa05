#include "kernels/layer_norm/layer_norm.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr float poison = std::numeric_limits<float>::quiet_NaN();

struct norm_shape {
  norm_kind kind = norm_kind::layer;
  std::size_t rows = 1;
  std::size_t dim = 1;
  bool added = false;   // with a residual forward, with gradients of the sum backward
  float offset = 0.0F;  // of every value, so that the mean is far from 0
  float scale = 1.0F;
};

template <class Value>
std::vector<Value> widened(std::span<const float> values) {
  return {values.begin(), values.end()};
}

/// Inputs of one case for both directions. As floats they lie misaligned; as doubles they are what
/// the exact results are computed from.
template <class Value>
struct norm_case {
  norm_case(const norm_shape& s, std::uint64_t seed)
      : shape(s),
        x(s.rows * s.dim),
        residual(s.added ? s.rows * s.dim : 0),
        gain(s.dim),
        bias(centred() ? s.dim : 0),
        dy(s.rows * s.dim),
        ds(residual.span().size()) {
    random_stream random(seed);
    const auto fill = [&random](std::span<Value> values, float scale, float offset) {
      for (Value& value : values) value = static_cast<Value>(offset + next_signed(random, scale));
    };
    fill(x.span(), s.scale, s.offset);
    fill(residual.span(), s.scale, 0.0F);
    fill(gain.span(), 2.0F, 0.0F);
    fill(bias.span(), 1.0F, 0.0F);
    fill(dy.span(), 1.0F, 0.0F);
    fill(ds.span(), 1.0F, 0.0F);
    if (s.rows > 2) std::fill_n(x.span().begin(), s.dim, Value{0});
  }
  explicit norm_case(const norm_case<float>& other) requires(!std::is_same_v<Value, float>)
      : norm_case(other.shape, 0) {
    const auto copy = [](std::span<const float> from, std::span<Value> to) {
      std::copy(from.begin(), from.end(), to.begin());
    };
    copy(other.x.span(), x.span());
    copy(other.residual.span(), residual.span());
    copy(other.gain.span(), gain.span());
    copy(other.bias.span(), bias.span());
    copy(other.dy.span(), dy.span());
    copy(other.ds.span(), ds.span());
  }
  bool centred() const { return shape.kind == norm_kind::layer; }

  norm_shape shape;
  misaligned<Value> x;
  misaligned<Value> residual;
  misaligned<Value> gain;
  misaligned<Value> bias;
  misaligned<Value> dy;
  misaligned<Value> ds;
};

template <class Value>
struct forward_result {
  template <class Forward>
  forward_result(const norm_case<Value>& one, const Forward& op)
      : sum(one.residual.span().size(), Value{poison}),
        y(one.x.span().size(), Value{poison}),
        mean(one.centred() ? one.shape.rows : 0, Value{poison}),
        rstd(one.shape.rows, Value{poison}) {
    op(basic_layer_norm_forward_args<Value>{.kind = one.shape.kind,
                                            .x = one.x.span(),
                                            .residual = one.residual.span(),
                                            .gain = one.gain.span(),
                                            .bias = one.bias.span(),
                                            .dim = one.shape.dim,
                                            .epsilon = static_cast<Value>(1e-5F),
                                            .sum = sum.span(),
                                            .y = y.span(),
                                            .mean = mean.span(),
                                            .rstd = rstd.span()});
  }
  std::span<const Value> s(const norm_case<Value>& one) const {
    return one.shape.added ? sum.span() : one.x.span();
  }
  misaligned<Value> sum;
  misaligned<Value> y;
  misaligned<Value> mean;
  misaligned<Value> rstd;
};

template <class Value>
struct backward_result {
  /// The parameters' gradients start from `before`.
  template <class Backward>
  backward_result(const norm_case<Value>& one,
                  std::span<const Value> s,
                  std::span<const Value> mean,
                  std::span<const Value> rstd,
                  const Backward& op,
                  Value before = Value{0.75})
      : dx(s.size(), Value{poison}),
        dgain(one.shape.dim, before),
        dbias(one.bias.span().size(), before) {
    op(basic_layer_norm_backward_args<Value>{.kind = one.shape.kind,
                                             .sum = s,
                                             .gain = one.gain.span(),
                                             .dim = one.shape.dim,
                                             .mean = mean,
                                             .rstd = rstd,
                                             .y_gradients = one.dy.span(),
                                             .sum_gradients = one.ds.span(),
                                             .x_gradients = dx.span(),
                                             .gain_gradients = dgain.span(),
                                             .bias_gradients = dbias.span()});
  }
  misaligned<Value> dx;
  misaligned<Value> dgain;
  misaligned<Value> dbias;
};

// References by one name for both types.
constexpr auto forward_ref = [](const auto& args) { layer_norm_forward_ref(args); };
constexpr auto backward_ref = [](const auto& args) { layer_norm_backward_ref(args); };

template <class Check>
void for_each_case(const Check& check) {
  std::vector<std::size_t> dims = test_dims();
  dims.push_back(1000);
  for (const norm_kind kind : {norm_kind::layer, norm_kind::rms}) {
    for (const std::size_t rows : {0U, 1U, 3U, 4U, 9U}) {
      for (const std::size_t dim : dims) {
        const bool added = (rows + dim) % 2 == 0;
        const float offset = dim % 3 == 0 ? 50.0F : 0.0F;
        const float scale = dim % 5 == 0 ? 1e-3F : 1.0F;
        SCOPED_TRACE((kind == norm_kind::rms ? "rms, " : "layer, ") + std::to_string(rows) +
                     " rows of " + std::to_string(dim) + (added ? " added" : ""));
        check(norm_case<float>({kind, rows, dim, added, offset, scale}, test_seed() + dim));
      }
    }
  }
}

template <class Left, class Right>
double distance(std::span<Left> left, std::span<Right> right) {
  double sum = 0.0;
  for (std::size_t i = 0; i < left.size(); ++i) {
    sum += std::pow(static_cast<double>(left[i]) - static_cast<double>(right[i]), 2);
  }
  return std::sqrt(sum);
}

double norm(std::span<const double> values) {
  return distance(values, std::span<const double>(std::vector<double>(values.size())));
}

/// The row's ||y error||, and what the header allows.
void expect_forward_in_bound(const norm_case<double>& exact_case,
                             forward_result<double>& exact,
                             forward_result<float>& got) {
  const std::size_t dim = exact_case.shape.dim;
  const std::span<const double> s = exact.s(exact_case);
  for (std::size_t r = 0; r < exact_case.shape.rows; ++r) {
    const double rstd = exact.rstd.span()[r];
    const double mean = exact_case.centred() ? exact.mean.span()[r] : 0.0;
    const double size = norm(exact_case.gain.span()) * std::abs(mean) * rstd +
                        (exact_case.centred() ? distance(exact.y.span().subspan(r * dim, dim),
                                                         exact_case.bias.span())
                                              : norm(exact.y.span().subspan(r * dim, dim)));
    const auto y = got.y.span().subspan(r * dim, dim);
    ASSERT_LE(distance(y, exact.y.span().subspan(r * dim, dim)),
              1e-5 * size + 0x1p-23 * norm(exact.y.span().subspan(r * dim, dim)))
        << "row " << r;
    ASSERT_NEAR(got.rstd.span()[r], rstd, 1e-5 * rstd * (1.0 + std::abs(mean) * rstd));
    if (!exact_case.centred()) continue;
    double magnitude = 0.0;
    for (const double value : s.subspan(r * dim, dim)) magnitude += std::abs(value);
    ASSERT_NEAR(got.mean.span()[r], mean, 1e-6 * magnitude / static_cast<double>(dim));
  }
}

TEST(LayerNormForward, StaysWithinItsBoundOfTheExactResult) {
  for_each_cpu_target([] {
    for_each_case([](const norm_case<float>& one) {
      const norm_case<double> exact_case(one);
      forward_result<double> exact(exact_case, forward_ref);
      forward_result<float> got(one, layer_norm_forward_cpu);
      forward_result<float> reference(one, forward_ref);
      expect_forward_in_bound(exact_case, exact, got);
      expect_forward_in_bound(exact_case, exact, reference);
      ASSERT_TRUE(same_bits(got.sum.span(), reference.sum.span()));
    });
  });
}

/// Exact gradients on the float inputs of backward, and what the header allows around them.
void expect_backward_in_bound(const norm_case<float>& one, const forward_result<float>& forward) {
  const norm_case<double> wide(one);
  const std::vector<double> s = widened<double>(forward.s(one));
  const std::vector<double> mean = widened<double>(forward.mean.span());
  const std::vector<double> rstd = widened<double>(forward.rstd.span());
  backward_result<double> exact(wide, s, mean, rstd, backward_ref);
  const backward_result<float> got(
      one, forward.s(one), forward.mean.span(), forward.rstd.span(), layer_norm_backward_cpu);
  const std::size_t dim = one.shape.dim;
  std::vector<double> gain_terms(dim, 0.75);
  std::vector<double> bias_terms(dim, 0.75);
  for (std::size_t r = 0; r < one.shape.rows; ++r) {
    std::vector<double> g(dim);
    for (std::size_t c = 0; c < dim; ++c) {
      const double dy = wide.dy.span()[r * dim + c];
      g[c] = dy * wide.gain.span()[c];
      const double centre = one.centred() ? mean[r] : 0.0;
      gain_terms[c] += std::abs(dy * (s[r * dim + c] - centre) * rstd[r]);
      bias_terms[c] += std::abs(dy);
    }
    const double ds = one.shape.added ? norm(wide.ds.span().subspan(r * dim, dim)) : 0.0;
    ASSERT_LE(distance(got.dx.span().subspan(r * dim, dim), exact.dx.span().subspan(r * dim, dim)),
              1e-5 * (rstd[r] * norm(g) + ds))
        << "row " << r;
  }
  const double steps = static_cast<double>(one.shape.rows + 5) * 0x1p-24;
  for (std::size_t c = 0; c < dim; ++c) {
    ASSERT_NEAR(got.dgain.span()[c], exact.dgain.span()[c], steps * gain_terms[c]) << "at " << c;
    if (!one.centred()) continue;
    ASSERT_NEAR(got.dbias.span()[c], exact.dbias.span()[c], steps * bias_terms[c]) << "at " << c;
  }
}

TEST(LayerNormBackward, StaysWithinItsBoundOfTheExactGradients) {
  for_each_cpu_target([] {
    for_each_case([](const norm_case<float>& one) {
      expect_backward_in_bound(one, forward_result<float>(one, layer_norm_forward_cpu));
    });
  });
}

TEST(LayerNorm, GivesTheSameBitsTwice) {
  for_each_cpu_target([] {
    for_each_case([](const norm_case<float>& one) {
      forward_result<float> first(one, layer_norm_forward_cpu);
      forward_result<float> second(one, layer_norm_forward_cpu);
      ASSERT_TRUE(same_bits(first.y.span(), second.y.span()));
      const auto backward = [&one, &first] {
        return backward_result<float>(
            one, first.s(one), first.mean.span(), first.rstd.span(), layer_norm_backward_cpu);
      };
      backward_result<float> third = backward();
      backward_result<float> fourth = backward();
      ASSERT_TRUE(same_bits(third.dx.span(), fourth.dx.span()));
      ASSERT_TRUE(same_bits(third.dgain.span(), fourth.dgain.span()));
      ASSERT_TRUE(same_bits(third.dbias.span(), fourth.dbias.span()));
    });
  });
}

/// Central differences of Σ dy y + Σ ds sum in double. With values of order 1 and a step of 2^-18
/// the cut-off term is some 1e-11 and the rounding 1e-15 * 2^18 = 4e-10 of the loss.
void expect_differences(norm_case<double> one) {
  const auto loss = [&one] {
    const forward_result<double> out(one, forward_ref);
    double sum = 0.0;
    for (std::size_t i = 0; i < one.dy.span().size(); ++i) {
      sum += one.dy.span()[i] * out.y.span()[i];
      if (one.shape.added) sum += one.ds.span()[i] * out.sum.span()[i];
    }
    return sum;
  };
  const forward_result<double> forward(one, forward_ref);
  const backward_result<double> exact(
      one, forward.s(one), forward.mean.span(), forward.rstd.span(), backward_ref, 0.0);
  const auto compare = [&loss](std::span<double> inputs, std::span<const double> gradients) {
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      constexpr double step = 0x1p-18;
      const double value = inputs[i];
      inputs[i] = value + step;
      const double above = loss();
      inputs[i] = value - step;
      const double below = loss();
      inputs[i] = value;
      ASSERT_NEAR(
          gradients[i], (above - below) / (2.0 * step), 1e-6 * std::abs(gradients[i]) + 1e-8)
          << "at " << i;
    }
  };
  compare(one.x.span(), exact.dx.span());
  compare(one.residual.span(), exact.dx.span());
  compare(one.gain.span(), exact.dgain.span());
  compare(one.bias.span(), exact.dbias.span());
}

TEST(LayerNormBackward, OfTheReferenceEqualsCentralDifferences) {
  for (const norm_kind kind : {norm_kind::layer, norm_kind::rms}) {
    for (const bool added : {false, true}) {
      SCOPED_TRACE((kind == norm_kind::rms ? "rms" : "layer") + std::string(added ? " added" : ""));
      expect_differences(norm_case<double>({kind, 2, 7, added, 0.3F, 1.0F}, test_seed()));
    }
  }
}

TEST(LayerNormForward, ComputesASmallCaseByHand) {
  const std::array<float, 2> x = {1.0F, 5.0F};
  const std::array<float, 2> gain = {2.0F, 3.0F};
  const std::array<float, 2> bias = {0.5F, 0.25F};
  for_each_cpu_target([&] {
    std::array<float, 2> y{};
    std::array<float, 1> mean{};
    std::array<float, 1> rstd{};
    layer_norm_forward_cpu({.x = x,
                            .gain = gain,
                            .bias = bias,
                            .dim = 2,
                            .epsilon = 0.0F,
                            .y = y,
                            .mean = mean,
                            .rstd = rstd});
    EXPECT_EQ(mean[0], 3.0F);
    EXPECT_EQ(rstd[0], 0.5F);
    EXPECT_EQ(y, (std::array{-1.5F, 3.25F}));
    layer_norm_forward_cpu({.kind = norm_kind::rms,
                            .x = x,
                            .gain = gain,
                            .dim = 2,
                            .epsilon = 3.0F,  // 1 / sqrt(13 + 3)
                            .y = y,
                            .rstd = rstd});
    EXPECT_EQ(rstd[0], 0.25F);
    EXPECT_EQ(y, (std::array{0.5F, 3.75F}));
  });
}

TEST(LayerNormForward, GivesTheBiasForAConstantRow) {
  for_each_cpu_target([] {
    norm_case<float> one({norm_kind::layer, 1, 64, false, 0.0F, 1.0F}, test_seed());
    std::fill(one.x.span().begin(), one.x.span().end(), -3.0F);
    forward_result<float> got(one, layer_norm_forward_cpu);
    EXPECT_TRUE(same_bits(got.y.span(), one.bias.span()));
  });
}

TEST(LayerNorm, RefusesABiasForRms) {
  norm_case<float> one({norm_kind::rms, 2, 3, false, 0.0F, 1.0F}, test_seed());
  one.bias = misaligned<float>(3);
  EXPECT_DEATH(forward_result<float>(one, layer_norm_forward_cpu), "bias");
}

}  // namespace
}  // namespace headrace::kernels
