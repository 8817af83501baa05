#include "worker/step/push_window.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace headrace::worker {
namespace {

constexpr std::uint64_t ms = 1'000'000;

frame push_of(std::uint32_t shard, std::uint64_t batch, std::uint64_t pulled = 0) {
  static const std::uint64_t key = 7;
  static const float one = 1.0F;
  schemas::push_section section;
  section.shard = shard_id{shard};
  section.source = {"clicks", 1};
  section.batch = batch_number{batch};
  section.prev = batch_number{batch - 1};
  section.pulled_version = pulled;
  section.blocks.push_back({table_id{0},
                            1,
                            schemas::value_codec::fp32,
                            {&key, 1},
                            {},
                            {},
                            std::as_bytes(std::span(&one, 1))});
  return schemas::encode(section);
}

schemas::push_ack ack_of(std::uint32_t shard, std::uint64_t watermark, errc status = errc::ok) {
  schemas::push_ack ack;
  ack.shard = shard_id{shard};
  ack.status = status;
  ack.watermark = batch_number{watermark};
  ack.applied = status == errc::ok;
  ack.lsn = lsn{status == errc::ok || is_permanent(status) ? watermark : 0};
  ack.slowest_clock = watermark;
  ack.version = watermark;
  return ack;
}

/// "0:(2,3] 1:(0,3]+" = shard, prev, batch; + where it carries keys.
std::string text(const std::vector<outgoing>& sections) {
  std::string out;
  for (const outgoing& one : sections) {
    const auto read = schemas::decode_push(one.bytes);
    CHECK(read.ok());
    CHECK(read->shard == one.shard);
    if (!out.empty()) out += ' ';
    out += std::to_string(one.shard.value) + ":(" + std::to_string(read->prev.value) + ',' +
           std::to_string(read->batch.value) + ']' + (read->blocks.empty() ? "" : "+");
  }
  return out;
}

/// A window over two shards of source clicks#1, and batches by which shards they touch.
struct bench {
  push_window window;
  explicit bench(window_spec spec = {}, std::vector<batch_number> watermarks = {{}, {}})
      : window((spec.source = {"clicks", 1}, spec), std::move(watermarks)) {}

  std::string push(std::uint64_t batch, bool first, bool second, std::uint64_t now = 0) {
    window.start(batch_number{batch});
    const std::vector<frame> sections{first ? push_of(0, batch) : frame{},
                                      second ? push_of(1, batch) : frame{}};
    return text(window.submit(batch_number{batch}, batch_number{batch - 1}, sections, now));
  }
  std::string ack(const schemas::push_ack& answer, std::uint64_t now = 0) {
    return text(window.on_ack(answer, now));
  }
  std::string timeout(std::uint64_t now) { return text(window.on_timeout(now)); }
  std::uint64_t completed() const { return window.completed_through().value; }
};

window_spec deep(std::uint32_t in_flight) {
  window_spec spec;
  spec.in_flight_max = in_flight;
  return spec;
}

TEST(PushWindow, CompletesABatchWhenEveryTouchedShardAcknowledgedIt) {
  bench b;
  EXPECT_EQ(b.push(1, true, true), "0:(0,1]+ 1:(0,1]+");
  EXPECT_FALSE(b.window.may_start());
  b.ack(ack_of(1, 1));
  EXPECT_EQ(b.completed(), 0U);
  b.ack(ack_of(0, 1));
  EXPECT_EQ(b.completed(), 1U);
  EXPECT_TRUE(b.window.may_start());
  EXPECT_TRUE(b.window.idle());
  EXPECT_TRUE(b.window.drained());
}

TEST(PushWindow, MergesBatchesWithoutKeysIntoOneAdvanceBeforeTheNextPush) {
  bench b(deep(8));
  EXPECT_EQ(b.push(1, true, false), "0:(0,1]+");
  EXPECT_EQ(b.push(2, true, false), "0:(1,2]+");
  EXPECT_EQ(b.push(3, true, true), "0:(2,3]+ 1:(0,2] 1:(2,3]+");
  b.ack(ack_of(0, 3));
  EXPECT_EQ(b.completed(), 2U) << "batch 3 waits for shard 1";
  b.ack(ack_of(1, 2));
  EXPECT_EQ(b.completed(), 2U);
  b.ack(ack_of(1, 3));
  EXPECT_EQ(b.completed(), 3U);
}

TEST(PushWindow, ABatchWithoutKeysIsCompleteAtOnce) {
  window_spec spec;
  spec.staleness_bound = 0;
  bench b(spec);
  for (std::uint64_t batch = 1; batch <= 5; ++batch) {
    EXPECT_TRUE(b.window.may_start()) << batch;
    EXPECT_EQ(b.push(batch, false, false), "");
    EXPECT_EQ(b.completed(), batch);
  }
  EXPECT_FALSE(b.window.drained());
}

TEST(PushWindow, AdvancesAShardThatHadNoKeysForTooLong) {
  auto spec = deep(1);
  spec.advance_after = 3;
  bench b(spec);
  const auto turn = [&](std::uint64_t batch) {
    const auto sent = b.push(batch, true, false);
    b.ack(ack_of(0, batch));
    return sent;
  };
  EXPECT_EQ(turn(1), "0:(0,1]+");
  EXPECT_EQ(turn(2), "0:(1,2]+");
  EXPECT_EQ(turn(3), "0:(2,3]+ 1:(0,3]");
  EXPECT_EQ(turn(4), "0:(3,4]+");
}

TEST(PushWindow, FinishTellsShardsHowFarTheSourceIs) {
  bench b;
  b.push(1, true, false);
  b.ack(ack_of(0, 1));
  EXPECT_TRUE(b.window.idle());
  EXPECT_FALSE(b.window.drained());
  EXPECT_EQ(b.window.safe_through().value, 0U);
  EXPECT_EQ(text(b.window.finish(0)), "1:(0,1]");
  EXPECT_EQ(text(b.window.finish(0)), "") << "said already";
  EXPECT_FALSE(b.window.drained());
  b.ack(ack_of(1, 1));
  EXPECT_TRUE(b.window.drained());
  EXPECT_EQ(b.window.safe_through().value, 1U);
}

TEST(PushWindow, GoesBackOnceAfterAGapAndSendsTheSameBytesInOrder) {
  bench b(deep(4));
  b.window.start(batch_number{1});
  const std::vector<frame> first{push_of(0, 1), {}};
  const auto sent = b.window.submit(batch_number{1}, {}, first, 0);
  for (std::uint64_t batch = 2; batch <= 4; ++batch) b.push(batch, true, false);
  // The first was lost: three gaps come back.
  const auto again = b.window.on_ack(ack_of(0, 0, errc::gap), 0);
  EXPECT_EQ(text(again), "0:(0,1]+ 0:(1,2]+ 0:(2,3]+ 0:(3,4]+");
  EXPECT_TRUE(std::ranges::equal(again.front().bytes.bytes(), sent.front().bytes.bytes()));
  EXPECT_EQ(b.ack(ack_of(0, 0, errc::gap)), "");
  EXPECT_EQ(b.ack(ack_of(0, 0, errc::gap)), "");
  EXPECT_EQ(b.window.resent(), 4U);
  EXPECT_EQ(b.ack(ack_of(0, 2, errc::gap)), "0:(2,3]+ 0:(3,4]+") << "only what is behind w";
  b.ack(ack_of(0, 4));
  EXPECT_EQ(b.completed(), 4U);
}

TEST(PushWindow, SendsAgainAfterTheTimeoutWithBackoff) {
  bench b;
  b.push(1, true, false, 0);
  EXPECT_EQ(b.timeout(499 * ms), "");
  EXPECT_EQ(b.timeout(500 * ms), "0:(0,1]+");
  EXPECT_EQ(b.timeout(1'400 * ms), "");
  EXPECT_EQ(b.timeout(1'500 * ms), "0:(0,1]+");
  EXPECT_EQ(b.window.resent(), 2U);
  b.ack(ack_of(0, 1));
  EXPECT_EQ(b.timeout(100'000 * ms), "");
}

TEST(PushWindow, WaitsAsLongAsAnOverloadedShardAsksAndThenGoesOnInOrder) {
  bench b(deep(4));
  b.push(1, true, true, 0);
  auto refused = ack_of(0, 0, errc::overloaded);
  refused.retry_after_ms = 1'000;
  EXPECT_EQ(b.ack(refused, 0), "");
  EXPECT_EQ(b.push(2, true, true, 10 * ms), "1:(1,2]+") << "shard 0 rests, shard 1 does not";
  b.ack(ack_of(1, 2));
  EXPECT_EQ(b.timeout(999 * ms), "");
  EXPECT_EQ(b.timeout(1'000 * ms), "0:(0,1]+ 0:(1,2]+");
  EXPECT_EQ(b.window.resent(), 1U) << "batch 2 was sent for the first time";
  b.ack(ack_of(0, 2));
  EXPECT_EQ(b.completed(), 2U);
}

TEST(PushWindow, CountsVoidsAndGoesOn) {
  bench b;
  b.push(1, true, false);
  b.ack(ack_of(0, 1, errc::not_finite));
  b.ack(ack_of(0, 1, errc::not_finite));
  EXPECT_EQ(b.window.voided(), 1U);
  EXPECT_EQ(b.completed(), 1U);
}

TEST(PushWindow, SkipsWhatShardsHaveAfterARestart) {
  bench b(deep(8), {batch_number{2}, batch_number{4}});
  EXPECT_EQ(b.completed(), 2U);
  EXPECT_EQ(b.push(3, true, true), "0:(2,3]+");
  EXPECT_EQ(b.push(4, false, true), "");
  EXPECT_EQ(b.push(5, true, true), "0:(3,4] 0:(4,5]+ 1:(4,5]+");
  b.ack(ack_of(0, 5));
  EXPECT_EQ(b.completed(), 4U);
  b.ack(ack_of(1, 5));
  EXPECT_EQ(b.completed(), 5U);
}

TEST(PushWindow, BeginsAnAdvanceAtTheWatermarkThatAZombieMoved) {
  bench b(deep(8));
  b.push(1, true, false);
  b.push(2, true, false);
  b.push(3, true, false);
  EXPECT_EQ(b.push(4, true, true), "0:(3,4]+ 1:(0,3] 1:(3,4]+");
  // Another worker of this source had sent (0,2] before: our (0,3] is a gap there.
  EXPECT_EQ(b.ack(ack_of(1, 2, errc::gap)), "1:(2,3] 1:(3,4]+");
  // What the zombie wrote was rolled back: the advance begins where it did.
  EXPECT_EQ(b.timeout(500 * ms), "0:(0,1]+ 0:(1,2]+ 0:(2,3]+ 0:(3,4]+ 1:(0,3] 1:(3,4]+");
  // The zombie's record is committed after all, and its acknowledgement says so.
  b.ack(ack_of(1, 2));
  EXPECT_EQ(b.timeout(2'000 * ms), "0:(0,1]+ 0:(1,2]+ 0:(2,3]+ 0:(3,4]+ 1:(2,3] 1:(3,4]+");
}

TEST(PushWindow, TakesAWatermarkBeyondWhatItSentAsDone) {
  bench b(deep(8));
  b.push(1, true, true);
  b.ack(ack_of(0, 1));
  b.ack(ack_of(1, 3));  // a zombie was further
  EXPECT_EQ(b.completed(), 1U);
  EXPECT_EQ(b.push(2, true, true), "0:(1,2]+");
  EXPECT_EQ(b.push(3, false, true), "");
  EXPECT_EQ(b.push(4, false, true), "1:(3,4]+");
}

TEST(PushWindow, IgnoresLateAndForeignAnswers) {
  bench b(deep(4));
  b.push(1, true, true);
  b.push(2, true, true);
  b.ack(ack_of(0, 2));
  EXPECT_EQ(b.ack(ack_of(0, 1)), "");
  EXPECT_EQ(b.ack(ack_of(0, 0, errc::overloaded)), "") << "nothing waits there";
  EXPECT_EQ(b.ack(ack_of(1, 0, errc::malformed)), "");
  EXPECT_EQ(b.ack(ack_of(9, 5)), "");
  EXPECT_EQ(b.completed(), 0U);
  b.ack(ack_of(1, 2));
  EXPECT_EQ(b.completed(), 2U);
}

TEST(PushWindow, StartsNoMoreThanInFlightMax) {
  bench b(deep(2));
  EXPECT_TRUE(b.window.may_start());
  b.window.start(batch_number{1});
  EXPECT_TRUE(b.window.may_start());
  b.window.start(batch_number{2});
  EXPECT_FALSE(b.window.may_start());
}

TEST(PushWindow, ASourceAloneIsNeverAheadOfItself) {
  window_spec spec;
  spec.staleness_bound = 0;
  bench b(spec);
  for (std::uint64_t batch = 1; batch <= 20; ++batch) {
    ASSERT_TRUE(b.window.may_start()) << batch;
    b.push(batch, batch % 3 != 0, batch % 7 == 0);
    if (batch % 3 != 0) b.ack(ack_of(0, batch));
    if (batch % 7 == 0) b.ack(ack_of(1, batch));
  }
  ASSERT_TRUE(b.window.may_start());
  b.push(21, true, false);
  auto repeated = ack_of(0, 21);  // acknowledged before its G was known
  repeated.applied = false;
  repeated.lsn = lsn{};
  repeated.slowest_clock = 20;
  b.ack(repeated);
  EXPECT_TRUE(b.window.may_start());
}

TEST(PushWindow, WaitsForASlowSourceAndAsksUntilItMoved) {
  auto spec = deep(4);
  spec.staleness_bound = 1;
  bench b(spec);
  b.push(1, true, false);
  auto answer = ack_of(0, 1);
  answer.slowest_clock = 0;
  b.ack(answer);
  EXPECT_TRUE(b.window.may_start());
  b.push(2, true, false);
  answer = ack_of(0, 2);
  answer.slowest_clock = 0;
  b.ack(answer);
  EXPECT_FALSE(b.window.may_start()) << "2 ahead, 1 allowed";
  EXPECT_EQ(b.timeout(500 * ms), "0:(1,2] 1:(0,2]")
      << "a duplicate to ask with, and the run that others wait for";
  b.ack(ack_of(1, 2));
  EXPECT_TRUE(b.window.may_start()) << "shard 1 knows that nobody is behind 2";
}

TEST(PushWindow, NamesAShardThatLostWhatItHadAcknowledged) {
  bench b(deep(4));
  b.push(1, true, false);
  b.ack(ack_of(0, 1));
  b.push(2, true, false, 0);
  std::uint64_t now = 0;
  b.ack(ack_of(0, 0, errc::gap), now);
  EXPECT_FALSE(b.window.went_back());
  for (int attempt = 0; attempt < 4; ++attempt) {
    now += 100'000 * ms;
    EXPECT_EQ(b.timeout(now), "0:(1,2]+");
    b.ack(ack_of(0, 0, errc::gap), now);
    b.ack(ack_of(0, 0, errc::gap), now);
  }
  EXPECT_EQ(b.window.went_back(), shard_id{0});
}

TEST(PushWindow, MeasuresVersionsBetweenPullAndPush) {
  bench b(deep(4));
  b.window.start(batch_number{1});
  const std::vector<frame> sections{push_of(0, 1, 10), {}};
  b.window.submit(batch_number{1}, {}, sections, 0);
  auto answer = ack_of(0, 1);
  answer.version = 14;  // this push is the 14th: 13 were before it
  b.ack(answer);
  EXPECT_EQ(b.window.staleness(), 3U);
}

}  // namespace
}  // namespace headrace::worker
