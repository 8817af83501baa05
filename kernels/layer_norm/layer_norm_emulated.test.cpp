#include "kernels/layer_norm/layer_norm.hpp"
#include "kernels/layer_norm/layer_norm_launch.hpp"
#include "kernels/runtime/emulated_cases.hpp"

namespace headrace::kernels {
namespace {

constexpr float poison = std::numeric_limits<float>::quiet_NaN();
constexpr double tolerance = 1e-5;

struct emulated_norm {
  emulated_norm(norm_kind norm, std::uint32_t row_count, std::uint32_t width, bool with_residual)
      : kind(norm),
        rows(row_count),
        dim(width),
        added(with_residual),
        x(elements()),
        residual(added ? elements() : 0),
        dy(elements()),
        ds(residual.size()),
        gain(dim),
        bias(centred() ? dim : 0),
        sum(residual.size(), poison),
        y(elements(), poison),
        mean(centred() ? rows : 0, poison),
        rstd(rows, poison),
        dx(elements(), poison),
        dgain(dim, 0.75F),
        dbias(bias.size(), -0.5F) {
    random_stream random(test_seed() + dim);
    for (auto* one : {&x, &residual, &dy, &ds, &gain, &bias}) fill_signed<float>(*one, random);
  }
  bool centred() const { return kind == norm_kind::layer; }
  std::size_t elements() const { return std::size_t{rows} * dim; }
  static float* or_null(std::vector<float>& values) {
    return values.empty() ? nullptr : values.data();
  }
  const float* s() { return added ? sum.data() : x.data(); }

  void forward(const emulated_launch& launch) {
    launch_layer_norm_forward({.x = x.data(),
                               .residual = or_null(residual),
                               .gain = gain.data(),
                               .bias = or_null(bias),
                               .sum = or_null(sum),
                               .y = y.data(),
                               .mean = or_null(mean),
                               .rstd = rstd.data(),
                               .rows = rows,
                               .dim = dim,
                               .epsilon = 1e-5F,
                               .aligned = dim % 4 == 0},
                              launch);
  }
  void backward(const emulated_launch& launch) {
    std::vector<float> workspace(layer_norm_workspace(rows, dim, centred()), poison);
    float* partials = workspace.data();
    launch_layer_norm_backward(
        {.sum = s(),
         .gain = gain.data(),
         .mean = or_null(mean),
         .rstd = rstd.data(),
         .y_gradients = dy.data(),
         .sum_gradients = or_null(ds),
         .x_gradients = dx.data(),
         .gain_partials = partials,
         .bias_partials = centred() ? partials + workspace.size() / 2 : nullptr,
         .rows = rows,
         .dim = dim,
         .aligned = dim % 4 == 0},
        dgain.data(),
        or_null(dbias),
        launch);
  }
  /// The same on the reference.
  void forward_ref() {
    layer_norm_forward_ref({.kind = kind,
                            .x = x,
                            .residual = residual,
                            .gain = gain,
                            .bias = bias,
                            .dim = dim,
                            .epsilon = 1e-5F,
                            .sum = sum,
                            .y = y,
                            .mean = mean,
                            .rstd = rstd});
  }
  void backward_ref() {
    layer_norm_backward_ref({.kind = kind,
                             .sum = {s(), elements()},
                             .gain = gain,
                             .dim = dim,
                             .mean = mean,
                             .rstd = rstd,
                             .y_gradients = dy,
                             .sum_gradients = ds,
                             .x_gradients = dx,
                             .gain_gradients = dgain,
                             .bias_gradients = dbias});
  }

  norm_kind kind;
  std::uint32_t rows;
  std::uint32_t dim;
  bool added;
  std::vector<float> x, residual, dy, ds, gain, bias, sum, y, mean, rstd, dx, dgain, dbias;
};

void expect_near(const std::vector<float>& got, const std::vector<float>& wanted) {
  EXPECT_LE(relative_error<const float>(got, std::span<const float>(wanted)), tolerance);
}

/// Row by row against the header's bound: dx may be little of what it was made of.
void expect_gradients_near(const emulated_norm& got, const emulated_norm& wanted) {
  for (std::size_t r = 0; r < got.rows; ++r) {
    double off = 0.0;
    double g = 0.0;
    double ds = 0.0;
    for (std::size_t i = r * got.dim; i < (r + 1) * got.dim; ++i) {
      off += std::pow(static_cast<double>(got.dx[i]) - static_cast<double>(wanted.dx[i]), 2);
      g += std::pow(static_cast<double>(got.dy[i] * got.gain[i % got.dim]), 2);
      if (got.added) ds += std::pow(static_cast<double>(got.ds[i]), 2);
    }
    const double rstd = static_cast<double>(got.rstd[r]);
    ASSERT_LE(std::sqrt(off), tolerance * (rstd * std::sqrt(g) + std::sqrt(ds))) << "row " << r;
  }
}

template <class Check>
void for_each_norm(const Check& check) {
  for (const norm_kind kind : {norm_kind::layer, norm_kind::rms}) {
    for (const std::uint32_t dim : {1U, 3U, 4U, 129U, 256U, 300U, 513U, 1540U}) {
      for (const std::uint32_t rows : {0U, 1U, 9U, 70U}) {
        if (rows == 70 && dim > 4) continue;
        SCOPED_TRACE((kind == norm_kind::rms ? "rms, " : "layer, ") + std::to_string(rows) +
                     " rows of " + std::to_string(dim));
        check(emulated_norm(kind, rows, dim, dim % 2 == 0));
      }
    }
  }
}

TEST(LayerNormKernel, IsTheReferencesForwardPass) {
  for_each_order([](const emulated_launch& launch) {
    for_each_norm([&launch](const emulated_norm& one) {
      emulated_norm got = one;
      emulated_norm wanted = one;
      got.forward(launch);
      wanted.forward_ref();
      expect_near(got.y, wanted.y);
      expect_near(got.mean, wanted.mean);
      expect_near(got.rstd, wanted.rstd);
      ASSERT_TRUE(same_bits<float>(got.sum, wanted.sum));
    });
  });
}

TEST(LayerNormKernel, IsTheReferencesBackwardPass) {
  for_each_order([](const emulated_launch& launch) {
    for_each_norm([&launch](const emulated_norm& one) {
      emulated_norm got = one;
      got.forward_ref();
      emulated_norm wanted = got;
      got.backward(launch);
      wanted.backward_ref();
      expect_gradients_near(got, wanted);
      expect_near(got.dgain, wanted.dgain);
      expect_near(got.dbias, wanted.dbias);
    });
  });
}

TEST(LayerNormKernel, HasRowsUpToItsWidestInRegisters) {
  for (const std::uint32_t dim : {3001U, layer_norm_dim_max}) {
    emulated_norm got(norm_kind::layer, 2, dim, true);
    emulated_norm wanted = got;
    got.forward({test_seed()});
    wanted.forward_ref();
    got.backward({test_seed()});
    wanted.backward_ref();
    expect_near(got.y, wanted.y);
    expect_gradients_near(got, wanted);
    expect_near(got.dgain, wanted.dgain);
  }
}

TEST(LayerNormKernel, GivesTheSameBitsInEveryOrder) {
  emulated_norm first(norm_kind::layer, 70, 96, true);
  first.forward_ref();
  emulated_norm second = first;
  first.backward({1});
  second.backward({2});
  EXPECT_TRUE(same_bits<float>(first.dgain, second.dgain));
  EXPECT_TRUE(same_bits<float>(first.dbias, second.dbias));
  EXPECT_TRUE(same_bits<float>(first.dx, second.dx));
}

}  // namespace
}  // namespace headrace::kernels
