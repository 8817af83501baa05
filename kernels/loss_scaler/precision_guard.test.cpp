#include "kernels/loss_scaler/precision_guard.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>
#include <set>

namespace headrace::kernels {
namespace {

constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

TEST(PrecisionGuard, ChecksEvery256thStep) {
  const precision_guard guard(1);
  int checks = 0;
  for (std::uint64_t step = 0; step < 2560; ++step) checks += guard.due(step) ? 1 : 0;
  EXPECT_EQ(checks, 10);
  EXPECT_TRUE(guard.due(256));
  EXPECT_FALSE(guard.due(257));
}

TEST(PrecisionGuard, PromotesForAThousandStepsBeyondTwiceTheTolerance) {
  precision_guard guard(2);
  EXPECT_FALSE(guard.report(0, 256, 0.004, 0.002));
  EXPECT_FALSE(guard.promoted(0, 257));
  EXPECT_TRUE(guard.report(0, 512, 0.0041, 0.002));
  EXPECT_TRUE(guard.promoted(0, 513));
  EXPECT_TRUE(guard.promoted(0, 1512));
  EXPECT_FALSE(guard.promoted(0, 1513));
  EXPECT_FALSE(guard.promoted(1, 513));
  EXPECT_EQ(guard.promotions_total(), 1U);
}

TEST(PrecisionGuard, ProlongsThePromotionOfAnOpThatFailsAgain) {
  precision_guard guard(1);
  EXPECT_TRUE(guard.report(0, 0, 1.0, 0.001));
  EXPECT_TRUE(guard.report(0, 768, 1.0, 0.001));
  EXPECT_TRUE(guard.promoted(0, 1768));
  EXPECT_FALSE(guard.promoted(0, 1769));
  EXPECT_EQ(guard.promotions_total(), 2U);
}

TEST(PrecisionGuard, PromotesOnANan) {
  precision_guard guard(1);
  EXPECT_TRUE(guard.report(0, 256, static_cast<double>(nan_value), 0.001));
  EXPECT_TRUE(guard.promoted(0, 300));
}

TEST(PrecisionGuard, LooksAtOtherRowsAtOtherSteps) {
  const precision_guard guard(1);
  std::set<std::size_t> begins;
  for (std::uint64_t step = 0; step < 256 * 50; step += 256) {
    const row_slice slice = guard.slice(step, 1024);
    ASSERT_EQ(slice.end - slice.begin, 64U);
    ASSERT_LE(slice.end, 1024U);
    ASSERT_EQ(slice, guard.slice(step, 1024));
    begins.insert(slice.begin);
  }
  EXPECT_GT(begins.size(), 40U);
  EXPECT_EQ(guard.slice(256, 10), (row_slice{0, 10}));
  EXPECT_EQ(guard.slice(256, 64), (row_slice{0, 64}));
}

TEST(RelativeError, IsTheRatioOfTheLengths) {
  const std::array<float, 2> got = {3.0F, 4.5F};
  const std::array<float, 2> wanted = {3.0F, 4.0F};
  EXPECT_DOUBLE_EQ(relative_error(got, wanted), 0.1);
}

TEST(RelativeError, IsInfiniteWhereNothingCanBeSaid) {
  const std::array<float, 2> zeros = {0.0F, 0.0F};
  const std::array<float, 2> one = {0.0F, 1.0F};
  const std::array<float, 2> bad = {0.0F, nan_value};
  const std::array<float, 2> infinite = {0.0F, std::numeric_limits<float>::infinity()};
  EXPECT_EQ(relative_error(zeros, zeros), 0.0);
  EXPECT_TRUE(std::isinf(relative_error(one, zeros)));
  EXPECT_TRUE(std::isinf(relative_error(bad, one)));
  EXPECT_TRUE(std::isinf(relative_error(one, bad)));
  EXPECT_TRUE(std::isinf(relative_error(infinite, one)));
  EXPECT_TRUE(std::isinf(relative_error(one, infinite)));
  EXPECT_TRUE(std::isinf(relative_error(infinite, infinite)));
}

}  // namespace
}  // namespace headrace::kernels
