#include "ps/shard/source_quota.hpp"

#include "base/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <string>
#include <vector>

namespace headrace::ps {
namespace {

std::uint64_t seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

TEST(SourceQuota, AdmitsEverythingWithoutLimits) {
  source_quota quota{{}};
  for (int i = 0; i < 1'000; ++i) {
    EXPECT_EQ(quota.admit("a", {1'000'000, 1'000'000, 1U << 26U}, 0), 0U);
  }
  EXPECT_EQ(quota.sources(), 0U);
}

TEST(SourceQuota, SaysWhenTheRefusedPushFits) {
  quota_limits limits;
  limits.rows_per_second = 1'000;
  source_quota quota(limits);
  EXPECT_EQ(quota.admit("a", {900, 0, 0}, 5'000), 0U);
  const std::uint32_t wait = quota.admit("a", {300, 0, 0}, 5'000);
  EXPECT_EQ(wait, 200U);
  EXPECT_EQ(quota.admit("a", {300, 0, 0}, 5'000 + wait - 1), 1U);
  EXPECT_EQ(quota.admit("a", {300, 0, 0}, 5'000 + wait), 0U);
}

TEST(SourceQuota, EachOfTheThreeLimitsHolds) {
  quota_limits limits;
  limits.rows_per_second = 1'000;
  limits.new_rows_per_second = 10;
  limits.bytes_per_second = 100'000;
  source_quota rows(limits);
  EXPECT_EQ(rows.admit("a", {1'000, 0, 1}, 0), 0U);
  EXPECT_EQ(rows.admit("a", {5, 0, 1}, 0), 5U);
  source_quota new_rows(limits);
  EXPECT_EQ(new_rows.admit("a", {10, 10, 1}, 0), 0U);
  EXPECT_EQ(new_rows.admit("a", {1, 1, 1}, 0), 100U);
  source_quota bytes(limits);
  EXPECT_EQ(bytes.admit("a", {1, 0, 100'000}, 0), 0U);
  EXPECT_EQ(bytes.admit("a", {1, 0, 5'000}, 0), 50U);
  EXPECT_EQ(bytes.admit("a", {1, 0, 0}, 0), 0U) << "a refusal must not be charged";
}

TEST(SourceQuota, APushLargerThanTheBurstPassesAndIsPaidBehindIt) {
  quota_limits limits;
  limits.rows_per_second = 100;
  source_quota quota(limits);
  EXPECT_EQ(quota.admit("a", {1'000, 0, 0}, 0), 0U);
  EXPECT_EQ(quota.admit("a", {1, 0, 0}, 0), 9'010U);
  EXPECT_EQ(quota.admit("a", {1'000, 0, 0}, 0), 10'000U);
  EXPECT_EQ(quota.admit("a", {1'000, 0, 0}, 10'000), 0U);
}

TEST(SourceQuota, AClockThatGoesBackGivesNothingAndTakesNothing) {
  quota_limits limits;
  limits.rows_per_second = 1'000;
  source_quota quota(limits);
  EXPECT_EQ(quota.admit("a", {1'000, 0, 0}, 1'000'000), 0U);
  EXPECT_EQ(quota.admit("a", {100, 0, 0}, 0), 100U);
  EXPECT_EQ(quota.admit("a", {100, 0, 0}, 100), 0U);
  EXPECT_EQ(quota.admit("a", {1'000, 0, 0}, std::numeric_limits<std::uint64_t>::max()), 0U);
}

TEST(SourceQuota, RemembersABoundedNumberOfSources) {
  quota_limits limits;
  limits.rows_per_second = 1'000;
  limits.sources_max = 8;
  source_quota quota(limits);
  for (std::uint64_t i = 0; i < 1'000; ++i) {
    EXPECT_EQ(quota.admit("source-" + std::to_string(i), {500, 0, 0}, i), 0U);
    EXPECT_LE(quota.sources(), 8U);
  }
}

TEST(SourceQuota, WhenRoomIsNeededABusySourceIsKeptAndAnIdleOneForgotten) {
  quota_limits limits;
  limits.rows_per_second = 1'000;
  limits.sources_max = 2;
  source_quota quota(limits);
  EXPECT_EQ(quota.admit("busy", {1'000, 0, 0}, 0), 0U);
  EXPECT_EQ(quota.admit("idle", {10, 0, 0}, 0), 0U);
  EXPECT_EQ(quota.admit("new", {1'000, 0, 0}, 100), 0U);
  EXPECT_EQ(quota.sources(), 2U);
  EXPECT_EQ(quota.admit("busy", {200, 0, 0}, 100), 100U);
}

struct admission {
  std::uint64_t at_ms;
  quota_cost cost;
};

// Over every span between two admissions: rate × span + max(burst, the largest push).
void expect_within(const std::vector<admission>& admitted,
                   std::uint64_t quota_cost::*field,
                   std::uint64_t rate,
                   std::uint64_t burst_ms) {
  std::uint64_t largest = 0;
  for (const auto& each : admitted) largest = std::max(largest, each.cost.*field);
  const std::uint64_t burst = std::max(rate * burst_ms, largest * 1'000);
  for (std::size_t from = 0; from < admitted.size(); ++from) {
    std::uint64_t sum = 0;
    for (std::size_t to = from; to < admitted.size(); ++to) {
      sum += admitted[to].cost.*field;
      ASSERT_LE(sum * 1'000, rate * (admitted[to].at_ms - admitted[from].at_ms) + burst);
    }
  }
}

TEST(SourceQuota, NeverAdmitsMoreThanTheRateOverAnySpanAndOneBurst) {
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed()));
  random_stream random(seed());
  for (int round = 0; round < 60; ++round) {
    quota_limits limits;
    limits.rows_per_second = 1 + random.next_below(5'000);
    limits.new_rows_per_second = 1 + random.next_below(500);
    limits.bytes_per_second = 1 + random.next_below(1'000'000);
    limits.burst_ms = static_cast<std::uint32_t>(1 + random.next_below(3'000));
    source_quota quota(limits);
    std::vector<admission> admitted;
    std::uint64_t now = random.next_below(1'000'000);
    const std::uint64_t size = 1 + random.next_below(4'000);
    for (int i = 0; i < 400; ++i) {
      now += random.next_below(4) == 0 ? random.next_below(400) : 0;
      quota_cost cost;
      cost.rows = random.next_below(size);
      cost.new_rows = random.next_below(cost.rows / 8 + 1);
      cost.bytes = cost.rows * 76;
      if (quota.admit("a", cost, now) == 0) admitted.push_back({now, cost});
      (void)quota.admit("b", cost, now);
    }
    expect_within(admitted, &quota_cost::rows, limits.rows_per_second, limits.burst_ms);
    expect_within(admitted, &quota_cost::new_rows, limits.new_rows_per_second, limits.burst_ms);
    expect_within(admitted, &quota_cost::bytes, limits.bytes_per_second, limits.burst_ms);
  }
}

TEST(SourceQuota, ASourceWithinItsQuotaIsNeverRefusedWhateverOthersDo) {
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed()));
  random_stream random(seed() + 1);
  for (int round = 0; round < 60; ++round) {
    quota_limits limits;
    limits.rows_per_second = 1 + random.next_below(5'000);
    limits.sources_max = 1 + random.next_below(6);
    source_quota quota(limits);
    std::uint64_t now = 0;
    std::uint64_t next_ms = 0;
    for (int i = 0; i < 2'000; ++i) {
      now += random.next_below(3);
      const std::string other = "other-" + std::to_string(random.next_below(10));
      (void)quota.admit(other, {random.next_below(100'000), 0, 0}, now);
      if (now < next_ms) continue;
      const std::uint64_t rows = 1 + random.next_below(2 * limits.rows_per_second);
      ASSERT_EQ(quota.admit("quiet", {rows, 0, 0}, now), 0U) << "round " << round;
      next_ms = now + (rows * 1'000 + limits.rows_per_second - 1) / limits.rows_per_second;
    }
  }
}

TEST(SourceQuota, WhatARefusedPushWasToldIsTrue) {
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed()));
  random_stream random(seed() + 2);
  quota_limits limits;
  limits.rows_per_second = 777;
  limits.bytes_per_second = 99'991;
  limits.burst_ms = 333;
  source_quota quota(limits);
  std::uint64_t now = 0;
  for (int i = 0; i < 3'000; ++i) {
    const quota_cost cost{random.next_below(900), 0, random.next_below(90'000)};
    const std::uint32_t wait = quota.admit("a", cost, now);
    if (wait == 0) continue;
    ASSERT_EQ(quota.admit("a", cost, now + wait - 1), 1U);
    now += wait;
    ASSERT_EQ(quota.admit("a", cost, now), 0U);
  }
}

}  // namespace
}  // namespace headrace::ps
