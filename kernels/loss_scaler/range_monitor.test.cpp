#include "kernels/loss_scaler/range_monitor.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace headrace::kernels {
namespace {

constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

TEST(RangeMonitor, TrustsNoTensorThatItHasNotSeen) {
  range_monitor monitor(2, 4);
  monitor.look(1, 0.0F);
  EXPECT_FALSE(monitor.fits_half(0));
  EXPECT_TRUE(monitor.fits_half(1));
}

TEST(RangeMonitor, DrawsTheLineAtHalfOfTheLargestHalf) {
  range_monitor monitor(1, 1);
  monitor.look(0, 32'752.0F);
  EXPECT_TRUE(monitor.fits_half(0));
  monitor.look(0, std::nextafter(32'752.0F, 1e9F));
  EXPECT_FALSE(monitor.fits_half(0));
}

TEST(RangeMonitor, ForgetsALookOnceTheWindowHasPassed) {
  range_monitor monitor(1, 3);
  monitor.look(0, 40'000.0F);
  for (int i = 0; i < 2; ++i) {
    monitor.look(0, 1.0F);
    EXPECT_FALSE(monitor.fits_half(0)) << i;
  }
  EXPECT_EQ(monitor.amax(0), 40'000.0F);
  monitor.look(0, 2.0F);
  EXPECT_TRUE(monitor.fits_half(0));
  EXPECT_EQ(monitor.amax(0), 2.0F);
}

TEST(RangeMonitor, TakesANanForLargerThanAnyNumber) {
  for (const float bad : {nan_value, infinity}) {
    range_monitor monitor(1, 2);
    monitor.look(0, bad);
    monitor.look(0, 1.0F);
    EXPECT_EQ(monitor.amax(0), infinity);
    EXPECT_FALSE(monitor.fits_half(0));
    monitor.look(0, 1.0F);
    EXPECT_TRUE(monitor.fits_half(0));
  }
}

TEST(RangeMonitor, KeepsTensorsApart) {
  range_monitor monitor(3, 2);
  monitor.look(0, 1.0F);
  monitor.look(1, 50'000.0F);
  monitor.look(2, 3.0F);
  EXPECT_EQ(monitor.amax(0), 1.0F);
  EXPECT_EQ(monitor.amax(2), 3.0F);
  EXPECT_FALSE(monitor.fits_half(1));
}

TEST(RangeMonitor, RefusesATensorThatIsNotThere) {
  range_monitor monitor(1, 1);
  EXPECT_DEATH(monitor.look(1, 0.0F), "tensor");
}

}  // namespace
}  // namespace headrace::kernels
