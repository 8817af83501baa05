#include "kernels/include/headrace_graph.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <new>
#include <random>
#include <string>
#include <vector>

// The entries of headrace_graph.h in the CPU library, against plain loops in double.
namespace {

constexpr std::uint32_t test_seed = 20'261'127;

std::vector<float> drawn(std::size_t n, std::mt19937& random) {
  std::uniform_real_distribution<float> between(-1.0F, 1.0F);
  std::vector<float> values(n);
  for (float& value : values) value = between(random);
  return values;
}

/// Runs an entry with the workspace that its query asks for.
template <class Args>
headrace_status run(headrace_status (*entry)(const Args*, void*, void*, size_t),
                    size_t (*query)(const Args*),
                    Args& args) {
  args.struct_size = sizeof(Args);
  const size_t bytes = query(&args);
  if (bytes == HEADRACE_REFUSED) return HEADRACE_BAD_ARGUMENT;
  constexpr auto alignment = std::align_val_t(HEADRACE_WORKSPACE_ALIGNMENT);
  void* workspace = ::operator new(bytes, alignment);
  const headrace_status status = entry(&args, nullptr, workspace, bytes);
  ::operator delete(workspace, alignment);
  return status;
}

struct lookup_case {
  static constexpr std::size_t unique = 5, width = 7, first = 1, samples = 9, fields = 4, dim = 6;
  explicit lookup_case(std::mt19937& random)
      : rows(drawn(unique * width, random)), values(drawn(samples * fields, random)) {
    for (std::size_t i = 0; i < samples * fields; ++i)
      inverse.push_back(static_cast<std::uint32_t>(random() % unique));
  }
  template <class Args>
  Args sizes() const {
    Args args{};
    args.unique = unique;
    args.width = width;
    args.first_column = first;
    args.samples = samples;
    args.fields = fields;
    args.dim = dim;
    args.inverse = inverse.data();
    args.values = values.data();
    return args;
  }
  std::vector<float> rows, values;
  std::vector<std::uint32_t> inverse;
};

TEST(GraphEntries, LookVectorsUpBySampleAndField) {
  std::mt19937 random(test_seed);
  const lookup_case one(random);
  std::vector<float> out(one.inverse.size() * one.dim, 9.0F);
  auto args = one.sizes<headrace_fields_args>();
  args.rows = one.rows.data();
  args.out = out.data();
  ASSERT_EQ(run(headrace_fields, headrace_fields_workspace, args), HEADRACE_OK);
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t place = i / one.dim;
    const float row = one.rows[one.inverse[place] * one.width + one.first + i % one.dim];
    ASSERT_EQ(out[i], one.values[place] * row) << "seed " << test_seed << ", float " << i;
  }
}

TEST(GraphEntries, AddTheGradientsOfALookupToItsRows) {
  std::mt19937 random(test_seed);
  const lookup_case one(random);
  const std::vector<float> above = drawn(one.inverse.size() * one.dim, random);
  std::vector<float> gradients(one.rows.size(), 2.0F);
  auto args = one.sizes<headrace_fields_backward_args>();
  args.out_gradients = above.data();
  args.row_gradients = gradients.data();
  ASSERT_EQ(run(headrace_fields_backward, headrace_fields_backward_workspace, args), HEADRACE_OK);
  std::vector<double> wanted(one.rows.size(), 2.0);
  for (std::size_t i = 0; i < above.size(); ++i) {
    const std::size_t place = i / one.dim;
    wanted[one.inverse[place] * one.width + one.first + i % one.dim] +=
        static_cast<double>(one.values[place]) * static_cast<double>(above[i]);
  }
  for (std::size_t i = 0; i < wanted.size(); ++i)
    ASSERT_NEAR(gradients[i], wanted[i], 1e-5) << "seed " << test_seed;
}

TEST(GraphEntries, RefuseAnIndexThatNamesNoRow) {
  std::mt19937 random(test_seed);
  lookup_case one(random);
  one.inverse[3] = one.unique;
  std::vector<float> out(one.inverse.size() * one.dim, 9.0F);
  auto args = one.sizes<headrace_fields_args>();
  args.rows = one.rows.data();
  args.out = out.data();
  EXPECT_EQ(run(headrace_fields, headrace_fields_workspace, args), HEADRACE_BAD_ARGUMENT);
  EXPECT_STREQ(headrace_last_error(), "fields: inverse has an index that is not below unique");
  EXPECT_EQ(out, std::vector<float>(out.size(), 9.0F));
}

/// tanh, whose slope is read from y, and silu, whose slope is read from what is saved.
double activated(headrace_activation how, double z) {
  return how == HEADRACE_TANH ? std::tanh(z) : z / (1.0 + std::exp(-z));
}
double slope(headrace_activation how, double z) {
  if (how == HEADRACE_TANH) return 1.0 - std::tanh(z) * std::tanh(z);
  const double s = 1.0 / (1.0 + std::exp(-z));
  return s * (1.0 + z * (1.0 - s));
}

TEST(GraphEntries, ComputeADenseLayerAndItsGradients) {
  constexpr std::size_t rows = 11, in = 7, out = 5;
  for (const headrace_activation how : {HEADRACE_TANH, HEADRACE_SILU}) {
    SCOPED_TRACE("activation " + std::to_string(how) + ", seed " + std::to_string(test_seed));
    std::mt19937 random(test_seed);
    const auto x = drawn(rows * in, random);
    const auto weights = drawn(in * out, random);
    const auto bias = drawn(out, random);
    const auto dy = drawn(rows * out, random);
    std::vector<double> z(rows * out);
    for (std::size_t i = 0; i < z.size(); ++i) {
      z[i] = static_cast<double>(bias[i % out]);
      for (std::size_t k = 0; k < in; ++k)
        z[i] += static_cast<double>(x[i / out * in + k]) *
                static_cast<double>(weights[k * out + i % out]);
    }
    std::vector<float> y(rows * out), saved(rows * out), dx(rows * in, 9.0F);
    std::vector<float> dweights(in * out, 1.0F), dbias(out, 1.0F);

    headrace_linear_args args{};
    args.rows = rows;
    args.in = in;
    args.out = out;
    args.activation = how;
    args.x = x.data();
    args.weights = weights.data();
    args.bias = bias.data();
    args.y = y.data();
    args.saved = how == HEADRACE_SILU ? saved.data() : nullptr;
    ASSERT_EQ(run(headrace_linear, headrace_linear_workspace, args), HEADRACE_OK);
    for (std::size_t i = 0; i < z.size(); ++i) ASSERT_NEAR(y[i], activated(how, z[i]), 1e-5);

    headrace_linear_backward_args back{};
    back.rows = rows;
    back.in = in;
    back.out = out;
    back.activation = how;
    back.x = x.data();
    back.weights = weights.data();
    back.y = y.data();
    back.saved = saved.data();
    back.y_gradients = dy.data();
    back.x_gradients = dx.data();
    back.weight_gradients = dweights.data();
    back.bias_gradients = dbias.data();
    ASSERT_EQ(run(headrace_linear_backward, headrace_linear_backward_workspace, back), HEADRACE_OK);
    const auto dz = [&](std::size_t r, std::size_t j) {
      return static_cast<double>(dy[r * out + j]) * slope(how, z[r * out + j]);
    };
    for (std::size_t j = 0; j < out; ++j) {
      double sum = 1.0;
      for (std::size_t r = 0; r < rows; ++r) sum += dz(r, j);
      ASSERT_NEAR(dbias[j], sum, 1e-5);
    }
    for (std::size_t i = 0; i < rows * in; ++i) {
      double sum = 0.0;
      for (std::size_t j = 0; j < out; ++j)
        sum += dz(i / in, j) * static_cast<double>(weights[i % in * out + j]);
      ASSERT_NEAR(dx[i], sum, 1e-5);
    }
    for (std::size_t i = 0; i < in * out; ++i) {
      double sum = 1.0;
      for (std::size_t r = 0; r < rows; ++r)
        sum += static_cast<double>(x[r * in + i / out]) * dz(r, i % out);
      ASSERT_NEAR(dweights[i], sum, 1e-5);
    }
  }
}

TEST(GraphEntries, MoveColumnsAndTouchNothingBeside) {
  const std::vector<float> from = {1, 2, 3, 4, 5, 6};
  std::vector<float> to(8, 9.0F);
  headrace_copy_columns_args args{};
  args.rows = 2;
  args.columns = 2;
  args.from_stride = 3;
  args.to_stride = 4;
  args.from = from.data() + 1;
  args.to = to.data() + 1;
  ASSERT_EQ(run(headrace_copy_columns, headrace_copy_columns_workspace, args), HEADRACE_OK);
  EXPECT_EQ(to, (std::vector<float>{9, 2, 3, 9, 9, 5, 6, 9}));
  args.to_stride = 1;
  EXPECT_EQ(headrace_copy_columns(&args, nullptr, nullptr, 0), HEADRACE_BAD_ARGUMENT);
  EXPECT_STREQ(headrace_last_error(), "copy_columns: to_stride is below columns");
}

TEST(GraphEntries, ScaleAndAdd) {
  const std::vector<float> from = {1, -2, 0.5F};
  std::vector<float> to = {10, 20, 30};
  headrace_scale_args args{};
  args.size = 3;
  args.from = from.data();
  args.to = to.data();
  args.scale = 2.0F;
  args.flags = HEADRACE_ADD_TO;
  ASSERT_EQ(run(headrace_scale, headrace_scale_workspace, args), HEADRACE_OK);
  EXPECT_EQ(to, (std::vector<float>{12, 16, 31}));
  args.flags = 0;
  ASSERT_EQ(run(headrace_scale, headrace_scale_workspace, args), HEADRACE_OK);
  EXPECT_EQ(to, (std::vector<float>{2, -4, 1}));
  args.flags = 2;
  EXPECT_EQ(headrace_scale(&args, nullptr, nullptr, 0), HEADRACE_BAD_ARGUMENT);
}

}  // namespace
