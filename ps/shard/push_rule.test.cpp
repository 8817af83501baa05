#include "ps/shard/push_rule.hpp"

#include "ps/shard/position_state.hpp"

#include <gtest/gtest.h>

namespace headrace::ps {
namespace {

using schemas::lane;
using verdict = push_rule::verdict;

const schemas::source_id clicks{"clicks", 1};

batch_number batch(std::uint64_t k) { return batch_number{k}; }

/// Admits and commits `k` of clicks at `at`.
void learn(push_rule& rule, std::uint64_t k, std::uint64_t at, lane on = lane::rows) {
  rule.admit(clicks, on, batch(k), lsn{at});
  rule.commit(lsn{at});
}

TEST(PushRule, AcceptsTheFirstBatchOfANewSource) {
  const push_rule rule;
  EXPECT_EQ(rule.check(clicks, lane::rows, batch(4), batch(0)).kind, verdict::accept);
}

TEST(PushRule, RefusesAGapAndNamesTheWatermark) {
  push_rule rule;
  learn(rule, 3, 1);
  const auto answer = rule.check(clicks, lane::rows, batch(7), batch(5));
  EXPECT_EQ(answer.kind, verdict::gap);
  EXPECT_EQ(answer.watermark, batch(3));
}

TEST(PushRule, RefusesAPrevBelowTheWatermarkAsAGap) {
  push_rule rule;
  learn(rule, 3, 1);
  EXPECT_EQ(rule.check(clicks, lane::rows, batch(5), batch(2)).kind, verdict::gap);
}

TEST(PushRule, FollowsTheWatermarkAcrossSkippedNumbers) {
  push_rule rule;
  learn(rule, 3, 1);
  EXPECT_EQ(rule.check(clicks, lane::rows, batch(9), batch(3)).kind, verdict::accept);
}

TEST(PushRule, ADuplicateWaitsForTheRecordOfTheWatermark) {
  push_rule rule;
  rule.admit(clicks, lane::rows, batch(1), lsn{1});
  rule.admit(clicks, lane::rows, batch(2), lsn{2});
  rule.commit(lsn{1});
  const auto answer = rule.check(clicks, lane::rows, batch(1), batch(0));
  EXPECT_EQ(answer.kind, verdict::duplicate);
  EXPECT_EQ(answer.watermark, batch(2));
  EXPECT_EQ(answer.wait_for, lsn{2});
}

TEST(PushRule, LanesHaveChainsOfTheirOwn) {
  push_rule rule;
  learn(rule, 8, 1, lane::dense);
  EXPECT_EQ(rule.check(clicks, lane::rows, batch(1), batch(0)).kind, verdict::accept);
  EXPECT_EQ(rule.check(clicks, lane::dense, batch(16), batch(8)).kind, verdict::accept);
  EXPECT_EQ(*rule.committed(clicks, lane::rows), batch(0));
}

TEST(PushRule, ARolledBackAdmissionIsForgotten) {
  push_rule rule;
  learn(rule, 1, 1);
  rule.admit(clicks, lane::rows, batch(2), lsn{2});
  rule.admit(clicks, lane::rows, batch(3), lsn{3});
  rule.roll_back(lsn{2});
  EXPECT_EQ(rule.check(clicks, lane::rows, batch(2), batch(1)).kind, verdict::accept);
  EXPECT_EQ(*rule.committed(clicks, lane::rows), batch(1));
}

TEST(PushRule, ARolledBackNewSourceLeavesNoTrace) {
  push_rule rule;
  const auto before = rule.save();
  rule.admit(clicks, lane::rows, batch(1), lsn{1});
  rule.roll_back(lsn{1});
  EXPECT_EQ(rule.save(), before);
}

TEST(PushRule, ANewGenerationBeginsItsOwnChainAndRetiresTheOld) {
  push_rule rule;
  learn(rule, 5, 1);
  const schemas::source_id next{"clicks", 2};
  EXPECT_EQ(rule.check(next, lane::rows, batch(6), batch(0)).kind, verdict::accept);
  rule.admit(next, lane::rows, batch(6), lsn{2});
  EXPECT_EQ(rule.check(clicks, lane::rows, batch(6), batch(5)).kind, verdict::retired);
  rule.commit(lsn{2});
  EXPECT_EQ(*rule.committed(next, lane::rows), batch(6));
  ASSERT_FALSE(rule.committed(clicks, lane::rows).ok());
  EXPECT_EQ(rule.committed(clicks, lane::rows).error().code, errc::unknown_source);
}

TEST(PushRule, ARolledBackGenerationGivesTheOldOneBack) {
  push_rule rule;
  learn(rule, 5, 1);
  rule.admit({"clicks", 2}, lane::rows, batch(6), lsn{2});
  rule.roll_back(lsn{2});
  EXPECT_EQ(rule.check(clicks, lane::rows, batch(6), batch(5)).kind, verdict::accept);
}

TEST(PushRule, TheSlowestSourceIsTheClock) {
  push_rule rule;
  EXPECT_EQ(rule.slowest(), 0U);
  learn(rule, 9, 1);
  EXPECT_EQ(rule.slowest(), 9U);
  rule.admit({"views", 1}, lane::rows, batch(2), lsn{2});
  EXPECT_EQ(rule.slowest(), 9U);
  rule.commit(lsn{2});
  EXPECT_EQ(rule.slowest(), 2U);
  rule.admit({"views", 1}, lane::rows, batch(20), lsn{3});
  rule.commit(lsn{3});
  EXPECT_EQ(rule.slowest(), 9U);
}

TEST(PushRule, LoadsWhatItSaved) {
  push_rule rule;
  learn(rule, 5, 1);
  rule.admit({"views", 3}, lane::dense, batch(16), lsn{2});
  rule.commit(lsn{2});
  push_rule other;
  ASSERT_TRUE(other.load(rule.save()).ok());
  EXPECT_EQ(other.save(), rule.save());
  EXPECT_EQ(other.slowest(), rule.slowest());
  EXPECT_EQ(other.check(clicks, lane::rows, batch(6), batch(5)).kind, verdict::accept);
}

TEST(PushRule, RefusesEveryTruncationOfItsState) {
  push_rule rule;
  learn(rule, 5, 1);
  const auto bytes = rule.save();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    push_rule other;
    EXPECT_FALSE(other.load(std::span(bytes).first(size)).ok()) << size;
  }
}

TEST(PushRule, VisitsTheCommittedWatermarksOfBothLanes) {
  push_rule rule;
  learn(rule, 5, 1);
  learn(rule, 16, 2, lane::dense);
  rule.admit(clicks, lane::rows, batch(6), lsn{3});  // in flight: not committed
  std::vector<std::uint64_t> seen;
  rule.visit([&](const schemas::source_id& source, lane, batch_number at) {
    EXPECT_EQ(source, clicks);
    seen.push_back(at.value);
  });
  EXPECT_EQ(seen, (std::vector<std::uint64_t>{5, 16}));
}

TEST(PositionState, ReadsWhatItWroteAndRefusesEveryTruncation) {
  push_rule rule;
  learn(rule, 5, 1);
  const auto bytes = encode_position_state(
      {.version = 3, .stamp_ms = 1'000, .rows = 7, .watermarks = rule.save()});
  const auto read = decode_position_state(bytes, shard_id{2});
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->version, 3U);
  EXPECT_EQ(read->stamp_ms, 1'000U);
  EXPECT_EQ(read->rows, 7U);
  EXPECT_EQ(read->watermarks, rule.save());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(decode_position_state(std::span(bytes).first(size), shard_id{2}).ok()) << size;
  }
}

}  // namespace
}  // namespace headrace::ps
