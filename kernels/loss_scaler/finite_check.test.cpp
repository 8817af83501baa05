#include "kernels/loss_scaler/finite_check.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <cmath>

namespace headrace::kernels {
namespace {

constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();

const std::vector<std::size_t> sizes = {
    0, 1, 3, 4, 7, 8, 9, 31, 32, 33, 63, 65, 129, 1001, 16'383, 16'384, 16'385, 40'000};

misaligned<float> hard_values(std::size_t n) {
  random_stream random(test_seed() + n);
  misaligned<float> values(n);
  for (float& value : values.span()) value = next_hard(random);
  return values;
}

TEST(AbsMax, IsExactOnHardValuesForSizesAtEveryEdge) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for (const std::size_t n : sizes) {
        const misaligned<float> values = hard_values(n);
        ASSERT_EQ(abs_max_cpu(values.span()), abs_max_ref(values.span())) << n << " values";
        ASSERT_TRUE(all_finite_cpu(values.span())) << n << " values";
      }
    });
  });
}

TEST(AbsMax, KeepsASubnormalThatTheFloatModeWouldFlush) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      misaligned<float> values(33);
      values.span()[20] = -std::numeric_limits<float>::denorm_min();
      const float largest = abs_max_cpu(values.span());
      const float wanted = std::numeric_limits<float>::denorm_min();
      EXPECT_EQ(std::memcmp(&largest, &wanted, sizeof wanted), 0);
    });
  });
}

TEST(AbsMax, ShowsTheWorstOfWhatIsNotFinite) {
  for_each_cpu_target([] {
    misaligned<float> values = hard_values(100);
    values.span()[37] = -infinity;
    EXPECT_EQ(abs_max_cpu(values.span()), infinity);
    values.span()[99] = -nan_value;
    EXPECT_TRUE(std::isnan(abs_max_cpu(values.span())));
    EXPECT_TRUE(std::isnan(abs_max_ref(values.span())));
  });
}

TEST(AllFinite, FindsOneBadValueAtAnyPlace) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for (const std::size_t n : sizes) {
        misaligned<float> values = hard_values(n);
        for (std::size_t at = 0; at < n; at += 1 + n / 67) {
          const float kept = values.span()[at];
          for (const float bad : {nan_value, -nan_value, infinity, -infinity}) {
            values.span()[at] = bad;
            ASSERT_FALSE(all_finite_cpu(values.span())) << at << " of " << n;
            ASSERT_FALSE(all_finite_ref(values.span()));
          }
          values.span()[at] = kept;
        }
      }
    });
  });
}

TEST(AllFinite, LooksAtTheLastValueAndNotBeyond) {
  for_each_cpu_target([] {
    for (std::size_t n = 0; n < 70; ++n) {
      misaligned<float> values(n + 1, 1.0F);
      values.span()[n] = nan_value;
      ASSERT_TRUE(all_finite_cpu(values.span().first(n)));
      ASSERT_FALSE(all_finite_cpu(values.span()));
    }
  });
}

}  // namespace
}  // namespace headrace::kernels
