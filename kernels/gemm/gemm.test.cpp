#include "kernels/gemm/gemm.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;
constexpr float poison = std::numeric_limits<float>::quiet_NaN();

struct gemm_shape {
  std::size_t m = 1;
  std::size_t n = 1;
  std::size_t k = 1;
  bool a_transposed = false;
  bool b_transposed = false;
  bool accumulate = false;
  std::size_t gap = 0;  // columns between rows of each matrix: NaN, so that reading them is seen
};

std::string describe(const gemm_shape& s) {
  return std::to_string(s.m) + " x " + std::to_string(s.n) + " x " + std::to_string(s.k) +
         (s.a_transposed ? ", A transposed" : "") + (s.b_transposed ? ", B transposed" : "") +
         (s.accumulate ? ", added" : "") + ", gap " + std::to_string(s.gap);
}

/// A [rows, columns] matrix whose gaps are NaN.
misaligned<float> drawn_matrix(
    random_stream& random, std::size_t rows, std::size_t columns, std::size_t stride, float scale) {
  misaligned<float> values(rows * stride, poison);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < columns; ++j) {
      values.span()[i * stride + j] =
          random.next_below(9) == 0 ? -0.0F : next_signed(random, scale);
    }
  }
  return values;
}

std::vector<double> widened(std::span<const float> values, bool absolute) {
  std::vector<double> wide(values.begin(), values.end());
  if (absolute) {
    for (double& value : wide) value = std::abs(value);
  }
  return wide;
}

struct gemm_case {
  explicit gemm_case(const gemm_shape& s)
      : gemm_case(s, random_stream(test_seed() + s.m * 1'000'003 + s.n * 1009 + s.k)) {}

  gemm_case(const gemm_shape& s, random_stream random)
      : shape(s),
        a_stride((s.a_transposed ? s.m : s.k) + s.gap),
        b_stride((s.b_transposed ? s.k : s.n) + s.gap),
        c_stride(s.n + s.gap),
        a(drawn_matrix(random,
                       s.a_transposed ? s.k : s.m,
                       s.a_transposed ? s.m : s.k,
                       a_stride,
                       s.k % 2 == 0 ? 1e6F : 0.5F)),
        b(drawn_matrix(
            random, s.b_transposed ? s.n : s.k, s.b_transposed ? s.k : s.n, b_stride, 1.0F)),
        before(drawn_matrix(random, s.m, s.n, c_stride, 2.0F)) {}

  template <class Value>
  basic_gemm_args<Value> args(const Value* left, const Value* right, Value* to) const {
    return {.a = left,
            .a_stride = a_stride,
            .a_transposed = shape.a_transposed,
            .b = right,
            .b_stride = b_stride,
            .b_transposed = shape.b_transposed,
            .c = to,
            .c_stride = c_stride,
            .m = shape.m,
            .n = shape.n,
            .k = shape.k,
            .accumulate = shape.accumulate};
  }

  /// C, from NaN where it is to be overwritten, with a workspace full of `garbage`.
  template <class Op>
  misaligned<float> run(const Op& op, float garbage = poison) const {
    misaligned<float> c = before;
    if (!shape.accumulate) std::fill(c.span().begin(), c.span().end(), poison);
    misaligned<float> workspace(gemm_workspace(shape.m, shape.n, shape.k), garbage);
    gemm_args with = args<float>(a.span().data(), b.span().data(), c.span().data());
    with.workspace = workspace.span();
    op(with);
    return c;
  }

  /// The product in double; of the absolute values, if so asked.
  std::vector<double> in_double(bool absolute) const {
    const std::vector<double> left = widened(a.span(), absolute);
    const std::vector<double> right = widened(b.span(), absolute);
    std::vector<double> c = widened(before.span(), absolute);
    gemm_ref(args<double>(left.data(), right.data(), c.data()));
    return c;
  }

  gemm_shape shape;
  std::size_t a_stride;
  std::size_t b_stride;
  std::size_t c_stride;
  misaligned<float> a;
  misaligned<float> b;
  misaligned<float> before;
};

void check_within_bound(const gemm_case& one,
                        std::span<const float> got,
                        std::span<const double> exact,
                        std::span<const double> terms) {
  const double steps = static_cast<double>(one.shape.k + 2);
  for (std::size_t i = 0; i < one.shape.m; ++i) {
    for (std::size_t j = 0; j < one.c_stride; ++j) {
      const std::size_t at = i * one.c_stride + j;
      if (j < one.shape.n) {
        ASSERT_LE(std::abs(static_cast<double>(got[at]) - exact[at]),
                  steps * unit_roundoff * terms[at])
            << "row " << i << ", column " << j;
      } else {
        ASSERT_TRUE(std::isnan(got[at])) << "wrote into the gap of row " << i;
      }
    }
  }
}

void check_shape(const gemm_shape& shape) {
  SCOPED_TRACE(describe(shape));
  const gemm_case one(shape);
  const std::vector<double> exact = one.in_double(false);
  const std::vector<double> terms = one.in_double(true);
  for_each_cpu_target([&] {
    misaligned<float> got = one.run(gemm_cpu);
    check_within_bound(one, got.span(), exact, terms);
    ASSERT_TRUE(same_bits(one.run(gemm_cpu, 3.0F).span(), got.span()));  // and the same bits again
  });
}

/// Calls check(shape) with the four transpositions, overwriting and adding.
template <class Check>
void for_each_variant(gemm_shape shape, const Check& check) {
  for (const unsigned variant : {0U, 1U, 2U, 3U, 4U, 5U, 6U, 7U}) {
    shape.a_transposed = (variant & 1U) != 0;
    shape.b_transposed = (variant & 2U) != 0;
    shape.accumulate = (variant & 4U) != 0;
    check(shape);
    if (::testing::Test::HasFatalFailure()) return;
  }
}

TEST(Gemm, StaysWithinItsBoundForSizesAtEveryEdge) {
  for (const std::size_t m : {1U, 2U, 3U, 4U, 5U, 7U, 12U, 13U, 35U}) {
    for (const std::size_t n : {1U, 4U, 5U, 15U, 16U, 17U, 33U, 67U}) {
      for (const std::size_t k : {1U, 2U, 4U, 5U, 17U, 33U}) {
        for_each_variant({.m = m, .n = n, .k = k, .gap = (m + n + k) % 3}, check_shape);
      }
    }
  }
}

TEST(Gemm, StaysWithinItsBoundAcrossBlocks) {
  for_each_variant({.m = 49, .n = 513, .k = 385, .gap = 1}, check_shape);
  for_each_variant({.m = 3, .n = 1030, .k = 770}, check_shape);
  for_each_variant({.m = 130, .n = 3, .k = 770, .gap = 5}, check_shape);
}

TEST(Gemm, StaysWithinItsBoundWhereSubnormalsAreFlushed) {
  in_both_float_modes([] { for_each_variant({.m = 37, .n = 41, .k = 43}, check_shape); });
}

TEST(Gemm, ReferenceIsRoundedFromDouble) {
  for_each_variant({.m = 7, .n = 9, .k = 31, .gap = 2}, [](const gemm_shape& shape) {
    const gemm_case one(shape);
    const misaligned<float> got = one.run([](const gemm_args& args) { gemm_ref(args); });
    const std::vector<double> exact = one.in_double(false);
    for (std::size_t i = 0; i < shape.m; ++i) {
      for (std::size_t j = 0; j < shape.n; ++j) {
        const std::size_t at = i * one.c_stride + j;
        ASSERT_EQ(got.span()[at], static_cast<float>(exact[at])) << describe(shape) << " at " << at;
      }
    }
  });
}

TEST(Gemm, ComputesASmallCaseByHand) {
  const std::array<float, 6> a = {1.0F, 2.0F, 3.0F, 4.0F, 5.0F, 6.0F};     // [2, 3]
  const std::array<float, 6> b = {7.0F, 8.0F, 9.0F, 10.0F, 11.0F, 12.0F};  // [3, 2]
  std::vector<float> workspace(gemm_workspace(2, 2, 3));
  for_each_cpu_target([&] {
    std::array<float, 4> c = {1.0F, 1.0F, 1.0F, 1.0F};
    gemm_args args = {.a = a.data(),
                      .a_stride = 3,
                      .b = b.data(),
                      .b_stride = 2,
                      .c = c.data(),
                      .c_stride = 2,
                      .m = 2,
                      .n = 2,
                      .k = 3,
                      .workspace = workspace};
    gemm(args);
    EXPECT_EQ(c, (std::array{58.0F, 64.0F, 139.0F, 154.0F}));
    args.accumulate = true;
    gemm(args);
    EXPECT_EQ(c, (std::array{116.0F, 128.0F, 278.0F, 308.0F}));
    args.accumulate = false;
    args.b_transposed = true;  // b as [2, 3]
    args.b_stride = 3;
    gemm(args);
    EXPECT_EQ(c, (std::array{50.0F, 68.0F, 122.0F, 167.0F}));
  });
}

TEST(Gemm, ZeroesOrLeavesTheResultWhereThereIsNothingToSum) {
  for_each_cpu_target([] {
    for (const bool accumulate : {false, true}) {
      const gemm_case one({.m = 3, .n = 5, .k = 0, .accumulate = accumulate, .gap = 2});
      const misaligned<float> c = one.run(gemm_cpu);
      for (std::size_t i = 0; i < 3; ++i) {
        for (std::size_t j = 0; j < 5; ++j) {
          const std::size_t at = i * one.c_stride + j;
          EXPECT_EQ(c.span()[at], accumulate ? one.before.span()[at] : 0.0F);
        }
        EXPECT_TRUE(std::isnan(c.span()[i * one.c_stride + 5]));
      }
    }
    gemm_cpu({.b_stride = 4, .n = 4, .k = 4});
    gemm_cpu({.a_stride = 4, .m = 4, .k = 4});
  });
}

TEST(Gemm, NaNReachesItsRowAndNoOther) {
  for_each_cpu_target([] {
    for_each_variant({.m = 9, .n = 19, .k = 21}, [](const gemm_shape& shape) {
      gemm_case one(shape);
      one.a.span()[one.shape.a_transposed ? 4 : 4 * one.a_stride] = poison;  // op(A)[4, 0]
      const misaligned<float> c = one.run(gemm_cpu);
      for (std::size_t at = 0; at < c.span().size(); ++at) {
        ASSERT_EQ(std::isnan(c.span()[at]), at / one.c_stride == 4) << "at " << at;
      }
    });
  });
}

TEST(Gemm, NeedsNoMoreWorkspaceForSmallerSizes) {
  for (const std::size_t one : {1U, 4U, 31U, 429U, 2000U}) {
    for (const std::size_t other : {1U, 4U, 429U, 2000U}) {
      for (std::size_t size = 1; size < 900; ++size) {
        ASSERT_LE(gemm_workspace(size - 1, one, other), gemm_workspace(size, one, other)) << size;
        ASSERT_LE(gemm_workspace(one, size - 1, other), gemm_workspace(one, size, other)) << size;
        ASSERT_LE(gemm_workspace(one, other, size - 1), gemm_workspace(one, other, size)) << size;
      }
    }
  }
}

TEST(Gemm, RefusesAWorkspaceThatIsTooSmall) {
  std::vector<float> values(100);
  const gemm_args args = {.a = values.data(),
                          .a_stride = 10,
                          .b = values.data(),
                          .b_stride = 10,
                          .c = values.data(),
                          .c_stride = 10,
                          .m = 10,
                          .n = 10,
                          .k = 10};
  EXPECT_DEATH(gemm_cpu(args), "workspace");
}

}  // namespace
}  // namespace headrace::kernels
