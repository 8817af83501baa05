#include "kernels/linear/linear.hpp"
#include "kernels/linear/linear_launch.hpp"
#include "kernels/runtime/emulated_cases.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <string>

namespace headrace::kernels {
namespace {

constexpr double u = 0x1p-24;

struct linear_case {
  linear_case(std::size_t n, std::size_t inputs, std::size_t outputs, linear_activation how)
      : rows(n),
        in(inputs),
        out(outputs),
        activation(how),
        x(rows * in),
        weights(in * out),
        bias(out),
        dy(rows * out) {
    random_stream random(test_seed() + 7 * rows + in);
    for (auto* values : {&x, &weights, &bias, &dy}) fill_signed<float>(*values, random, 1.5F);
  }
  device_linear layer() const {
    return {x.data(),
            weights.data(),
            static_cast<std::uint32_t>(rows),
            static_cast<std::uint32_t>(in),
            static_cast<std::uint32_t>(out),
            activation};
  }
  std::size_t rows, in, out;
  linear_activation activation;
  std::vector<float> x, weights, bias, dy;
};

struct linear_outputs {
  explicit linear_outputs(const linear_case& one)
      : y(one.rows * one.out, 9.0F),
        saved(linear_reads_saved(one.activation) ? y.size() : 0, 9.0F),
        dx(one.rows * one.in, 9.0F),
        dweights(one.in * one.out, 0.25F),
        dbias(one.out, 0.25F) {}
  std::vector<float> y, saved, dx, dweights, dbias;
};

linear_outputs run_ref(const linear_case& one) {
  linear_outputs to(one);
  linear_forward_ref({.x = one.x,
                      .weights = one.weights,
                      .bias = one.bias,
                      .rows = one.rows,
                      .in = one.in,
                      .out = one.out,
                      .activation = one.activation,
                      .y = to.y,
                      .saved = to.saved});
  linear_backward_ref({.x = one.x,
                       .weights = one.weights,
                       .y = to.y,
                       .saved = to.saved,
                       .dy = one.dy,
                       .rows = one.rows,
                       .in = one.in,
                       .out = one.out,
                       .activation = one.activation,
                       .dx = to.dx,
                       .dweights = to.dweights,
                       .dbias = to.dbias});
  return to;
}

/// The workspace that linear_backward asks for, poisoned.
class backward_space {
 public:
  explicit backward_space(const linear_case& one)
      : one_(&one), memory_(parts(nullptr).bytes / sizeof(aligned), {poison, poison}) {}
  linear_backward_parts get() { return parts(reinterpret_cast<std::byte*>(memory_.data())); }

 private:
  struct alignas(128) aligned {
    float floats[32];
    aligned(float value, float) { std::fill_n(floats, 32, value); }
  };
  static constexpr float poison = std::numeric_limits<float>::quiet_NaN();
  linear_backward_parts parts(std::byte* memory) const {
    const device_linear layer = one_->layer();
    return {memory, layer.rows, layer.in, layer.out, layer.activation};
  }
  const linear_case* one_;
  std::vector<aligned> memory_;
};

/// `kept`: what the reference left, so that backward is measured on the same inputs.
linear_outputs run_kernels(const linear_case& one,
                           const linear_outputs& kept,
                           const emulated_launch& launch) {
  linear_outputs to(one);
  launch_linear(one.layer(),
                one.bias.data(),
                to.y.data(),
                to.saved.empty() ? nullptr : to.saved.data(),
                launch);
  backward_space space(one);
  launch_linear_backward(one.layer(),
                         {.kept = to.saved.empty() ? kept.y.data() : kept.saved.data(),
                          .dy = one.dy.data(),
                          .dx = to.dx.data(),
                          .dweights = to.dweights.data(),
                          .dbias = to.dbias.data()},
                         space.get(),
                         launch);
  return to;
}

double size_of_sum(std::size_t n, const auto& term) {
  double sum = 0.0;
  for (std::size_t i = 0; i < n; ++i) sum += std::abs(static_cast<double>(term(i)));
  return sum;
}

/// The bounds of linear.hpp.
void expect_within_bounds(const linear_case& one, const emulated_launch& launch) {
  const linear_outputs wanted = run_ref(one);
  const linear_outputs got = run_kernels(one, wanted, launch);
  const auto n_in = static_cast<double>(one.in);
  for (std::size_t i = 0; i < wanted.y.size(); ++i) {
    const std::size_t r = i / one.out;
    const std::size_t j = i % one.out;
    const double terms =
        size_of_sum(one.in,
                    [&](auto k) { return one.x[r * one.in + k] * one.weights[k * one.out + j]; }) +
        std::abs(static_cast<double>(one.bias[j]));
    const double y = static_cast<double>(wanted.y[i]);
    ASSERT_NEAR(got.y[i], y, 1.13 * (n_in + 3) * u * terms + 17.0 * u * (1.0 + std::abs(y))) << i;
  }
  for (std::size_t i = 0; i < wanted.dx.size(); ++i) {
    const std::size_t r = i / one.in;
    const double terms = size_of_sum(one.out, [&](auto j) {
      return one.dy[r * one.out + j] * one.weights[i % one.in * one.out + j];
    });
    const double bound = 1.13 * (static_cast<double>(one.out) + 21) * u * terms + 0x1p-126;
    ASSERT_NEAR(got.dx[i], static_cast<double>(wanted.dx[i]), bound) << i;
  }
  for (std::size_t i = 0; i < wanted.dweights.size(); ++i) {
    const double terms = size_of_sum(one.rows, [&](auto r) {
      return one.x[r * one.in + i / one.out] * one.dy[r * one.out + i % one.out];
    });
    const double bound = (static_cast<double>(one.rows) + 21) * u * (1.13 * terms + 1.0);
    ASSERT_NEAR(got.dweights[i], static_cast<double>(wanted.dweights[i]), bound) << i;
  }
  for (std::size_t j = 0; j < one.out; ++j) {
    const double terms = size_of_sum(one.rows, [&](auto r) { return one.dy[r * one.out + j]; });
    const double bound = (static_cast<double>(one.rows) + 21) * u * (1.13 * terms + 1.0);
    ASSERT_NEAR(got.dbias[j], static_cast<double>(wanted.dbias[j]), bound) << j;
  }
}

TEST(LinearKernel, StaysWithinTheBoundsOfTheCpuForEachActivation) {
  using enum linear_activation;
  for (const linear_activation how : {none, relu, sigmoid, silu, gelu, linear_activation::tanh}) {
    SCOPED_TRACE("activation " + std::to_string(static_cast<int>(how)));
    for_each_order([&](const emulated_launch& launch) {
      expect_within_bounds({5, 9, 7, how}, launch);
    });
  }
}

TEST(LinearKernel, TakesSizesAroundATile) {
  for (const auto& [rows, in, out] : {std::array<std::size_t, 3>{1, 1, 1},
                                      {63, 16, 65},
                                      {65, 17, 64},
                                      {64, 64, 1},
                                      {130, 15, 3}}) {
    SCOPED_TRACE(std::to_string(rows) + " x " + std::to_string(in) + " x " + std::to_string(out));
    expect_within_bounds({rows, in, out, linear_activation::silu}, {test_seed()});
  }
}

TEST(LinearKernel, SumsSlicesOfRowsInOneOrder) {
  for (const auto& [rows, in, out] :
       {std::array<std::size_t, 3>{256, 5, 3}, {257, 5, 3}, {511, 1, 33}, {1'100, 9, 2}}) {
    const linear_case one(rows, in, out, linear_activation::tanh);
    SCOPED_TRACE(std::to_string(rows) + " rows");
    const linear_outputs kept = run_ref(one);
    linear_outputs first(one);
    for_each_order([&](const emulated_launch& launch) {
      const linear_outputs got = run_kernels(one, kept, launch);
      if (first.dweights[0] == 0.25F) first = got;
      ASSERT_EQ(got.dweights, first.dweights);
      ASSERT_EQ(got.dbias, first.dbias);
    });
    expect_within_bounds(one, {test_seed()});
  }
}

TEST(LinearKernel, CutsRowsIntoSlicesByTheSizesAlone) {
  EXPECT_EQ(slice_depth(1, 64, 64), 256U);
  EXPECT_EQ(slice_depth(4'096, 400, 400), 512U);          // 49 tiles: 10 slices at most
  EXPECT_EQ(slice_depth(4'096, 64, 64), 256U);            // 1 tile: 16 slices
  EXPECT_EQ(slice_depth(1U << 30, 64, 64), 1U << 21);     // 512 slices, no more
  EXPECT_EQ(slice_depth(4'096, 65'536, 65'536), 4'096U);  // one slice
  EXPECT_EQ(linear_backward_parts(nullptr, 256, 64, 64, linear_activation::none).bytes, 0U);
  EXPECT_EQ(linear_backward_parts(nullptr, 512, 64, 64, linear_activation::none).bytes,
            2 * 64 * 64 * 4 + 2 * 64 * 4U);
}

TEST(LinearKernel, LeavesOutTheGradientThatNobodyWants) {
  const linear_case one(3, 4, 2, linear_activation::none);
  linear_outputs to(one);
  backward_space space(one);
  launch_linear_backward(one.layer(),
                         {.kept = nullptr,
                          .dy = one.dy.data(),
                          .dx = nullptr,
                          .dweights = to.dweights.data(),
                          .dbias = nullptr},
                         space.get(),
                         emulated_launch{test_seed()});
  EXPECT_EQ(to.dbias, std::vector<float>(2, 0.25F));
  EXPECT_NE(to.dweights, std::vector<float>(8, 0.25F));
}

}  // namespace
}  // namespace headrace::kernels
