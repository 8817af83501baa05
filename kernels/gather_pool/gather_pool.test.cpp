#include "kernels/gather_pool/gather_pool.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;
constexpr double underflow = 0x1p-149;

/// Bags of 0 to 20 occurrences over `rows_n` misaligned rows.
struct pool_case {
  pool_case(
      std::size_t bag_count, std::size_t row_dim, bool weighted, float limit, std::uint64_t seed)
      : bags(bag_count),
        dim(row_dim),
        rows(rows_n * row_dim),
        out_gradients(bag_count * row_dim),
        before(rows_n * row_dim) {
    random_stream random(seed);
    offsets = {0};
    for (std::size_t b = 0; b < bags; ++b) {
      for (std::uint64_t left = random.next_below(21); left > 0; --left) {
        inverse.push_back(static_cast<std::uint32_t>(random.next_below(rows_n)));
      }
      offsets.push_back(static_cast<std::uint32_t>(inverse.size()));
    }
    if (weighted) {
      for (std::size_t i = 0; i < inverse.size(); ++i)
        weights.push_back(next_hard(random, 8, limit));
    }
    for (float& value : rows.span()) value = next_hard(random, 8, limit);
    for (float& value : out_gradients.span()) value = next_hard(random, 8, limit);
    for (float& value : before.span()) value = next_hard(random, 8, limit);
  }

  double weight(std::size_t i) const {
    return weights.empty() ? 1.0 : static_cast<double>(weights[i]);
  }

  static constexpr std::size_t rows_n = 23;
  std::size_t bags;
  std::size_t dim;
  misaligned<float> rows;
  misaligned<float> out_gradients;
  misaligned<float> before;  // what row_gradients held
  std::vector<std::uint32_t> inverse;
  std::vector<float> weights;
  std::vector<std::uint32_t> offsets;
};

template <class Pool>
misaligned<float> pooled(const pool_case& one, const Pool& op) {
  misaligned<float> out(one.bags * one.dim, 9.0F);
  op({.rows = one.rows.span(),
      .inverse = one.inverse,
      .weights = one.weights,
      .offsets = one.offsets,
      .dim = one.dim,
      .out = out.span()});
  return out;
}

template <class Backward>
misaligned<float> backward(const pool_case& one, const Backward& op) {
  misaligned<float> gradients = one.before;
  op({.inverse = one.inverse,
      .weights = one.weights,
      .offsets = one.offsets,
      .dim = one.dim,
      .out_gradients = one.out_gradients.span(),
      .row_gradients = gradients.span()});
  return gradients;
}

/// A sum in double, of magnitudes beside it: what a bound is made of.
struct exact_sum {
  double value = 0.0;
  double magnitudes = 0.0;
  double terms = 0.0;
  void add(double term) {
    value += term;
    magnitudes += std::abs(term);
    terms += 1.0;
  }
  double bound() const { return (terms + 1.0) * unit_roundoff * magnitudes + terms * underflow; }
};

std::vector<exact_sum> exact_pool(const pool_case& one) {
  std::vector<exact_sum> out(one.bags * one.dim);
  for (std::size_t b = 0; b < one.bags; ++b) {
    for (std::size_t i = one.offsets[b]; i < one.offsets[b + 1]; ++i) {
      for (std::size_t c = 0; c < one.dim; ++c) {
        const float value = one.rows.span()[one.inverse[i] * one.dim + c];
        out[b * one.dim + c].add(one.weight(i) * static_cast<double>(value));
      }
    }
  }
  return out;
}

std::vector<exact_sum> exact_backward(const pool_case& one) {
  std::vector<exact_sum> gradients(one.before.span().size());
  for (std::size_t i = 0; i < gradients.size(); ++i)
    gradients[i].add(static_cast<double>(one.before.span()[i]));
  for (std::size_t b = 0; b < one.bags; ++b) {
    for (std::size_t i = one.offsets[b]; i < one.offsets[b + 1]; ++i) {
      for (std::size_t c = 0; c < one.dim; ++c) {
        const float from = one.out_gradients.span()[b * one.dim + c];
        gradients[one.inverse[i] * one.dim + c].add(one.weight(i) * static_cast<double>(from));
      }
    }
  }
  return gradients;
}

void expect_within(std::span<const float> got, const std::vector<exact_sum>& exact) {
  ASSERT_EQ(got.size(), exact.size());
  for (std::size_t i = 0; i < got.size(); ++i) {
    ASSERT_LE(std::abs(static_cast<double>(got[i]) - exact[i].value), exact[i].bound())
        << "at " << i << ": " << got[i] << ", exactly " << exact[i].value << ", of "
        << exact[i].terms;
  }
}

template <class Check>
void for_each_case(const Check& check) {
  constexpr float limit = 1e15F;  // products of two stay finite
  for (const std::size_t dim : test_dims()) {
    for (const std::size_t bags : {std::size_t{0}, std::size_t{1}, std::size_t{12}}) {
      for (const bool weighted : {false, true}) {
        SCOPED_TRACE(std::to_string(bags) + " bags of dim " + std::to_string(dim) +
                     (weighted ? ", weighted" : ""));
        check(pool_case(bags, dim, weighted, limit, test_seed() + dim + bags));
      }
    }
  }
}

TEST(GatherPool, StaysWithinItsBoundOfTheExactSum) {
  for_each_cpu_target([] {
    for_each_case([](const pool_case& one) {
      const auto exact = exact_pool(one);
      expect_within(pooled(one, gather_pool_cpu).span(), exact);
      expect_within(pooled(one, gather_pool_ref).span(), exact);
    });
  });
}

TEST(GatherPool, AddsTheGradientWithinItsBoundOfTheExactSum) {
  for_each_cpu_target([] {
    for_each_case([](const pool_case& one) {
      const auto exact = exact_backward(one);
      expect_within(backward(one, gather_pool_backward_cpu).span(), exact);
      expect_within(backward(one, gather_pool_backward_ref).span(), exact);
    });
  });
}

TEST(GatherPool, GivesTheSameBitsOnEveryTargetForwardAndBackward) {
  in_both_float_modes([] {
    for_each_case([](const pool_case& one) {
      misaligned<float> wanted = on_plain_code([&one] { return pooled(one, gather_pool_cpu); });
      misaligned<float> wanted_gradients =
          on_plain_code([&one] { return backward(one, gather_pool_backward_cpu); });
      for_each_cpu_target([&] {
        ASSERT_TRUE(same_bits(pooled(one, gather_pool_cpu).span(), wanted.span()));
        ASSERT_TRUE(
            same_bits(backward(one, gather_pool_backward_cpu).span(), wanted_gradients.span()));
      });
    });
  });
}

TEST(GatherPool, GivesZeroForAnEmptyBag) {
  const std::array<float, 2> rows = {3.0F, 4.0F};
  const std::array<std::uint32_t, 1> inverse = {0};
  const std::array<std::uint32_t, 4> offsets = {0, 0, 1, 1};
  for_each_cpu_target([&] {
    std::array<float, 6> out = {9.0F, 9.0F, 9.0F, 9.0F, 9.0F, 9.0F};
    gather_pool_cpu({.rows = rows, .inverse = inverse, .offsets = offsets, .dim = 2, .out = out});
    EXPECT_EQ(out, (std::array{0.0F, 0.0F, 3.0F, 4.0F, 0.0F, 0.0F}));
  });
}

/// loss = Σ out_gradients * out, linear in each row value, so a central difference in double is
/// exact up to rounding: 2^-50 of the terms' magnitude over a step of 1 is far inside the bound
/// added.
TEST(GatherPool, GradientEqualsCentralDifferencesOfTheReferenceMaths) {
  pool_case one(9, 5, true, 4.0F, test_seed());
  std::fill(one.before.span().begin(), one.before.span().end(), 0.0F);
  std::vector<double> values(one.rows.span().begin(), one.rows.span().end());
  const auto loss = [&one, &values] {
    double sum = 0.0;
    for (std::size_t b = 0; b < one.bags; ++b) {
      for (std::size_t i = one.offsets[b]; i < one.offsets[b + 1]; ++i) {
        for (std::size_t c = 0; c < one.dim; ++c) {
          sum += static_cast<double>(one.out_gradients.span()[b * one.dim + c]) * one.weight(i) *
                 values[one.inverse[i] * one.dim + c];
        }
      }
    }
    return sum;
  };
  const auto bounds = exact_backward(one);
  for_each_cpu_target([&] {
    const misaligned<float> gradients = backward(one, gather_pool_backward_cpu);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const double value = values[i];
      values[i] = value + 1.0;
      const double above = loss();
      values[i] = value - 1.0;
      const double below = loss();
      values[i] = value;
      ASSERT_NEAR(static_cast<double>(gradients.span()[i]),
                  (above - below) / 2.0,
                  bounds[i].bound() + 1e-10)
          << "at " << i;
    }
  });
}

TEST(GatherPool, GivesTheGradientOfEachWeight) {
  for_each_cpu_target([] {
    for_each_case([](const pool_case& one) {
      for (const bool reference : {false, true}) {
        misaligned<float> got(one.inverse.size(), 9.0F);
        const gather_pool_weights_args args = {.rows = one.rows.span(),
                                               .inverse = one.inverse,
                                               .offsets = one.offsets,
                                               .dim = one.dim,
                                               .out_gradients = one.out_gradients.span(),
                                               .weight_gradients = got.span()};
        reference ? gather_pool_weights_ref(args) : gather_pool_weights_cpu(args);
        std::vector<exact_sum> exact(one.inverse.size());
        for (std::size_t b = 0; b < one.bags; ++b) {
          for (std::size_t i = one.offsets[b]; i < one.offsets[b + 1]; ++i) {
            for (std::size_t c = 0; c < one.dim; ++c)
              exact[i].add(static_cast<double>(one.rows.span()[one.inverse[i] * one.dim + c]) *
                           static_cast<double>(one.out_gradients.span()[b * one.dim + c]));
          }
        }
        expect_within(got.span(), exact);
      }
    });
  });
}

TEST(GatherPool, RefusesOffsetsThatDoNotCoverTheOccurrences) {
  const std::array<float, 1> rows = {1.0F};
  const std::array<std::uint32_t, 2> inverse = {0, 0};
  const std::array<std::uint32_t, 2> offsets = {0, 1};
  std::array<float, 1> out{};
  EXPECT_DEATH(
      gather_pool_cpu({.rows = rows, .inverse = inverse, .offsets = offsets, .dim = 1, .out = out}),
      "offsets");
}

}  // namespace
}  // namespace headrace::kernels
