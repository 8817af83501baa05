#include "kernels/rate_schedule/rate_schedule.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <numbers>

namespace headrace::kernels {
namespace {

constexpr rate_schedule warm_cosine = {.kind = rate_kind::cosine,
                                       .peak = 0.8F,
                                       .floor = 0.2F,
                                       .warmup_steps = 100,
                                       .total_steps = 500};

TEST(RateSchedule, ConstantIsThePeakAtEveryStep) {
  const rate_schedule constant = {.peak = 0.05F, .warmup_steps = 10};
  for (const std::uint64_t step : {0ULL, 5ULL, 1'000'000ULL}) {
    EXPECT_EQ(rate_at(constant, step), 0.05F);
  }
}

TEST(RateSchedule, WarmUpClimbsInEqualStepsFromTheFirstOn) {
  const rate_schedule warm = {.kind = rate_kind::warmup, .peak = 1.0F, .warmup_steps = 8};
  EXPECT_EQ(rate_at(warm, 0), 0.125F);
  EXPECT_EQ(rate_at(warm, 3), 0.5F);
  EXPECT_EQ(rate_at(warm, 7), 1.0F);
  EXPECT_EQ(rate_at(warm, 8), 1.0F);
  EXPECT_EQ(rate_at(warm, 1'000'000), 1.0F);
}

TEST(RateSchedule, NoWarmUpStartsAtThePeak) {
  EXPECT_EQ(rate_at({.kind = rate_kind::warmup, .peak = 0.3F}, 0), 0.3F);
  EXPECT_EQ(rate_at({.kind = rate_kind::cosine, .peak = 0.3F, .total_steps = 10}, 0), 0.3F);
  EXPECT_EQ(rate_at({.kind = rate_kind::inverse_root, .peak = 0.3F}, 0), 0.3F);
}

TEST(RateSchedule, CosineFallsFromThePeakToTheFloorAndStaysThere) {
  EXPECT_EQ(rate_at(warm_cosine, 49), 0.4F);
  EXPECT_EQ(rate_at(warm_cosine, 100), 0.8F);
  EXPECT_FLOAT_EQ(rate_at(warm_cosine, 300), 0.5F);
  EXPECT_FLOAT_EQ(rate_at(warm_cosine, 200), 0.5F + 0.3F * 0.70710678F);
  EXPECT_EQ(rate_at(warm_cosine, 500), 0.2F);
  EXPECT_EQ(rate_at(warm_cosine, std::numeric_limits<std::uint64_t>::max()), 0.2F);
}

TEST(RateSchedule, CosineNeverRisesNorLeavesItsBounds) {
  for (std::uint64_t step = 100; step < 600; ++step) {
    EXPECT_LE(rate_at(warm_cosine, step + 1), rate_at(warm_cosine, step)) << step;
    EXPECT_GE(rate_at(warm_cosine, step), 0.2F);
  }
}

// Where a rate is rounded differently than std::cos has it, it is one float away.
TEST(RateSchedule, CosineIsTheCosine) {
  constexpr rate_schedule plain = {.kind = rate_kind::cosine, .peak = 1.0F, .total_steps = 10'000};
  for (std::uint64_t step = 0; step < 10'000; ++step) {
    const double exact = 0.5 + 0.5 * std::cos(std::numbers::pi * static_cast<double>(step) / 1e4);
    EXPECT_NEAR(static_cast<double>(rate_at(plain, step)), exact, 6e-8 * exact + 1e-15) << step;
  }
}

TEST(RateSchedule, InverseRootHalvesWhenTheStepsAreFourfold) {
  const rate_schedule root = {.kind = rate_kind::inverse_root, .peak = 0.6F, .warmup_steps = 50};
  EXPECT_FLOAT_EQ(rate_at(root, 24), 0.3F);
  EXPECT_EQ(rate_at(root, 49), 0.6F);
  EXPECT_LT(rate_at(root, 50), 0.6F);
  EXPECT_FLOAT_EQ(rate_at(root, 199), 0.3F);
  EXPECT_FLOAT_EQ(rate_at(root, 799), 0.15F);
}

TEST(RateSchedule, RefusesWhatIsNoSchedule) {
  EXPECT_FALSE(is_valid({.peak = 0.0F}));
  EXPECT_FALSE(is_valid({.peak = std::numeric_limits<float>::quiet_NaN()}));
  rate_schedule cosine = warm_cosine;
  cosine.total_steps = 100;
  EXPECT_FALSE(is_valid(cosine));
  cosine = warm_cosine;
  cosine.floor = 0.9F;
  EXPECT_FALSE(is_valid(cosine));
  EXPECT_DEATH(rate_at(cosine, 0), "is_valid");
}

}  // namespace
}  // namespace headrace::kernels
