#include "kernels/runtime/float_mode.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <thread>

namespace headrace::kernels {
namespace {

/// Called, never inlined: the product is taken under the mode of the moment.
[[gnu::noinline]] float product(volatile float& a, volatile float& b) { return a * b; }

float smallest_normal_halved() {
  volatile float a = std::numeric_limits<float>::min();
  volatile float b = 0.5F;
  return product(a, b);
}

float subnormal_times_large() {
  volatile float a = std::numeric_limits<float>::denorm_min();
  volatile float b = 0x1p100F;
  return product(a, b);
}

TEST(FloatMode, WritesSubnormalResultsAsZeroWhileItLives) {
  ASSERT_GT(smallest_normal_halved(), 0.0F);
  {
    const float_mode mode;
    EXPECT_EQ(smallest_normal_halved(), 0.0F);
  }
  EXPECT_GT(smallest_normal_halved(), 0.0F);
}

TEST(FloatMode, ReadsSubnormalInputsAsZeroWhileItLives) {
  ASSERT_GT(subnormal_times_large(), 0.0F);
  {
    const float_mode mode;
    EXPECT_EQ(subnormal_times_large(), 0.0F);
  }
  EXPECT_GT(subnormal_times_large(), 0.0F);
}

TEST(FloatMode, NestsAndPutsBackWhatWasThere) {
  ASSERT_FALSE(in_float_mode());
  {
    const float_mode outer;
    { const float_mode inner; }
    EXPECT_TRUE(in_float_mode());
  }
  EXPECT_FALSE(in_float_mode());
}

TEST(FloatMode, IsStillRecognisedAfterInexactArithmetic) {
  const float_mode mode;
  volatile float a = 1.0F;
  volatile float b = 0x1p-60F;
  product(a, b);
  volatile float third = a / 3.0F;  // raises the inexact status
  EXPECT_GT(third, 0.0F);
  EXPECT_TRUE(in_float_mode());
}

TEST(FloatMode, BelongsToTheThreadThatSetIt) {
  bool set_there = false;
  float there = 1.0F;
  std::thread setter([&set_there, &there] {
    set_float_mode();
    set_there = in_float_mode();
    there = smallest_normal_halved();
  });
  setter.join();
  EXPECT_TRUE(set_there);
  EXPECT_EQ(there, 0.0F);
  EXPECT_FALSE(in_float_mode());
  EXPECT_GT(smallest_normal_halved(), 0.0F);
}

}  // namespace
}  // namespace headrace::kernels
