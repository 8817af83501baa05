#include "kernels/loss_scaler/loss_scaler.hpp"

#include <gtest/gtest.h>

namespace headrace::kernels {
namespace {

void take_clean(loss_scaler& scaler, int steps) {
  for (int i = 0; i < steps; ++i) ASSERT_TRUE(scaler.take(true));
}

TEST(LossScaler, StartsAtTwoToTheSixteenth) {
  const loss_scaler scaler;
  EXPECT_EQ(scaler.scale(), 0x1p+16F);
  EXPECT_EQ(scaler.scale() * scaler.inverse(), 1.0F);
}

TEST(LossScaler, DoublesAfterTwoThousandCleanStepsInARow) {
  loss_scaler scaler;
  take_clean(scaler, 1999);
  EXPECT_EQ(scaler.scale(), 0x1p+16F);
  take_clean(scaler, 1);
  EXPECT_EQ(scaler.scale(), 0x1p+17F);
  take_clean(scaler, 1999);
  EXPECT_EQ(scaler.scale(), 0x1p+17F);
}

TEST(LossScaler, HalvesAndSkipsAStepThatIsNotFiniteAndCountsAnew) {
  loss_scaler scaler;
  take_clean(scaler, 1999);
  EXPECT_FALSE(scaler.take(false));
  EXPECT_EQ(scaler.scale(), 0x1p+15F);
  EXPECT_EQ(scaler.state().skipped_total, 1U);
  take_clean(scaler, 1999);
  EXPECT_EQ(scaler.scale(), 0x1p+15F);
  take_clean(scaler, 1);
  EXPECT_EQ(scaler.scale(), 0x1p+16F);
}

TEST(LossScaler, StaysBetweenItsBounds) {
  loss_scaler scaler(
      {.initial_scale = 4.0F, .growth_interval = 1, .scale_min = 2.0F, .scale_max = 8.0F});
  for (int i = 0; i < 5; ++i) scaler.take(false);
  EXPECT_EQ(scaler.scale(), 2.0F);
  take_clean(scaler, 5);
  EXPECT_EQ(scaler.scale(), 8.0F);
}

TEST(LossScaler, GoesOnFromACheckpointAsIfItHadNotStopped) {
  const loss_scaler_options options = {.growth_interval = 7};
  loss_scaler whole(options);
  loss_scaler first(options);
  const auto outcome = [](int step) { return step % 11 != 5; };
  for (int step = 0; step < 40; ++step) whole.take(outcome(step));
  for (int step = 0; step < 20; ++step) first.take(outcome(step));
  loss_scaler second(options, first.state());
  for (int step = 20; step < 40; ++step) second.take(outcome(step));
  EXPECT_EQ(second.state(), whole.state());
}

TEST(LossScaler, RefusesAScaleThatIsNoPowerOfTwo) {
  EXPECT_DEATH(loss_scaler({.initial_scale = 1000.0F}), "is_power_of_two");
}

}  // namespace
}  // namespace headrace::kernels
