#include "worker/join/joiner.hpp"

#include "base/process_secret.hpp"
#include "storage/memory_spill_store.hpp"
#include "worker/join/test_joins.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

/// One rule of the header each.
namespace headrace::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr auto complete = join_outcome::complete;
constexpr auto closed = join_outcome::closed;
constexpr auto correction = join_outcome::correction;

// A window of 100 ms, nothing out of order, no corrections, two kinds of action.
join_spec two_kinds() {
  join_spec how;
  how.window_ms = 100;
  how.actions = 2;
  return how;
}

sent_sample sample(std::string payload,
                   std::uint64_t time_ms,
                   std::uint64_t actions,
                   join_outcome outcome,
                   std::uint64_t arrived_ms = 0) {
  return {std::move(payload), time_ms, actions, arrived_ms, outcome};
}

TEST(Joiner, ClosesWhenTheWatermarkPassesTheEndOfTheWindow) {
  joiner join(two_kinds());
  EXPECT_THAT(run(join, {impression("a", 1000), impression("b", 1100)}), IsEmpty());
  EXPECT_THAT(run(join, {impression("c", 1101, 77)}),
              ElementsAre(sample("a", 1000, 0, closed, 77)));
  EXPECT_EQ(join.count().negatives, 1U);
  EXPECT_EQ(join.watermark_ms(), 1101U);
}

TEST(Joiner, WaitsForEventsOutOfOrder) {
  join_spec how = two_kinds();
  how.out_of_order_ms = 50;
  joiner join(how);
  EXPECT_THAT(run(join, {impression("a", 1000), impression("b", 1150), action("a", 1100)}),
              IsEmpty());
  EXPECT_EQ(join.count().late_events, 0U);
  EXPECT_THAT(run(join, {impression("c", 1151)}), ElementsAre(sample("a", 1000, 1, closed)));
}

TEST(Joiner, SendsAtOnceWhatIsComplete) {
  joiner join(two_kinds());
  EXPECT_THAT(run(join, {impression("a", 1000), action("a", 1001, 1)}), IsEmpty());
  EXPECT_THAT(run(join, {action("a", 1002, 0, 9)}), ElementsAre(sample("a", 1000, 3, complete, 9)));
  EXPECT_THAT(run(join, {finish()}), IsEmpty());
  EXPECT_EQ(join.count().positives, 1U);
  EXPECT_EQ(join.count().matched, 2U);
}

TEST(Joiner, CountsAnActionAtBothEndsOfTheWindow) {
  EXPECT_THAT(run(two_kinds(),
                  {impression("a", 1000), action("a", 1000, 0), action("a", 1100, 1), finish()}),
              ElementsAre(sample("a", 1000, 3, complete)));
}

TEST(Joiner, LeavesOutAnActionBehindTheWindow) {
  join_spec how = two_kinds();
  how.out_of_order_ms = 50;
  joiner join(how);
  EXPECT_THAT(run(join, {impression("a", 1000), action("a", 1101), finish()}),
              ElementsAre(sample("a", 1000, 0, closed)));
  EXPECT_EQ(join.count().expired_actions, 1U);
  EXPECT_EQ(join.count().matched, 0U);
}

TEST(Joiner, LeavesOutAnActionBeforeItsImpressionBeyondEarlyMs) {
  join_spec how = two_kinds();
  how.out_of_order_ms = 50;
  EXPECT_THAT(run(how, {impression("a", 1000), action("a", 999), finish()}),
              ElementsAre(sample("a", 1000, 0, closed)));
  EXPECT_THAT(run(how, {action("a", 999), impression("a", 1000), finish()}),
              ElementsAre(sample("a", 1000, 0, closed)));
  how.early_ms = 1;
  EXPECT_THAT(run(how, {impression("a", 1000), action("a", 999), finish()}),
              ElementsAre(sample("a", 1000, 1, closed)));
  EXPECT_THAT(run(how, {action("a", 999), impression("a", 1000), finish()}),
              ElementsAre(sample("a", 1000, 1, closed)));
  EXPECT_THAT(run(how, {action("a", 998), impression("a", 1000), finish()}),
              ElementsAre(sample("a", 1000, 0, closed)));
}

TEST(Joiner, KeepsActionsThatComeBeforeTheirImpression) {
  join_spec how = two_kinds();
  how.out_of_order_ms = 50;
  joiner join(how);
  EXPECT_THAT(run(join,
                  {action("a", 1040, 1),
                   action("a", 1030, 1),
                   action("a", 990, 0),
                   action("a", 1001, 0),
                   impression("a", 1000, 5)}),
              ElementsAre(sample("a", 1000, 3, complete, 5)));
  EXPECT_EQ(join.count().matched, 2U);
  EXPECT_EQ(join.count().repeated_actions, 1U);
  EXPECT_EQ(join.count().expired_actions, 1U);
}

TEST(Joiner, ForgetsAnActionWhoseImpressionDoesNotCome) {
  join_spec how = two_kinds();
  how.out_of_order_ms = 50;
  joiner join(how);
  EXPECT_THAT(run(join, {action("a", 1000), action("b", 1050)}), IsEmpty());
  EXPECT_EQ(join.pending(), 2U);
  EXPECT_THAT(run(join, {action("c", 1051)}), IsEmpty());
  EXPECT_EQ(join.pending(), 2U);
  EXPECT_EQ(join.count().expired_actions, 1U);
  EXPECT_THAT(run(join, {finish()}), IsEmpty());
  EXPECT_EQ(join.count().expired_actions, 3U);
}

TEST(Joiner, DoesNotKeepAnActionThatNoImpressionInBoundsCanFollow) {
  joiner join(two_kinds());
  run(join, {impression("a", 1000), action("b", 900)});
  EXPECT_EQ(join.pending(), 1U);
  EXPECT_EQ(join.count().late_events, 1U);
  EXPECT_EQ(join.count().expired_actions, 1U);
}

TEST(Joiner, CountsARepeatedKeyAndKeepsTheFirst) {
  join_call again = impression("a", 1010);
  again.payload = "other";
  joiner join(two_kinds());
  EXPECT_THAT(run(join, {impression("a", 1000), again, action("a", 1105), finish()}),
              ElementsAre(sample("a", 1000, 0, closed)));
  EXPECT_EQ(join.count().repeated, 1U);
}

TEST(Joiner, RemembersAKeyUntilTheEndOfItsWindowThoughItIsComplete) {
  joiner join(two_kinds());
  EXPECT_THAT(run(join,
                  {impression("a", 1000),
                   action("a", 1001, 0),
                   action("a", 1001, 1),
                   action("a", 1002, 1),
                   impression("a", 1100)}),
              ElementsAre(sample("a", 1000, 3, complete)));
  EXPECT_EQ(join.count().repeated, 1U);
  EXPECT_EQ(join.count().repeated_actions, 1U);
  EXPECT_THAT(run(join, {impression("a", 1101), finish()}),
              ElementsAre(sample("a", 1101, 0, closed)));
}

TEST(Joiner, CorrectsWhatCameBehindTheWindow) {
  join_spec how = two_kinds();
  how.correct_ms = 1000;
  joiner join(how);
  EXPECT_THAT(run(join, {impression("a", 1000), action("a", 1050, 0), impression("b", 1101)}),
              ElementsAre(sample("a", 1000, 1, closed)));
  EXPECT_THAT(run(join, {action("a", 2100, 1, 8)}),
              ElementsAre(sample("b", 1101, 0, closed, 8), sample("a", 1000, 3, correction, 8)));
  EXPECT_EQ(join.count().corrections, 1U);
  EXPECT_EQ(join.count().correcting, 1U);
  EXPECT_EQ(join.count().positives, 1U);
}

TEST(Joiner, CorrectsByAnActionOfTheWindowThatCameTooLateForIt) {
  join_spec how = two_kinds();
  how.correct_ms = 1000;
  joiner join(how);
  EXPECT_THAT(run(join, {impression("a", 1000), impression("b", 1500), action("a", 1001, 0)}),
              ElementsAre(sample("a", 1000, 0, closed), sample("a", 1000, 1, correction)));
  EXPECT_EQ(join.count().late_events, 1U);
}

TEST(Joiner, DoesNotCorrectBehindCorrectMs) {
  join_spec how = two_kinds();
  how.correct_ms = 1000;
  how.out_of_order_ms = 5;
  joiner join(how);
  EXPECT_THAT(run(join, {impression("a", 1000), impression("b", 2090), action("a", 2101)}),
              ElementsAre(sample("a", 1000, 0, closed)));
  EXPECT_EQ(join.count().expired_actions, 1U);
  EXPECT_EQ(join.pending(), 2U);
  run(join, {idle(0), impression("c", 2106)});
  EXPECT_EQ(join.pending(), 2U);  // "a" is forgotten
}

TEST(Joiner, SendsACorrectionThatWasKnownBeforeTheWindowEndedBehindTheSample) {
  join_spec how = two_kinds();
  how.correct_ms = 1000;
  how.out_of_order_ms = 50;
  joiner join(how);
  EXPECT_THAT(run(join, {impression("a", 1000), action("a", 1120, 1), action("a", 1010, 0)}),
              IsEmpty());
  EXPECT_THAT(run(join, {impression("b", 1151)}),
              ElementsAre(sample("a", 1000, 1, closed), sample("a", 1000, 3, correction)));
}

TEST(Joiner, ClosesALateImpressionAtOnceWhenItsWindowIsOver) {
  joiner join(two_kinds());
  EXPECT_THAT(run(join, {impression("b", 2000), impression("a", 1899, 6)}),
              ElementsAre(sample("a", 1899, 0, closed, 6)));
  EXPECT_EQ(join.count().late_events, 1U);
  EXPECT_THAT(run(join, {impression("c", 1900), action("c", 1950)}), IsEmpty());
  EXPECT_THAT(run(join, {finish()}),
              ElementsAre(sample("c", 1900, 1, closed, 6), sample("b", 2000, 0, closed, 6)));
}

TEST(Joiner, ClosesInTheOrderOfWindowsThenOfTheLog) {
  join_spec how = two_kinds();
  how.out_of_order_ms = 1000;
  EXPECT_THAT(run(how,
                  {impression("d", 1300),
                   impression("b", 1001),
                   impression("c", 1001),
                   impression("a", 1000),
                   finish()}),
              ElementsAre(sample("a", 1000, 0, closed),
                          sample("b", 1001, 0, closed),
                          sample("c", 1001, 0, closed),
                          sample("d", 1300, 0, closed)));
}

TEST(Joiner, GoesOnWithTheLogsClockWhileNothingComes) {
  joiner join(two_kinds());
  EXPECT_THAT(run(join, {idle(5'000'000)}), IsEmpty());
  EXPECT_EQ(join.watermark_ms(), 0U);
  // Events of long ago: it is the time since the last one that counts, not the clock's own.
  EXPECT_THAT(run(join, {impression("a", 1000, 5'000'000), idle(5'000'100)}), IsEmpty());
  EXPECT_THAT(run(join, {idle(5'000'101)}), ElementsAre(sample("a", 1000, 0, closed, 5'000'101)));
  EXPECT_EQ(join.watermark_ms(), 1101U);
  run(join, {idle(5'000'050)});
  EXPECT_EQ(join.watermark_ms(), 1101U);
}

TEST(Joiner, KeepsAShareOfNegativesByTheirKeyAndEveryPositive) {
  join_spec how = two_kinds();
  how.actions = 1;
  how.negative_share = 0.25F;
  std::vector<join_call> calls;
  for (int i = 0; i < 4000; ++i) {
    calls.push_back(impression("n" + std::to_string(i), 1000));
    calls.push_back(impression("p" + std::to_string(i), 1000));
    calls.push_back(action("p" + std::to_string(i), 1000));
  }
  calls.push_back(finish());
  joiner join(how);
  const auto sent = run(join, calls);
  EXPECT_EQ(join.count().positives, 4000U);
  EXPECT_NEAR(static_cast<double>(join.count().negatives), 1000.0, 110.0);  // 4 sigma
  EXPECT_EQ(join.count().left_out + join.count().negatives, 4000U);
  EXPECT_EQ(sent.size(), 4000 + join.count().negatives);
  EXPECT_EQ(run(how, calls), sent);
  how.seed = 2;
  EXPECT_NE(run(how, calls), sent);
}

TEST(Joiner, CorrectsANegativeThatWasLeftOut) {
  join_spec how = two_kinds();
  how.negative_share = 1e-30F;
  how.correct_ms = 1000;
  joiner join(how);
  EXPECT_THAT(run(join, {impression("a", 1000), impression("b", 1101), action("a", 1100, 0)}),
              ElementsAre(sample("a", 1000, 1, correction)));
  EXPECT_EQ(join.count().left_out, 1U);
}

TEST(Joiner, ClosesTheFirstToEndEarlyForWantOfRoom) {
  join_spec how = two_kinds();
  how.pending_max = 2;
  how.out_of_order_ms = 1000;
  joiner join(how);
  EXPECT_THAT(run(join, {impression("a", 1010), impression("b", 1000), action("b", 1001)}),
              IsEmpty());
  EXPECT_THAT(run(join, {impression("c", 1020)}), ElementsAre(sample("b", 1000, 1, closed)));
  EXPECT_EQ(join.count().closed_early, 1U);
  EXPECT_EQ(join.pending(), 2U);
  run(join, {action("b", 1001, 1)});  // waits in vain, and takes the room of "a"
  EXPECT_EQ(join.count().closed_early, 2U);
  EXPECT_THAT(run(join, {finish()}), ElementsAre(sample("c", 1020, 0, closed)));
}

TEST(Joiner, StaysInItsBoundUnderAMillionKeysThatNeverMatch) {
  join_spec how = two_kinds();
  how.pending_max = 1000;
  how.out_of_order_ms = 10'000'000;
  joiner join(how);
  for (int i = 0; i < 1'000'000; ++i) {
    join.action("key " + std::to_string(i), 1000, 0, 0);
    if (i % 1000 != 0) continue;
    ASSERT_LE(join.pending(), 1000U);
  }
  EXPECT_EQ(join.count().expired_actions, 999'000U);
  EXPECT_EQ(join.payload_bytes(), 0U);
}

TEST(Joiner, ClosesEarlyWhatMemoryHasNoRoomFor) {
  join_spec how = two_kinds();
  how.memory_bytes_max = 64 << 10;
  joiner join(how);
  std::vector<sent_sample> sent;
  for (int i = 0; i < 1000; ++i) {
    join_call one = impression("key " + std::to_string(i), 1000);
    one.payload = std::string(1016, 'x');
    apply(join, one);
    take_all(join, sent);
    ASSERT_LE(join.payload_bytes(), 3U * (64 << 10));
  }
  EXPECT_EQ(join.pending(), 64U);
  EXPECT_EQ(join.count().closed_early, 1000U - 64U);
  EXPECT_EQ(sent.size(), 1000U - 64U);
}

TEST(Joiner, SaysWhatItsSpillStoreRefused) {
  storage::memory_spill_store store;
  join_spec how = two_kinds();
  how.memory_bytes_max = 8 << 10;
  joiner join(how, &store);
  store.fail();
  for (int i = 0; i < 100; ++i) {
    join_call one = impression("key " + std::to_string(i), 1000);
    one.payload = std::string(1000, 'x');
    apply(join, one);
  }
  ASSERT_TRUE(join.failure().has_value());
  EXPECT_EQ(join.failure()->code, errc::disk_full);
  join.finish();
  joined_sample none;
  EXPECT_FALSE(join.take(none));
  EXPECT_FALSE(join.save().ok());
}

TEST(Joiner, TakesTimesAtTheEndOfTime) {
  join_spec how = two_kinds();
  how.correct_ms = UINT64_MAX;
  how.window_ms = UINT64_MAX;
  EXPECT_THAT(run(how,
                  {impression("a", UINT64_MAX),
                   impression("b", 0),
                   action("a", UINT64_MAX, 1),
                   action("b", UINT64_MAX - 1, 0),
                   idle(UINT64_MAX),
                   finish()}),
              testing::SizeIs(2));
}

// Hashes of keys have a seed that anyone may know.
TEST(JoinTable, KeysThatMeetUnderThePublicSeedDoNotMeetHere) {
  join_table table(process_secret());
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    join_entry one;
    one.key = {i << 32, mix64(i)};
    one.state = join_state::pending;
    table.add(one);
  }
  EXPECT_EQ(table.size(), 20'000U);
  EXPECT_LT(table.longest_look(), 200U);
}

TEST(Joiner, RefusesSettingsByName) {
  const auto refused = [](auto change) {
    join_spec how = two_kinds();
    change(how);
    const auto checked = check_join(how);
    return checked.ok() ? std::string() : checked.error().detail;
  };
  using testing::HasSubstr;
  EXPECT_THAT(refused([](join_spec& how) { how.actions = 0; }), HasSubstr("actions"));
  EXPECT_THAT(refused([](join_spec& how) { how.actions = 65; }), HasSubstr("1 … 64"));
  EXPECT_THAT(refused([](join_spec& how) { how.negative_share = 0; }), HasSubstr("negative_share"));
  EXPECT_THAT(refused([](join_spec& how) { how.negative_share = NAN; }), HasSubstr("at most 1"));
  EXPECT_THAT(refused([](join_spec& how) { how.pending_max = 0; }), HasSubstr("pending_max"));
  EXPECT_EQ(refused([](join_spec& how) { how.actions = 64; }), "");
}

}  // namespace
}  // namespace headrace::worker
