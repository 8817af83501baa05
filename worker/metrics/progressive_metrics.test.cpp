#include "worker/metrics/progressive_metrics.hpp"

#include "base/byte_io.hpp"
#include "base/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <numeric>

namespace headrace::worker {
namespace {

std::uint64_t test_seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 20'240'612;
}

struct sample {
  float label;
  float p;
};

// By sorting: every pair of a positive and a negative, ties half.
double exact_auc(std::vector<sample> samples) {
  std::sort(
      samples.begin(), samples.end(), [](const sample& a, const sample& b) { return a.p < b.p; });
  double pairs = 0.0;
  double negatives = 0.0;
  double positives = 0.0;
  for (std::size_t i = 0; i < samples.size();) {
    double tied_positives = 0.0;
    double tied_negatives = 0.0;
    const float p = samples[i].p;
    for (; i < samples.size() && samples[i].p == p; ++i)
      ++(samples[i].label > 0.5F ? tied_positives : tied_negatives);
    pairs += tied_positives * (negatives + 0.5 * tied_negatives);
    positives += tied_positives;
    negatives += tied_negatives;
  }
  return pairs / (positives * negatives);
}

// Logits `spread` wide around `centre`, labels drawn from them.
std::vector<sample> drawn(std::size_t n, double centre, double spread, std::uint64_t seed) {
  random_stream random(seed);
  std::vector<sample> made(n);
  for (sample& each : made) {
    const double z =
        centre + spread * (random.next_unit() + random.next_unit() + random.next_unit() - 1.5);
    const double p = 1.0 / (1.0 + std::exp(-z));
    each = {random.next_unit() < p ? 1.0F : 0.0F, static_cast<float>(p)};
  }
  return made;
}

progressive_metrics scored(const std::vector<sample>& samples) {
  progressive_metrics made;
  for (const sample& each : samples) made.add(each.label, each.p);
  return made;
}

TEST(ProgressiveMetrics, HasTheExactAucWithin1e4) {
  const std::uint64_t seed = test_seed();
  for (const double centre : {0.0, -3.5, 6.0}) {
    for (const double spread : {0.1, 1.0, 6.0}) {
      const auto samples = drawn(50'000, centre, spread, seed);
      const progressive_metrics metrics = scored(samples);
      EXPECT_NEAR(metrics.auc(), exact_auc(samples), 1e-4)
          << centre << " " << spread << " seed " << seed;
      const std::vector<sample> recent(samples.end() - progressive_metrics::recent_window,
                                       samples.end());
      EXPECT_NEAR(metrics.recent_auc(), exact_auc(recent), 1e-4)
          << centre << " " << spread << " seed " << seed;
    }
  }
}

TEST(ProgressiveMetrics, CountsTiesHalf) {
  progressive_metrics metrics;
  for (int i = 0; i < 10; ++i) metrics.add(i % 2 == 0 ? 1.0F : 0.0F, 0.3F);
  EXPECT_EQ(metrics.auc(), 0.5);
  EXPECT_EQ(metrics.recent_auc(), 0.5);
  metrics.add(1.0F, 0.9F);  // above all five negatives: (5 * 2.5 + 5) / 30
  EXPECT_DOUBLE_EQ(metrics.auc(), 17.5 / 30.0);
}

TEST(ProgressiveMetrics, SaysOneHalfUntilBothLabelsWereSeen) {
  progressive_metrics metrics;
  EXPECT_EQ(metrics.auc(), 0.5);
  EXPECT_EQ(metrics.recent_auc(), 0.5);
  EXPECT_EQ(metrics.logloss(), 0.0);
  EXPECT_EQ(metrics.calibration(), 0.0);
  metrics.add(1.0F, 0.9F);
  EXPECT_EQ(metrics.auc(), 0.5);
}

TEST(ProgressiveMetrics, HasTheMeanLoglossWithBothEndsClipped) {
  const auto samples = drawn(1'000, 0.0, 3.0, 5);
  double loss = 0.0;
  for (const sample& each : samples) loss -= std::log(each.label > 0.5F ? each.p : 1.0F - each.p);
  EXPECT_NEAR(scored(samples).logloss(), loss / 1'000, 1e-6);
  const double worst = -std::log(1e-7);
  EXPECT_NEAR(scored({{1.0F, 0.0F}}).logloss(), worst, 1e-3);
  EXPECT_NEAR(scored({{0.0F, 1.0F}}).logloss(), worst, 1e-3);
  EXPECT_LT(scored({{1.0F, 1.0F}}).logloss(), 1e-6);
}

TEST(ProgressiveMetrics, KnowsCalibrationAndTheShareOfPositives) {
  const progressive_metrics metrics =
      scored({{1.0F, 0.5F}, {0.0F, 0.25F}, {0.0F, 0.75F}, {0.0F, 0.5F}});
  EXPECT_DOUBLE_EQ(metrics.calibration(), 2.0);
  EXPECT_DOUBLE_EQ(metrics.positive_share(), 0.25);
}

TEST(ProgressiveMetrics, CountsASampleAsOftenAsItsWeightSays) {
  const auto samples = drawn(2'000, -1.0, 2.0, test_seed());
  progressive_metrics weighted;
  progressive_metrics repeated;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const std::size_t times = 1 + i % 4;
    weighted.add(samples[i].label, samples[i].p, static_cast<float>(times));
    for (std::size_t k = 0; k < times; ++k) repeated.add(samples[i].label, samples[i].p);
  }
  EXPECT_EQ(weighted.samples(), 2'000U);
  EXPECT_EQ(repeated.samples(), 5'000U);
  EXPECT_NEAR(weighted.auc(), repeated.auc(), 1e-12);
  EXPECT_NEAR(weighted.recent_auc(), repeated.recent_auc(), 1e-12);
  EXPECT_NEAR(weighted.logloss(), repeated.logloss(), 1e-12);
  EXPECT_NEAR(weighted.calibration(), repeated.calibration(), 1e-9);
  EXPECT_NEAR(weighted.positive_share(), repeated.positive_share(), 1e-12);
  progressive_metrics again;
  ASSERT_TRUE(again.load(weighted.save()).ok());
  EXPECT_EQ(again.save(), weighted.save());
  EXPECT_EQ(again.samples(), 2'000U);
  EXPECT_EQ(again.recent_auc(), weighted.recent_auc());
}

// What was saved before samples had weights: counts, and nothing of the number of samples.
TEST(ProgressiveMetrics, ReadsFiguresOfVersionOne) {
  byte_writer old;
  const std::uint32_t half = std::bit_cast<std::uint32_t>(0.5F) * 2;
  for (const std::uint64_t word : {1ULL, 0ULL}) old.number(word);
  old.number(3 * std::log(2.0));
  old.number(1.5);
  for (const std::uint64_t word : {1ULL, 32'768ULL, 1ULL, 2ULL, 3ULL}) old.number(word);
  for (const std::uint32_t entry : {half + 1, half, half}) old.number(std::uint64_t{entry});
  progressive_metrics expected;
  for (const float label : {1.0F, 0.0F, 0.0F}) expected.add(label, 0.5F);
  progressive_metrics read;
  ASSERT_TRUE(read.load(old.take()).ok());
  EXPECT_EQ(read.samples(), 3U);
  EXPECT_EQ(read.auc(), expected.auc());
  EXPECT_EQ(read.recent_auc(), expected.recent_auc());
  EXPECT_NEAR(read.logloss(), expected.logloss(), 1e-12);
  EXPECT_EQ(read.calibration(), expected.calibration());
}

TEST(ProgressiveMetrics, ScoresWhatIsNoProbabilityAsOneHalf) {
  progressive_metrics metrics;
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(),
                          std::numeric_limits<float>::infinity(),
                          -0.1F,
                          1.1F}) {
    metrics.add(1.0F, bad);
  }
  EXPECT_EQ(metrics.not_finite(), 4U);
  EXPECT_NEAR(metrics.logloss(), std::log(2.0), 1e-9);
}

TEST(ProgressiveMetrics, MergesToWhatOneWouldHaveSeen) {
  const auto samples = drawn(25'000, -1.0, 4.0, test_seed());
  const std::vector<sample> front(samples.begin(), samples.begin() + 12'345);
  const std::vector<sample> back(samples.begin() + 12'345, samples.end());
  progressive_metrics merged = scored(front);
  merged.merge(scored(back));
  const progressive_metrics whole = scored(samples);
  EXPECT_EQ(merged.samples(), whole.samples());
  EXPECT_EQ(merged.auc(), whole.auc());
  EXPECT_EQ(merged.recent_auc(), whole.recent_auc());
  EXPECT_NEAR(merged.logloss(), whole.logloss(), 1e-12);
}

TEST(ProgressiveMetrics, GoesOnFromSavedBytesAsIfNeverInterrupted) {
  const auto samples = drawn(25'000, -1.0, 4.0, test_seed());
  progressive_metrics whole;
  progressive_metrics interrupted;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    whole.add(samples[i].label, samples[i].p);
    interrupted.add(samples[i].label, samples[i].p);
    if (i % 8'000 == 4'000) {
      progressive_metrics next;
      next.add(1.0F, 0.1F);  // replaced by load
      ASSERT_TRUE(next.load(interrupted.save()).ok());
      interrupted = next;
    }
  }
  EXPECT_EQ(interrupted.auc(), whole.auc());
  EXPECT_EQ(interrupted.recent_auc(), whole.recent_auc());
  EXPECT_EQ(interrupted.logloss(), whole.logloss());
  EXPECT_EQ(interrupted.save(), whole.save());
}

TEST(ProgressiveMetrics, RefusesDamagedBytesAndKeepsWhatItHad) {
  const progressive_metrics saved = scored(drawn(100, 0.0, 1.0, 3));
  const auto bytes = saved.save();
  progressive_metrics metrics = scored({{1.0F, 0.5F}});
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_FALSE(metrics.load(std::span(bytes).first(length)).ok()) << length;
  }
  auto longer = bytes;
  longer.resize(bytes.size() + 8);
  EXPECT_FALSE(metrics.load(longer).ok());
  auto other = bytes;
  other[0] = std::byte{99};
  EXPECT_FALSE(metrics.load(other).ok());
  EXPECT_EQ(metrics.samples(), 1U);
}

}  // namespace
}  // namespace headrace::worker
