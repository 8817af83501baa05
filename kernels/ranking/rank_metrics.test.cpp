#include "kernels/ranking/rank_metrics.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr std::array<double, 4> ranks = {1.0, 3.0, 10.5, 200.0};

TEST(RankMetrics, HitRateCountsRanksUpToK) {
  EXPECT_EQ(hit_rate(ranks, 0), 0.0);
  EXPECT_EQ(hit_rate(ranks, 1), 0.25);
  EXPECT_EQ(hit_rate(ranks, 3), 0.5);
  EXPECT_EQ(hit_rate(ranks, 10), 0.5);
  EXPECT_EQ(hit_rate(ranks, 11), 0.75);
}

TEST(RankMetrics, NdcgDiscountsByTheLogarithmOfTheRank) {
  EXPECT_EQ(ndcg(ranks, 10), (1.0 + 0.5) / 4.0);
  EXPECT_DOUBLE_EQ(ndcg(ranks, 11), (1.0 + 0.5 + 1.0 / std::log2(11.5)) / 4.0);
}

TEST(RankMetrics, ReciprocalRankHasNoCut) {
  EXPECT_DOUBLE_EQ(mean_reciprocal_rank(ranks), (1.0 + 1.0 / 3.0 + 1.0 / 10.5 + 0.005) / 4.0);
}

TEST(RankMetrics, NoUsersGiveZero) {
  EXPECT_EQ(hit_rate({}, 10), 0.0);
  EXPECT_EQ(ndcg({}, 10), 0.0);
  EXPECT_EQ(mean_reciprocal_rank({}), 0.0);
}

}  // namespace
}  // namespace headrace::kernels
