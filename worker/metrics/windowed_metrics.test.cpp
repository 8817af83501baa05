#include "worker/metrics/windowed_metrics.hpp"

#include "base/random.hpp"

#include <gtest/gtest.h>

namespace headrace::worker {
namespace {

TEST(WindowedMetrics, HasOfEachWindowWhatOneOfItsSamplesAloneWouldHave) {
  random_stream random(20'261'127);
  windowed_metrics windowed(100);
  std::vector<progressive_metrics> alone(3);
  progressive_metrics whole;
  for (std::uint64_t row = 0; row < 250; ++row) {
    const auto p = static_cast<float>(random.next_unit());
    const float label = random.next_unit() < static_cast<double>(p) ? 1.0F : 0.0F;
    windowed.add(1'000 + 2 * row, label, p);
    alone[row / 100].add(label, p);
    whole.add(label, p);
  }
  const auto windows = windowed.windows();
  ASSERT_EQ(windows.size(), 3U);
  for (std::size_t w = 0; w < windows.size(); ++w) {
    EXPECT_EQ(windows[w].samples, w < 2 ? 100U : 50U);
    EXPECT_EQ(windows[w].first_row, 1'000 + 200 * w);
    EXPECT_EQ(windows[w].last_row, 1'000 + 200 * w + (w < 2 ? 198 : 98));
    EXPECT_EQ(windows[w].auc, alone[w].auc());
    EXPECT_EQ(windows[w].logloss, alone[w].logloss());
    EXPECT_EQ(windows[w].calibration, alone[w].calibration());
    EXPECT_EQ(windows[w].positive_share, alone[w].positive_share());
  }
  EXPECT_EQ(windowed.all().samples, 250U);
  EXPECT_EQ(windowed.all().auc, whole.auc());
  EXPECT_EQ(windowed.all().logloss, whole.logloss());
}

TEST(WindowedMetrics, EndsAWindowWithItsLastSampleAndHasNoEmptyOne) {
  windowed_metrics windowed(2);
  EXPECT_TRUE(windowed.windows().empty());
  windowed.add(0, 1.0F, 0.5F);
  windowed.add(1, 0.0F, 0.5F);
  EXPECT_EQ(windowed.windows().size(), 1U);
  windowed_metrics without(0);
  without.add(0, 1.0F, 2.0F);
  EXPECT_TRUE(without.windows().empty());
  EXPECT_EQ(without.all().samples, 1U);
  EXPECT_EQ(without.all().not_finite, 1U);
}

}  // namespace
}  // namespace headrace::worker
