#include "kernels/bce/bce.hpp"
#include "kernels/bce/bce_launch.hpp"
#include "kernels/runtime/emulated_cases.hpp"

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;

struct emulated_bce {
  explicit emulated_bce(std::vector<float> z)
      : logits(std::move(z)),
        labels(logits.size()),
        probabilities(logits.size(), 9.0F),
        gradients(logits.size(), 9.0F) {
    random_stream random(test_seed());
    for (float& y : labels) {
      const std::uint64_t kind = random.next_below(3);
      y = kind == 2 ? static_cast<float>(random.next_unit()) : static_cast<float>(kind);
    }
  }
  double run(const emulated_launch& launch) {
    std::vector<double> partials(sum_blocks(logits.size()), std::nan(""));
    double loss = std::nan("");
    launch_bce({.logits = logits.data(),
                .labels = labels.data(),
                .probabilities = probabilities.data(),
                .logit_gradients = gradients.data(),
                .partials = partials.data(),
                .n = logits.size()},
               &loss,
               launch);
    return loss;
  }
  double run_ref() {
    return bce_ref({.logits = logits,
                    .labels = labels,
                    .probabilities = probabilities,
                    .logit_gradients = gradients});
  }
  std::vector<float> logits, labels, probabilities, gradients;
};

/// The bounds of the header, of the CPU version too.
void expect_within_bounds(emulated_bce one, const emulated_launch& launch) {
  emulated_bce wanted = one;
  const double exact = wanted.run_ref();
  const double loss = one.run(launch);
  double bound = 0.0;
  for (std::size_t i = 0; i < one.logits.size(); ++i) {
    const double p = static_cast<double>(wanted.probabilities[i]);
    const double off = 5.0 * unit_roundoff * p + 0x1p-126;
    ASSERT_NEAR(one.probabilities[i], p, off) << "logit " << one.logits[i];
    ASSERT_NEAR(one.gradients[i], wanted.gradients[i], off + 2.0 * unit_roundoff);
    const double z = std::abs(static_cast<double>(one.logits[i]));
    bound += 8.0 * unit_roundoff * (z + std::log(2.0));
  }
  ASSERT_NEAR(loss, exact, bound);
}

TEST(BceKernel, StaysWithinTheBoundsOfTheCpu) {
  for_each_order([](const emulated_launch& launch) {
    for (const std::size_t n : {0U, 1U, 31U, 256U, 1025U, 3001U}) {
      SCOPED_TRACE(std::to_string(n) + " samples");
      random_stream random(test_seed() + n);
      std::vector<float> z(n);
      for (float& value : z) value = next_signed(random, random.next_below(2) == 0 ? 4.0F : 120.0F);
      expect_within_bounds(emulated_bce(std::move(z)), launch);
    }
  });
}

TEST(BceKernel, StaysFiniteAtTheEndsOfTheRange) {
  expect_within_bounds(emulated_bce(hard_floats()), {test_seed()});
  emulated_bce one({-104.0F, 104.0F, -1e30F, 1e30F});
  EXPECT_TRUE(std::isfinite(one.run({test_seed()})));
}

TEST(BceKernel, GivesTheSameBitsInEveryOrder) {
  std::vector<float> z(5000);
  random_stream random(test_seed());
  fill_signed<float>(z, random, 10.0F);
  emulated_bce one(z);
  EXPECT_EQ(one.run({1}), one.run({2}));
}

}  // namespace
}  // namespace headrace::kernels
