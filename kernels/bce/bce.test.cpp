#include "kernels/bce/bce.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;

struct bce_case {
  explicit bce_case(std::vector<float> z) : bce_case(std::move(z), {}) {
    random_stream random(test_seed());
    for (float& y : labels.span()) {
      const std::uint64_t kind = random.next_below(3);
      y = kind == 2 ? static_cast<float>(random.next_unit()) : static_cast<float>(kind);
    }
  }
  bce_case(std::vector<float> z, std::vector<float> y)
      : logits(z.size()),
        labels(z.size()),
        probabilities(z.size(), 9.0F),
        gradients(z.size(), 9.0F) {
    std::copy(z.begin(), z.end(), logits.span().begin());
    std::copy(y.begin(), y.end(), labels.span().begin());
  }

  template <class Op>
  double run(const Op& op) {
    return op({.logits = logits.span(),
               .labels = labels.span(),
               .probabilities = probabilities.span(),
               .logit_gradients = gradients.span(),
               .logit_offset = offset});
  }

  misaligned<float> logits;
  misaligned<float> labels;
  misaligned<float> probabilities;
  misaligned<float> gradients;
  float offset = 0.0F;
};

/// Uniform logits of n samples, over the range where floats of e^-|z| are normal and beyond it.
std::vector<float> drawn_logits(std::size_t n, std::uint64_t seed) {
  random_stream random(seed);
  std::vector<float> z(n);
  for (float& value : z) value = next_signed(random, random.next_below(2) == 0 ? 4.0F : 120.0F);
  return z;
}

double exact_probability(double z) {
  const double e = std::exp(-std::abs(z));
  return (z >= 0.0 ? 1.0 : e) / (1.0 + e);
}

double exact_loss(double z, double y) {
  return std::max(z, 0.0) - z * y + std::log1p(std::exp(-std::abs(z)));
}

void expect_probabilities_within_bound(bce_case& one) {
  for (std::size_t i = 0; i < one.logits.span().size(); ++i) {
    const double exact = exact_probability(static_cast<double>(one.logits.span()[i]));
    const double got = static_cast<double>(one.probabilities.span()[i]);
    ASSERT_GE(got, 0.0);
    ASSERT_LE(got, 1.0);
    const double bound = exact >= 0x1p-126 ? 4.0 * unit_roundoff * exact : 0x1p-126;
    ASSERT_LE(std::abs(got - exact), bound) << "logit " << one.logits.span()[i];
    // p - y is rounded once more.
    const double wanted = exact - static_cast<double>(one.labels.span()[i]);
    ASSERT_LE(std::abs(static_cast<double>(one.gradients.span()[i]) - wanted),
              bound + unit_roundoff * std::abs(wanted) + bound * unit_roundoff);
  }
}

void expect_loss_within_bound(bce_case& one, double got) {
  double exact = 0.0;
  double bound = 0.0;
  for (std::size_t i = 0; i < one.logits.span().size(); ++i) {
    const double z = static_cast<double>(one.logits.span()[i]);
    exact += exact_loss(z, static_cast<double>(one.labels.span()[i]));
    bound += 8.0 * unit_roundoff * (std::abs(z) + std::log(2.0));
  }
  ASSERT_LE(std::abs(got - exact), bound);
}

TEST(Bce, StaysWithinItsBoundsForSizesAtEveryEdge) {
  for_each_cpu_target([] {
    for (const std::size_t n : {0U, 1U, 3U, 4U, 5U, 15U, 16U, 17U, 33U, 255U, 256U, 257U, 5003U}) {
      SCOPED_TRACE(std::to_string(n) + " samples");
      bce_case one(drawn_logits(n, test_seed() + n));
      const double loss = one.run(bce_cpu);
      expect_probabilities_within_bound(one);
      expect_loss_within_bound(one, loss);
    }
  });
}

TEST(Bce, StaysWithinItsBoundsAtTheEndsOfTheRange) {
  std::vector<float> z = {0.0F,
                          -0.0F,
                          87.0F,
                          -87.0F,
                          87.4F,
                          -87.4F,
                          88.7F,
                          -88.7F,
                          104.0F,
                          -104.0F,
                          -150.0F,
                          1e10F,
                          -1e10F};
  z.insert(z.end(), hard_floats().begin(), hard_floats().end());
  in_both_float_modes([&z] {
    for_each_cpu_target([&z] {
      bce_case one(z);
      const double loss = one.run(bce_cpu);
      ASSERT_TRUE(std::isfinite(loss));
      expect_probabilities_within_bound(one);
    });
  });
}

TEST(Bce, ReferenceIsRoundedFromDouble) {
  bce_case one(drawn_logits(2000, test_seed()));
  const double loss = one.run(bce_ref);
  double exact = 0.0;
  for (std::size_t i = 0; i < 2000; ++i) {
    const double z = static_cast<double>(one.logits.span()[i]);
    const double y = static_cast<double>(one.labels.span()[i]);
    exact += exact_loss(z, y);
    ASSERT_EQ(one.probabilities.span()[i], static_cast<float>(exact_probability(z)));
    ASSERT_EQ(one.gradients.span()[i], static_cast<float>(exact_probability(z) - y));
  }
  EXPECT_NEAR(loss, exact, 1e-9 * exact);
}

TEST(Bce, ComputesWhatIsKnownByHand) {
  for_each_cpu_target([] {
    bce_case one({0.0F, 0.0F}, {0.0F, 1.0F});
    EXPECT_NEAR(one.run(bce_cpu), 2.0 * std::log(2.0), 8.0 * unit_roundoff);
    EXPECT_EQ(one.probabilities.span()[0], 0.5F);
    EXPECT_EQ(one.gradients.span()[0], 0.5F);
    EXPECT_EQ(one.gradients.span()[1], -0.5F);
  });
}

TEST(Bce, LearnsFromAnOffsetLogitWhatItDoesNotPredict) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for (const std::size_t n : {1U, 4U, 17U, 257U}) {
        SCOPED_TRACE(std::to_string(n) + " samples");
        const auto z = drawn_logits(n, test_seed() + n);
        std::vector<float> moved = z;
        for (float& value : moved) value += 2.25F;
        bce_case plain(z);
        bce_case at_offset(moved);
        bce_case one(z);
        one.offset = 2.25F;
        plain.run(bce_cpu);
        const double loss = at_offset.run(bce_cpu);
        EXPECT_EQ(one.run(bce_cpu), loss);
        for (std::size_t i = 0; i < n; ++i) {
          ASSERT_EQ(one.probabilities.span()[i], plain.probabilities.span()[i]);
          ASSERT_EQ(one.gradients.span()[i], at_offset.gradients.span()[i]);
        }
        bce_case reference(z);
        reference.offset = 2.25F;
        const double exact = reference.run(bce_ref);
        EXPECT_NEAR(loss, exact, 8.0 * unit_roundoff * (exact + 130.0 * static_cast<double>(n)));
        for (std::size_t i = 0; i < n; ++i)
          ASSERT_NEAR(one.gradients.span()[i], reference.gradients.span()[i], 6e-7F);
      }
    });
  });
}

/// Central difference of the loss in double: off by step^2 / 6 * max|σ''| (0.0963), 1.5e-8 here. z
/// is a multiple of the step, so z ± step are exact floats.
TEST(Bce, GradientEqualsCentralDifferencesOfTheReference) {
  constexpr float step = 0x1p-10F;
  for_each_cpu_target([] {
    random_stream random(test_seed());
    for (int i = 0; i < 500; ++i) {
      const float z =
          step * static_cast<float>(static_cast<int>(random.next_below(40'000)) - 20'000);
      const float y = static_cast<float>(random.next_unit());
      bce_case above({z + step}, {y});
      bce_case below({z - step}, {y});
      bce_case at({z}, {y});
      const double difference =
          (above.run(bce_ref) - below.run(bce_ref)) / (2.0 * static_cast<double>(step));
      at.run(bce_cpu);
      ASSERT_NEAR(
          static_cast<double>(at.gradients.span()[0]), difference, 2e-8 + 5.0 * unit_roundoff)
          << "logit " << z;
    }
  });
}

TEST(Bce, RefusesLabelsOfTheWrongSize) {
  std::array<float, 2> z{};
  std::array<float, 1> y{};
  std::array<float, 2> out{};
  EXPECT_DEATH(bce_cpu({.logits = z, .labels = y, .probabilities = out, .logit_gradients = out}),
               "labels");
}

}  // namespace
}  // namespace headrace::kernels
