#include "worker/metrics/ranking_metrics.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <limits>

namespace headrace::worker {
namespace {

constexpr std::array<std::size_t, 2> one_and_three{1, 3};

TEST(RankingMetrics, KnowsHitRateNdcgAndReciprocalRank) {
  ranking_metrics metrics(one_and_three);
  metrics.add(std::array{0.1F, 0.9F, 0.5F, 0.2F}, 1);  // rank 1
  metrics.add(std::array{0.1F, 0.9F, 0.5F, 0.2F}, 2);  // rank 2
  metrics.add(std::array{0.1F, 0.9F, 0.5F, 0.2F}, 0);  // rank 4
  const auto at = metrics.figures();
  ASSERT_EQ(at.size(), 2U);
  EXPECT_EQ(at[0].k, 1U);
  EXPECT_DOUBLE_EQ(at[0].hit_rate, 1.0 / 3.0);
  EXPECT_DOUBLE_EQ(at[0].ndcg, 1.0 / 3.0);
  EXPECT_DOUBLE_EQ(at[1].hit_rate, 2.0 / 3.0);
  EXPECT_DOUBLE_EQ(at[1].ndcg, (1.0 + 1.0 / std::log2(3.0)) / 3.0);
  EXPECT_DOUBLE_EQ(metrics.mean_reciprocal_rank(), (1.0 + 0.5 + 0.25) / 3.0);
  EXPECT_DOUBLE_EQ(metrics.mean_rank(), 7.0 / 3.0);
  EXPECT_EQ(metrics.cases(), 3U);
}

TEST(RankingMetrics, PutsAModelThatScoresAllAlikeInTheMiddle) {
  ranking_metrics metrics(one_and_three);
  metrics.add(std::array{0.5F, 0.5F, 0.5F, 0.5F, 0.5F}, 0);
  EXPECT_DOUBLE_EQ(metrics.mean_rank(), 3.0);
  EXPECT_EQ(metrics.figures()[0].hit_rate, 0.0);
}

TEST(RankingMetrics, PutsABrokenScoreLast) {
  ranking_metrics metrics(one_and_three);
  metrics.add(std::array{std::numeric_limits<float>::quiet_NaN(), 0.1F, 0.2F}, 0);
  EXPECT_DOUBLE_EQ(metrics.mean_rank(), 3.0);
}

TEST(RankingMetrics, LeavesExcludedCandidatesOutButForTheRightOne) {
  ranking_metrics metrics(one_and_three);
  const std::array excluded{1U, 2U};
  metrics.add(std::array{0.1F, 0.9F, 0.5F, 0.2F}, 0, excluded);
  EXPECT_DOUBLE_EQ(metrics.mean_rank(), 2.0);
  metrics.add(std::array{0.1F, 0.9F, 0.5F, 0.2F}, 2, excluded);
  EXPECT_DOUBLE_EQ(metrics.mean_rank(), 1.5);
}

TEST(RankingMetrics, SaysZeroWithoutCases) {
  const ranking_metrics metrics(one_and_three);
  EXPECT_EQ(metrics.figures()[1].ndcg, 0.0);
  EXPECT_EQ(metrics.mean_reciprocal_rank(), 0.0);
}

}  // namespace
}  // namespace headrace::worker
