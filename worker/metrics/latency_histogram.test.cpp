#include "worker/metrics/latency_histogram.hpp"

#include "base/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace headrace::worker {
namespace {

TEST(LatencyHistogram, FindsQuantilesWithinAnEighth) {
  random_stream random(11);
  latency_histogram histogram;
  std::vector<std::uint64_t> all;
  for (int i = 0; i < 20'000; ++i) {
    all.push_back(random.next() >> (40 + random.next_below(24)));
    histogram.add(all.back());
  }
  std::sort(all.begin(), all.end());
  for (const double q : {0.0, 0.1, 0.5, 0.9, 0.99, 0.999}) {
    const auto exact = all[static_cast<std::size_t>(q * static_cast<double>(all.size()))];
    EXPECT_GE(histogram.quantile(q), exact) << q;
    EXPECT_LE(histogram.quantile(q), exact + exact / 8) << q;
  }
  EXPECT_GE(histogram.quantile(1.0), all.back());
}

TEST(LatencyHistogram, IsExactForShortTimesAndTakesTheLongestOnes) {
  latency_histogram histogram;
  EXPECT_EQ(histogram.quantile(0.5), 0U);
  for (std::uint64_t ms = 0; ms < 16; ++ms) histogram.add(ms);
  EXPECT_EQ(histogram.quantile(0.5), 8U);
  EXPECT_EQ(histogram.quantile(1.0), 15U);
  histogram.add(UINT64_MAX);
  EXPECT_EQ(histogram.quantile(1.0), UINT64_MAX);
  EXPECT_EQ(histogram.count(), 17U);
}

}  // namespace
}  // namespace headrace::worker
