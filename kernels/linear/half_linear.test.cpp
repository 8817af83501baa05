#include "kernels/linear/half_linear.hpp"

#include "kernels/loss_scaler/finite_check.hpp"
#include "kernels/loss_scaler/precision_guard.hpp"
#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace headrace::kernels {
namespace {

using enum linear_activation;
constexpr float poison = std::numeric_limits<float>::quiet_NaN();

struct layer_result {
  std::vector<float> y, saved, dx, dweights, dbias;
};

/// A layer with what goes in, and the f32 definition beside it.
struct layer_case {
  layer_case(std::size_t rows_n,
             std::size_t in_n,
             std::size_t out_n,
             linear_activation chosen,
             half_format as = half_format::bf16)
      : rows(rows_n), in(in_n), out(out_n), activation(chosen), format(as) {
    random_stream random(test_seed() + rows * 1009 + in * 13 + out);
    for (auto* values : {&x, &weights, &bias, &dy, &before}) {
      const bool is_x = values == &x;
      const bool is_matrix = values == &weights || values == &before;
      values->resize(is_x ? rows * in : is_matrix ? in * out : values == &bias ? out : rows * out);
      for (float& value : *values) value = next_signed(random);
    }
  }

  layer_result half(float scale = 1.0F) const {
    layer_result made = empty();
    std::vector<std::uint16_t> packed(packed_linear_words(in, out), 0xFFFF);
    std::vector<std::uint16_t> words(half_linear_words(rows, in, out), 0xFFFF);
    std::vector<float> workspace(half_linear_workspace(rows, in, out), poison);
    pack_linear({format, weights, in, out, packed});
    linear_args forward = forward_args(made);
    forward.weights = {};
    forward.workspace = workspace;
    half_linear_forward({forward, format, packed, words});
    std::ranges::fill(workspace, poison);
    linear_backward_args backward = backward_args(made);
    backward.weights = {};
    backward.workspace = workspace;
    half_linear_backward({backward, format, scale, packed, words});
    return made;
  }

  /// Backward from the y and z of `like`: what relu passes on is the same.
  layer_result exact(const layer_result& like) const {
    layer_result made = empty();
    linear_forward_ref(forward_args(made));
    const layer_result forward = made;
    made.y = like.y;
    made.saved = like.saved;
    linear_backward_ref(backward_args(made));
    made.y = forward.y;
    return made;
  }

  layer_result empty() const {
    return {std::vector<float>(rows * out, poison),
            std::vector<float>(linear_reads_saved(activation) ? rows * out : 0, poison),
            std::vector<float>(rows * in, poison),
            before,
            bias};
  }
  linear_args forward_args(layer_result& to) const {
    return {x, weights, bias, rows, in, out, activation, to.y, to.saved, {}};
  }
  linear_backward_args backward_args(layer_result& to) const {
    return {x,
            weights,
            to.y,
            to.saved,
            dy,
            rows,
            in,
            out,
            activation,
            to.dx,
            to.dweights,
            to.dbias,
            {}};
  }

  std::size_t rows, in, out;
  linear_activation activation;
  half_format format;
  std::vector<float> x, weights, bias, dy;
  std::vector<float> before;  // what dweights had
};

void check_close(const layer_result& got, const layer_result& wanted, double forward, double back) {
  EXPECT_LE(relative_error(got.y, wanted.y), forward);
  EXPECT_LE(relative_error(got.dx, wanted.dx), back);
  EXPECT_LE(relative_error(got.dweights, wanted.dweights), back);
  EXPECT_LE(relative_error(got.dbias, wanted.dbias), 1e-5);
}

TEST(HalfLinear, StaysWithinTheToleranceOfItsFormatOnEveryTarget) {
  for (const linear_activation activation : {none, relu, sigmoid, silu, gelu}) {
    for (const auto& n : {std::array<std::size_t, 3>{64, 96, 80}, {33, 17, 130}, {100, 64, 16}}) {
      SCOPED_TRACE(std::to_string(static_cast<int>(activation)) + ": " + std::to_string(n[0]) +
                   " x " + std::to_string(n[1]) + " x " + std::to_string(n[2]));
      for_each_cpu_target([&] {
        const layer_case brain(n[0], n[1], n[2], activation);
        const layer_result made = brain.half();
        check_close(made, brain.exact(made), 4e-3, 1e-2);
        const layer_case half(n[0], n[1], n[2], activation, half_format::fp16);
        const layer_result finer = half.half(1024.0F);
        check_close(finer, half.exact(finer), 5e-4, 1.25e-3);
      });
    }
  }
}

TEST(HalfLinear, RoundsBeforeItMultiplies) {
  layer_case one(1, 2, 1, none);
  one.x = {1.00390625F, 1.0F};  // 1 + 2^-8: bf16 makes it 1
  one.weights = {1.0F, 0x1p-20F};
  one.bias = {0.0F};
  EXPECT_EQ(one.half().y[0], 1.0F + 0x1p-20F);  // a sum in f32 keeps that
}

TEST(HalfLinear, AScaleChangesNothingInTheMiddleOfTheRange) {
  for (const half_format format : {half_format::bf16, half_format::fp16}) {
    layer_case one(40, 30, 20, relu, format);
    std::ranges::fill(one.before, 0.0F);
    const layer_result plain = one.half();
    const layer_result scaled = one.half(64.0F);
    // dz of at least 2^-14 are normal either way; the drawn ones below that are 0.
    EXPECT_LE(relative_error(scaled.dx, plain.dx), 1e-6);
    EXPECT_LE(relative_error(scaled.dweights, plain.dweights), 1e-6);
    EXPECT_EQ(scaled.dbias, plain.dbias);
  }
}

TEST(HalfLinear, AScaleSavesGradientsThatFp16WouldLose) {
  layer_case one(20, 16, 16, none, half_format::fp16);
  std::ranges::fill(one.before, 0.0F);
  for (float& value : one.dy) value *= 0x1p-26F;
  const layer_result lost = one.half();
  const layer_result saved = one.half(65'536.0F);
  EXPECT_TRUE(std::ranges::all_of(lost.dx, [](float value) { return std::abs(value) < 1e-30F; }));
  EXPECT_LE(relative_error(saved.dx, one.exact(saved).dx), 1.25e-3);
}

TEST(HalfLinear, AScaleThatIsTooLargeShowsInTheGradients) {
  layer_case one(20, 16, 16, none, half_format::fp16);
  const layer_result made = one.half(0x1p+20F);
  EXPECT_FALSE(all_finite(made.dx));
  EXPECT_FALSE(all_finite(made.dweights));
  EXPECT_TRUE(all_finite(made.y));
}

TEST(HalfLinear, TakesNoRowsAndNoInputGradients) {
  const layer_case none_at_all(0, 8, 4, relu);
  EXPECT_EQ(none_at_all.half().dweights, none_at_all.before);
}

}  // namespace
}  // namespace headrace::kernels
