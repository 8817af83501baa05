#include "storage/memory_spill_store.hpp"
#include "worker/join/joiner.hpp"
#include "worker/join/test_join_draw.hpp"
#include "worker/join/test_offline_join.hpp"
#include "worker/join/test_real_streams.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

/// Real streams as live impressions and labels, out of order, against the offline join.
namespace headrace::worker {
namespace {

void expect_as_offline(const real_stream& stream) {
  const join_spec& how = stream.how;
  const auto labels = offline_join(stream.events, how, true);
  const auto first = offline_join(stream.events, how, false);
  for (std::uint64_t seed = 1; seed <= 2; ++seed) {
    SCOPED_TRACE(seed);
    auto calls = shuffled(stream.events, how, seed);
    calls.push_back(finish());
    storage::memory_spill_store store;
    join_spec bounded = how;
    if (seed == 2) bounded.memory_bytes_max = 64 << 10;
    joiner join(bounded, &store);
    const auto sent = run(join, calls);
    EXPECT_EQ(final_labels(sent), labels);
    EXPECT_EQ(first_labels(sent), first);
    EXPECT_EQ(join.count().late_events, 0U);
    EXPECT_EQ(join.count().closed_early, 0U);
  }
}

TEST(RealJoins, ReplayOpenBandit) {
  const auto stream = open_bandit();
  if (!stream) GTEST_SKIP() << "HEADRACE_DATA does not lead to Open Bandit";
  expect_as_offline(*stream);
}

TEST(RealJoins, ReplayOnlineRetail) {
  const auto stream = online_retail();
  if (!stream) GTEST_SKIP() << "HEADRACE_DATA does not lead to Online Retail";
  expect_as_offline(*stream);
}

}  // namespace
}  // namespace headrace::worker
