#include "kernels/runtime/half.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <limits>

namespace headrace::kernels {
namespace {

constexpr std::uint32_t patterns = 1U << 16;
constexpr float infinity = std::numeric_limits<float>::infinity();

/// binary16 by its definition (IEEE 754-2008, 3.4) in double; `bits` finite.
double defined_value(std::uint32_t bits) {
  const double sign = (bits & 0x8000U) != 0 ? -1.0 : 1.0;
  const int exponent = static_cast<int>((bits >> 10) & 31U);
  const double fraction = static_cast<double>(bits & 0x3FFU);
  return sign *
         (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024.0 + fraction, exponent - 25));
}

TEST(Half, ReadsEveryFinitePatternExactly) {
  for (std::uint32_t bits = 0; bits < patterns; ++bits) {
    if ((bits & 0x7C00U) == 0x7C00U) continue;
    const float got = half_to_float(static_cast<std::uint16_t>(bits));
    ASSERT_EQ(static_cast<double>(got), defined_value(bits)) << "pattern " << bits;
    ASSERT_EQ(std::signbit(got), (bits & 0x8000U) != 0) << "pattern " << bits;
  }
}

TEST(Half, ReadsInfinitiesAndKeepsEveryNanPayload) {
  EXPECT_EQ(half_to_float(0x7C00), infinity);
  EXPECT_EQ(half_to_float(0xFC00), -infinity);
  for (std::uint32_t bits = 0; bits < patterns; ++bits) {
    if ((bits & 0x7C00U) != 0x7C00U || (bits & 0x3FFU) == 0) continue;
    const float got = half_to_float(static_cast<std::uint16_t>(bits));
    ASSERT_TRUE(std::isnan(got)) << "pattern " << bits;
    const std::uint32_t wanted = ((bits & 0x8000U) << 16) | 0x7F800000U | ((bits & 0x3FFU) << 13);
    ASSERT_EQ(std::bit_cast<std::uint32_t>(got), wanted) << "pattern " << bits;
  }
}

TEST(Half, ReadsTheSameWhenSubnormalsAreFlushed) {
  const float_mode mode;
  for (std::uint32_t bits = 1; bits < 0x7C00U;
       ++bits) {  // every positive finite half is a normal float
    const float got = half_to_float(static_cast<std::uint16_t>(bits));
    ASSERT_EQ(static_cast<double>(got), defined_value(bits)) << "pattern " << bits;
  }
}

/// Between two neighbouring halves the answer changes at one float only, so these are all cases.
TEST(Half, RoundsUpToTheNextHalfAtEveryThreshold) {
  in_both_float_modes([] {
    for (std::uint32_t bits = 1; bits <= half_max_bits; ++bits) {
      const float value = half_to_float(static_cast<std::uint16_t>(bits));
      ASSERT_EQ(half_at_least(value), bits);
      ASSERT_EQ(half_at_least(std::nextafterf(value, 0.0F)), bits);
      const std::uint32_t above = std::min<std::uint32_t>(bits + 1, half_max_bits);
      ASSERT_EQ(half_at_least(std::nextafterf(value, infinity)), above) << "above pattern " << bits;
    }
  });
}

TEST(Half, RoundsUpAtTheEndsOfTheRange) {
  EXPECT_EQ(half_at_least(0.0F), 0);
  EXPECT_EQ(half_at_least(-0.0F), 0);
  EXPECT_EQ(half_at_least(std::numeric_limits<float>::denorm_min()), 1);
  EXPECT_EQ(half_at_least(0x1p-25F), 1);
  EXPECT_EQ(half_at_least(half_max), half_max_bits);
  EXPECT_EQ(half_at_least(65505.0F), half_max_bits);
  EXPECT_EQ(half_at_least(std::numeric_limits<float>::max()), half_max_bits);
  EXPECT_EQ(half_at_least(infinity), half_max_bits);
}

TEST(CpuTargets, AreOrderedBestFirstAndEndInPlainCode) {
  const auto targets = cpu_targets();
  ASSERT_FALSE(targets.empty());
  EXPECT_EQ(chosen_cpu_target(), targets.front());
  for (std::size_t i = 1; i < targets.size(); ++i) EXPECT_LT(targets[i - 1], targets[i]);
}

TEST(CpuTargets, AnOverrideChoosesItsTargetAndGivesBackTheBest) {
  const auto targets = cpu_targets();
  for (const cpu_target target : targets) {
    const cpu_target_override chosen(target);
    EXPECT_EQ(chosen_cpu_target(), target) << name(target);
  }
  EXPECT_EQ(cpu_targets(), targets);
  EXPECT_EQ(chosen_cpu_target(), targets.front());
}

/// Around every midpoint of neighbours: the midpoint goes to the even one, the floats beside it to
/// the one they are nearer to.
template <class Read, class Nearest>
void expect_nearest(std::uint16_t end, const Read& read, const Nearest& nearest) {
  for (std::uint32_t low = 0; low < end; ++low) {
    const auto below = static_cast<std::uint16_t>(low);
    const auto above = static_cast<std::uint16_t>(low + 1);
    const double middle =
        (static_cast<double>(read(below)) + static_cast<double>(read(above))) / 2.0;
    const float at = static_cast<float>(middle);  // exact: one bit more than either has
    ASSERT_EQ(nearest(at), low % 2 == 0 ? below : above) << low;
    ASSERT_EQ(nearest(std::nextafter(at, 0.0F)), below) << low;
    ASSERT_EQ(nearest(std::nextafter(at, infinity)), above) << low;
    ASSERT_EQ(nearest(-std::nextafter(at, infinity)), above | 0x8000U) << low;
    ASSERT_EQ(nearest(read(below)), below) << low;
  }
  ASSERT_EQ(nearest(read(end)), end);
  ASSERT_EQ(nearest(std::numeric_limits<float>::max()), end);
  ASSERT_EQ(nearest(-infinity), end | 0x8000U);
  ASSERT_EQ(nearest(std::numeric_limits<float>::denorm_min()), 0);
  ASSERT_EQ(nearest(-0.0F), 0x8000U);
}

TEST(Half, RoundsToTheNearestAndNeverToAnInfinity) {
  expect_nearest(half_max_bits, half_to_float, half_nearest);
}

TEST(Brain, RoundsToTheNearestAndNeverToAnInfinity) {
  expect_nearest(brain_max_bits, brain_to_float, brain_nearest);
}

TEST(Brain, IsTheUpperHalfOfAFloat) {
  EXPECT_EQ(brain_to_float(0x3F80), 1.0F);
  EXPECT_EQ(brain_to_float(0xC000), -2.0F);
  EXPECT_EQ(brain_to_float(0x7F80), infinity);
}

}  // namespace
}  // namespace headrace::kernels
