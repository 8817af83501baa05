#include "ps/table/rate_share.hpp"

#include <gtest/gtest.h>

#include <limits>

namespace headrace::ps {
namespace {

using schemas::schedule_kind;
using schemas::schedule_spec;

TEST(RateShare, IsOneWithoutASchedule) {
  for (const std::uint64_t batch : {0ULL, 1ULL, 1'000'000ULL})
    EXPECT_EQ(rate_share({}, batch_number{batch}), 1.0F);
}

TEST(RateShare, CountsBatchesFromOne) {
  const schedule_spec warm = {schedule_kind::warmup, 4};
  EXPECT_EQ(rate_share(warm, batch_number{1}), 0.25F);
  EXPECT_EQ(rate_share(warm, batch_number{3}), 0.75F);
  EXPECT_EQ(rate_share(warm, batch_number{4}), 1.0F);
  EXPECT_EQ(rate_share(warm, batch_number{5}), 1.0F);
}

// Frozen: logs are replayed by other builds.
TEST(RateShare, HasTheSameBitsEverywhere) {
  const schedule_spec cosine = {schedule_kind::cosine, 10, 110, 0.1F};
  EXPECT_EQ(rate_share(cosine, batch_number{11}), 1.0F);
  EXPECT_EQ(rate_share(cosine, batch_number{44}), 0.77906865F);
  EXPECT_EQ(rate_share(cosine, batch_number{61}), 0.55F);
  EXPECT_EQ(rate_share(cosine, batch_number{111}), 0.1F);
  EXPECT_EQ(rate_share({schedule_kind::inverse_root, 10}, batch_number{44}), 0.4767313F);
}

TEST(RateShare, NeverEndsAtNothing) {
  const schedule_spec cosine = {schedule_kind::cosine, 0, 10, 0.0F};
  EXPECT_EQ(rate_share(cosine, batch_number{11}), std::numeric_limits<float>::min());
}

}  // namespace
}  // namespace headrace::ps
