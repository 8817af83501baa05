#include "kernels/rope/rope.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;

/// Tokens of ragged sequences; all buffers misaligned.
struct rope_case {
  rope_case(std::size_t tokens, std::size_t heads_n, std::size_t width, std::uint64_t seed)
      : heads(heads_n),
        dim(width),
        values(tokens * heads_n * width),
        positions(tokens),
        table(known * width) {
    random_stream random(seed);
    for (float& value : values.span()) value = next_signed(random, 3.0F);
    for (std::uint32_t& position : positions.span()) {
      position = static_cast<std::uint32_t>(random.next_below(known));
    }
    fill_rope_table({.dim = dim, .base = base, .table = table.span()});
  }

  misaligned<float> run(bool inverse) const { return run(values, inverse); }
  misaligned<float> run(misaligned<float> turned, bool inverse) const {
    rope_cpu({.values = turned.span(),
              .positions = positions.span(),
              .heads = heads,
              .dim = dim,
              .base = base,
              .table = table.span(),
              .inverse = inverse});
    return turned;
  }
  std::vector<double> exact(std::vector<double> turned, bool inverse) const {
    rope_ref(basic_rope_args<double>{.values = turned,
                                     .positions = positions.span(),
                                     .heads = heads,
                                     .dim = dim,
                                     .base = base,
                                     .inverse = inverse});
    return turned;
  }
  std::vector<double> wide() const {
    return std::vector<double>(values.span().begin(), values.span().end());
  }

  static constexpr std::size_t known = 300;
  static constexpr double base = 500.0;
  std::size_t heads;
  std::size_t dim;
  misaligned<float> values;
  misaligned<std::uint32_t> positions;
  misaligned<float> table;
};

template <class Check>
void for_each_case(const Check& check) {
  for (const std::size_t tokens : {0U, 1U, 5U}) {
    for (const std::size_t heads : {1U, 3U}) {
      for (const std::size_t dim : {2U, 4U, 6U, 8U, 10U, 14U, 16U, 18U, 30U, 32U, 34U, 64U, 130U}) {
        SCOPED_TRACE(std::to_string(tokens) + " tokens, " + std::to_string(heads) + " heads, dim " +
                     std::to_string(dim));
        check(rope_case(tokens, heads, dim, test_seed() + dim));
      }
    }
  }
}

void expect_within_bound(std::span<const float> got,
                         const std::vector<double>& exact,
                         const std::vector<double>& from) {
  for (std::size_t i = 0; i < got.size(); ++i) {
    const double terms = std::abs(from[i]) + std::abs(from[i ^ 1]);
    ASSERT_LE(std::abs(static_cast<double>(got[i]) - exact[i]), 4.0 * unit_roundoff * terms)
        << "at " << i;
  }
}

TEST(Rope, StaysWithinItsBoundOfTheExactRotationBothWays) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for_each_case([](const rope_case& one) {
        for (const bool inverse : {false, true}) {
          const std::vector<double> exact = one.exact(one.wide(), inverse);
          expect_within_bound(one.run(inverse).span(), exact, one.wide());
          misaligned<float> reference = one.values;
          rope_ref(rope_args{.values = reference.span(),
                             .positions = one.positions.span(),
                             .heads = one.heads,
                             .dim = one.dim,
                             .base = one.base,
                             .inverse = inverse});
          expect_within_bound(reference.span(), exact, one.wide());
        }
      });
    });
  });
}

TEST(Rope, StaysWithinItsBoundFarFromTheStart) {
  constexpr std::size_t dim = 8;
  constexpr std::size_t known = 200'000;
  std::vector<float> table(known * dim);
  fill_rope_table({.dim = dim, .table = table});
  const std::array<std::uint32_t, 2> positions = {known - 1, 131'071};
  const std::vector<float> x = {1.0F,
                                2.0F,
                                -3.0F,
                                0.5F,
                                1.0F,
                                -1.0F,
                                0.25F,
                                9.0F,
                                1.0F,
                                2.0F,
                                -3.0F,
                                0.5F,
                                1.0F,
                                -1.0F,
                                0.25F,
                                9.0F};
  const std::vector<double> wide(x.begin(), x.end());
  std::vector<double> exact = wide;
  rope_ref(
      basic_rope_args<double>{.values = exact, .positions = positions, .heads = 1, .dim = dim});
  for_each_cpu_target([&] {
    std::vector<float> turned = x;
    rope_cpu({.values = turned, .positions = positions, .heads = 1, .dim = dim, .table = table});
    expect_within_bound(turned, exact, wide);
  });
}

/// The rotation is linear, so a central difference is exact but for rounding; <dy, R x> over x.
TEST(Rope, InverseIsTheGradientOfTheReference) {
  constexpr double step = 1e-3;
  const rope_case one(3, 2, 10, test_seed());
  random_stream random(test_seed() + 1);
  misaligned<float> dy(one.values.span().size());
  for (float& value : dy.span()) value = next_signed(random);
  const auto loss = [&](const std::vector<double>& x) {
    const std::vector<double> y = one.exact(x, false);
    double sum = 0.0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * static_cast<double>(dy.span()[i]);
    return sum;
  };
  const std::vector<double> wide_dy(dy.span().begin(), dy.span().end());
  const std::vector<double> exact = one.exact(wide_dy, true);
  std::vector<double> x = one.wide();
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double value = x[i];
    x[i] = value + step;
    const double above = loss(x);
    x[i] = value - step;
    const double below = loss(x);
    x[i] = value;
    ASSERT_NEAR(exact[i], (above - below) / (2.0 * step), 1e-9) << "at " << i;
  }
  for_each_cpu_target([&] {
    misaligned<float> dx = dy;
    rope_backward({.values = dx.span(),
                   .positions = one.positions.span(),
                   .heads = one.heads,
                   .dim = one.dim,
                   .base = one.base,
                   .table = one.table.span()});
    expect_within_bound(dx.span(), exact, wide_dy);
  });
}

TEST(Rope, ScoresDependOnTheDistanceOfPositionsOnly) {
  constexpr std::size_t dim = 32;
  std::vector<float> table(400 * dim);
  fill_rope_table({.dim = dim, .table = table});
  random_stream random(test_seed());
  std::vector<float> drawn(2 * dim);
  for (float& value : drawn) value = next_signed(random);
  const auto score = [&](std::uint32_t query, std::uint32_t key) {
    std::vector<float> turned = drawn;
    const std::array<std::uint32_t, 2> positions = {query, key};
    rope_cpu({.values = turned, .positions = positions, .heads = 1, .dim = dim, .table = table});
    double sum = 0.0;
    for (std::size_t i = 0; i < dim; ++i) {
      sum += static_cast<double>(turned[i]) * static_cast<double>(turned[dim + i]);
    }
    return sum;
  };
  for_each_cpu_target([&] {
    EXPECT_NEAR(score(7, 3), score(304, 300), 1e-4);
    EXPECT_GT(std::abs(score(7, 3) - score(7, 4)), 1e-3);
  });
}

TEST(Rope, ComputesASmallCaseByHandAndLeavesPositionZero) {
  constexpr std::size_t dim = 4;
  std::vector<float> table(3 * dim);
  fill_rope_table({.dim = dim, .base = 100.0, .table = table});  // angles p and p / 10
  const std::array<std::uint32_t, 2> positions = {0, 2};
  for_each_cpu_target([&] {
    std::array<float, 8> x = {1.0F, 2.0F, 3.0F, 4.0F, 1.0F, 0.0F, 0.0F, 1.0F};
    rope_cpu({.values = x, .positions = positions, .heads = 1, .dim = dim, .table = table});
    EXPECT_EQ(x[0], 1.0F);
    EXPECT_EQ(x[3], 4.0F);
    EXPECT_NEAR(x[4], std::cos(2.0), 1e-7);
    EXPECT_NEAR(x[5], std::sin(2.0), 1e-7);
    EXPECT_NEAR(x[6], -std::sin(0.2), 1e-7);
    EXPECT_NEAR(x[7], std::cos(0.2), 1e-7);
  });
}

TEST(Rope, GivesTheSameBitsTwice) {
  for_each_cpu_target([] {
    for_each_case([](const rope_case& one) {
      misaligned<float> first = one.run(false);
      ASSERT_TRUE(same_bits(first.span(), one.run(false).span()));
    });
  });
}

TEST(Rope, RefusesAPositionBeyondItsTable) {
  const rope_case one(2, 1, 4, test_seed());
  std::vector<float> values(8);
  const std::array<std::uint32_t, 2> positions = {0, rope_case::known};
  EXPECT_DEATH(rope_cpu({.values = values,
                         .positions = positions,
                         .heads = 1,
                         .dim = 4,
                         .table = one.table.span()}),
               "position");
}

}  // namespace
}  // namespace headrace::kernels
