#include "kernels/error_feedback/error_feedback.hpp"

#include "kernels/runtime/half.hpp"
#include "kernels/runtime/test_cases.hpp"
#include "kernels/top_k/top_k.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

/// One compressed gradient, and the residuals it left.
struct sparse_gradient {
  template <class Sparsify>
  sparse_gradient(const misaligned<float>& gradients,
                  const misaligned<float>& before,
                  std::size_t k,
                  const Sparsify& op)
      : residuals(before),
        indices(k, 0xFFFFFFFFU),
        codes(k, std::int8_t{99}),
        scales(sparse_scales(k), 99) {
    misaligned<float> selected(k, std::numeric_limits<float>::quiet_NaN());
    misaligned<std::uint32_t> workspace(top_k_workspace(), 77U);
    op({.gradients = gradients.span(),
        .residuals = residuals.span(),
        .indices = indices.span(),
        .codes = codes.span(),
        .scales = scales.span(),
        .selected = selected.span(),
        .workspace = workspace.span()});
  }
  template <class Add>
  misaligned<float> added_to(const misaligned<float>& values, const Add& op) const {
    misaligned<float> result = values;
    op({.indices = indices.span(),
        .codes = codes.span(),
        .scales = scales.span(),
        .values = result.span()});
    return result;
  }
  misaligned<float> decoded() const {
    return added_to(misaligned<float>(residuals.span().size()), add_sparse_cpu);
  }
  misaligned<float> residuals;
  misaligned<std::uint32_t> indices;
  misaligned<std::int8_t> codes;
  misaligned<std::uint16_t> scales;
};

misaligned<float> drawn(std::size_t n, std::uint64_t seed, float limit) {
  random_stream random(seed);
  misaligned<float> values(n);
  for (float& value : values.span()) {
    value = std::ldexp(next_signed(random), -static_cast<int>(random.next_below(12)));
    if (random.next_below(32) == 0) value = next_hard(random, 1, limit);
  }
  return values;
}

/// check(gradients, residuals, k) with values up to `limit`.
template <class Check>
void for_each_case(float limit, const Check& check) {
  for (const std::size_t n : {0U, 1U, 7U, 255U, 256U, 257U, 1000U, 3001U}) {
    for (const std::size_t k : {std::size_t{0}, std::size_t{1}, n / 20, n - n / 9, n}) {
      if (k > n) continue;
      SCOPED_TRACE(std::to_string(k) + " of " + std::to_string(n));
      check(drawn(n, test_seed() + n, limit), drawn(n, test_seed() + n + 1, limit), k);
    }
  }
}

TEST(Sparsify, GivesTheBitsOfTheReference) {
  in_both_float_modes([] {
    for_each_case(1e38F, [](const auto& gradients, const auto& before, std::size_t k) {
      sparse_gradient wanted(gradients, before, k, sparsify_ref);
      misaligned<float> sum = wanted.added_to(before, add_sparse_ref);
      for_each_cpu_target([&] {
        sparse_gradient got(gradients, before, k, sparsify_cpu);
        ASSERT_TRUE(same_bits(got.indices.span(), wanted.indices.span()));
        ASSERT_TRUE(same_bits(got.scales.span(), wanted.scales.span()));
        ASSERT_TRUE(same_bits(got.codes.span(), wanted.codes.span()));
        ASSERT_TRUE(same_bits(got.residuals.span(), wanted.residuals.span()));
        ASSERT_TRUE(same_bits(got.added_to(before, add_sparse_cpu).span(), sum.span()));
      });
    });
  });
}

/// code * scale is within half a step (and a little) of the value e. Code 0 leaves e. From code 2
/// on the two are within a factor of 2, so their difference is a float (Sterbenz). At code 1 e may
/// be a little below scale / 2: with a scale that is no power of 2 it still lies in the same
/// binade, and the difference is a multiple of its last bit no larger than that binade; with a
/// power of 2 the quotient is exact and e > scale / 2.
TEST(Sparsify, LosesNothing) {
  for_each_cpu_target([] {
    for_each_case(65504.0F, [](const auto& gradients, const auto& before, std::size_t k) {
      const sparse_gradient got(gradients, before, k, sparsify_cpu);
      const misaligned<float> decoded = got.decoded();
      for (std::size_t i = 0; i < before.span().size(); ++i) {
        const float wanted = before.span()[i] + gradients.span()[i];
        ASSERT_EQ(
            static_cast<double>(got.residuals.span()[i]) + static_cast<double>(decoded.span()[i]),
            static_cast<double>(wanted))
            << "at " << i;
      }
    });
  });
}

TEST(Sparsify, KeepsNoMoreThanHalfAStepOfWhatItSelects) {
  for_each_cpu_target([] {
    for_each_case(65504.0F, [](const auto& gradients, const auto& before, std::size_t k) {
      const sparse_gradient got(gradients, before, k, sparsify_cpu);
      for (std::size_t i = 0; i < k; ++i) {
        const double scale =
            static_cast<double>(half_to_float(got.scales.span()[i / sparse_block]));
        const float residual = got.residuals.span()[got.indices.span()[i]];
        ASSERT_LE(std::abs(static_cast<double>(residual)),
                  std::max(scale, 0x1p-24) / 2.0 * (1.0 + 0x1p-15));
      }
    });
  });
}

/// After any number of steps the decoded gradients and the residual sum to the gradients, but for
/// the rounding of each step's addition: 2^-24 of the residual it gives.
TEST(Sparsify, DeliversTheSumOfTheGradientsWithinTheLastResidual) {
  constexpr std::size_t n = 700;
  constexpr std::size_t k = 35;
  for_each_cpu_target([] {
    random_stream random(test_seed());
    misaligned<float> residuals(n);
    std::vector<double> given(n);
    std::vector<double> delivered(n);
    std::vector<double> rounding(n);
    std::size_t never = n;
    for (int step = 0; step < 400; ++step) {
      misaligned<float> gradients(n);
      for (std::size_t i = 0; i < n; ++i) {
        gradients.span()[i] = 0.1F + next_signed(random, i % 7 == 0 ? 3.0F : 0.1F);
        given[i] += static_cast<double>(gradients.span()[i]);
      }
      const sparse_gradient sent(gradients, residuals, k, sparsify_cpu);
      const misaligned<float> decoded = sent.decoded();
      for (std::size_t i = 0; i < n; ++i) {
        const double sum =
            static_cast<double>(residuals.span()[i]) + static_cast<double>(gradients.span()[i]);
        rounding[i] += 0x1p-24 * std::abs(sum);
        if (delivered[i] == 0.0 && decoded.span()[i] != 0.0F) --never;
        delivered[i] += static_cast<double>(decoded.span()[i]);
      }
      residuals = sent.residuals;
    }
    for (std::size_t i = 0; i < n; ++i) {
      ASSERT_NEAR(delivered[i] + static_cast<double>(residuals.span()[i]), given[i], rounding[i])
          << "at " << i;
    }
    EXPECT_EQ(never, 0U);  // the smallest gradients, too, have had their turn
  });
}

TEST(Sparsify, ComputesASmallCaseByHand) {
  misaligned<float> gradients(4);
  misaligned<float> before(4);
  const std::array<float, 4> g = {1.0F, -126.0F, 0.4F, 64.0F};
  std::copy(g.begin(), g.end(), gradients.span().begin());
  before.span()[1] = -1.0F;
  before.span()[3] = 0.25F;
  for_each_cpu_target([&] {
    const sparse_gradient got(gradients, before, 2, sparsify_cpu);
    EXPECT_EQ(got.indices.span()[0], 1U);
    EXPECT_EQ(got.indices.span()[1], 3U);
    EXPECT_EQ(half_to_float(got.scales.span()[0]), 1.0F);
    EXPECT_EQ(got.codes.span()[0], -127);
    EXPECT_EQ(got.codes.span()[1], 64);
    const std::array<float, 4> left = {1.0F, 0.0F, 0.4F, 0.25F};
    EXPECT_TRUE(std::equal(left.begin(), left.end(), got.residuals.span().begin()));
  });
}

TEST(Sparsify, RefusesTooFewScales) {
  const misaligned<float> values(600);
  sparse_gradient got(values, values, 300, sparsify_cpu);
  got.scales = misaligned<std::uint16_t>(1);
  EXPECT_DEATH(got.decoded(), "scales");
}

}  // namespace
}  // namespace headrace::kernels
