#include "worker/events/producer_policy.hpp"

#include "base/random.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace headrace::worker {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t now = 1'000'000;

TEST(ProducerPolicy, LetsAnybodyPushWithoutSettings) {
  producer_policy policy({});
  for (int i = 0; i < 1'000; ++i) {
    EXPECT_EQ(policy.admit("a", "any", 1 << 20, now).status, errc::ok);
    policy.judged("a", 1'000, 1'000, "bad", now);
  }
}

TEST(ProducerPolicy, SecretsAreTheSameOnlyWholeAndExactly) {
  EXPECT_TRUE(is_same_secret("secret", "secret"));
  for (const char* other : {"", "s", "secre", "secrets", "Secret", "secreT", "secretsecret"})
    EXPECT_FALSE(is_same_secret(other, "secret")) << other;
  EXPECT_FALSE(is_same_secret(std::string_view("secret\0", 7), "secret"));
}

TEST(ProducerPolicy, RefusesAWrongTokenAndOneOfAnotherProducer) {
  producer_policy policy({.tokens = {{"", "for-everybody"}, {"web", "for-web"}}});
  EXPECT_EQ(policy.admit("app", "for-everybody", 1, now).status, errc::ok);
  EXPECT_EQ(policy.admit("web", "for-web", 1, now).status, errc::ok);
  for (const char* wrong : {"", "for-web", "for-nobody"}) {
    const auto answer = policy.admit("app", wrong, 1, now);
    EXPECT_EQ(answer.status, errc::unauthorized) << wrong;
    EXPECT_THAT(answer.detail, testing::Not(HasSubstr("for-")));
  }
  EXPECT_EQ(policy.count().unauthorized, 3U);
  EXPECT_EQ(policy.producers().size(), 2U) << "who has no token takes no room";
}

TEST(ProducerPolicy, HoldsBytesToTheirRateAndSaysWhenToComeAgain) {
  producer_policy policy({.bytes_per_second = 1'000});
  EXPECT_EQ(policy.admit("a", "", 3'000, now).status, errc::ok) << "a batch of any size";
  const auto answer = policy.admit("a", "", 1, now);
  EXPECT_EQ(answer.status, errc::overloaded);
  EXPECT_EQ(answer.retry_after_ms, 2'001U);
  EXPECT_EQ(policy.admit("a", "", 1, now + 2'000).status, errc::overloaded);
  EXPECT_EQ(policy.admit("a", "", 1, now + 2'001).status, errc::ok);
  EXPECT_EQ(policy.admit("b", "", 1, now).status, errc::ok) << "others notice nothing";
}

TEST(ProducerPolicy, HoldsEventsToTheirRate) {
  producer_policy policy({.events_per_second = 100});
  EXPECT_EQ(policy.admit("a", "", 1, now).status, errc::ok);
  policy.judged("a", 150, 0, "", now);
  EXPECT_EQ(policy.admit("a", "", 1, now).status, errc::overloaded);
  EXPECT_EQ(policy.admit("a", "", 1, now + 501).status, errc::ok);
}

TEST(ProducerPolicy, TheRateHoldsOverAMinuteOfGreedyPushes) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    random_stream random(seed);
    producer_policy policy({.events_per_second = 500});
    std::uint64_t taken = 0;
    for (std::uint64_t ms = 0; ms < 60'000; ms += random.next_below(20)) {
      if (policy.admit("a", "", 1, now + ms).status != errc::ok) continue;
      const std::uint64_t events = 1 + random.next_below(200);
      policy.judged("a", events, 0, "", now + ms);
      taken += events;
    }
    EXPECT_GE(taken, 500U * 59) << "seed " << seed;
    EXPECT_LE(taken, 500U * 61 + 200) << "seed " << seed;
  }
}

TEST(ProducerPolicy, AClockThatGoesBackFillsNothing) {
  producer_policy policy({.events_per_second = 10});
  EXPECT_EQ(policy.admit("a", "", 1, now).status, errc::ok);
  policy.judged("a", 20, 0, "", now);
  EXPECT_EQ(policy.admit("a", "", 1, now - 60'000).status, errc::overloaded);
  EXPECT_EQ(policy.admit("a", "", 1, now + 500).status, errc::overloaded);
  EXPECT_EQ(policy.admit("a", "", 1, now + 1'001).status, errc::ok);
}

TEST(ProducerPolicy, PutsAProducerOfBadEventsIntoQuarantineUntilItIsReleased) {
  producer_policy policy({.quarantine_share = 0.5, .quarantine_events = 100});
  policy.judged("a", 99, 99, "price: text", now);
  EXPECT_EQ(policy.admit("a", "", 1, now).status, errc::ok) << "too few to tell";
  policy.judged("a", 1, 1, "price: a number is needed", now);
  const auto answer = policy.admit("a", "", 1, now);
  EXPECT_EQ(answer.status, errc::quarantined);
  EXPECT_EQ(answer.detail,
            "100 of 100 events in 60 s were refused, the last: price: a number is needed");
  EXPECT_EQ(policy.admit("a", "", 1, now + 3'600'000).status, errc::quarantined);
  EXPECT_EQ(policy.admit("b", "", 1, now).status, errc::ok);
  EXPECT_FALSE(policy.release("b"));
  EXPECT_TRUE(policy.release("a"));
  EXPECT_EQ(policy.admit("a", "", 1, now + 3'600'000).status, errc::ok);
  policy.judged("a", 1, 1, "again", now + 3'600'000);
  EXPECT_EQ(policy.admit("a", "", 1, now + 3'600'000).status, errc::ok) << "begins anew";
}

TEST(ProducerPolicy, AShareBelowTheBoundOrOutsideTheWindowIsNoReason) {
  producer_policy policy({.quarantine_share = 0.5, .quarantine_events = 10, .window_ms = 8'000});
  policy.judged("a", 100, 49, "", now);
  EXPECT_EQ(policy.admit("a", "", 1, now).status, errc::ok);
  policy.judged("a", 60, 60, "old", now + 9'000);
  EXPECT_EQ(policy.admit("a", "", 1, now + 9'000).status, errc::quarantined);
  policy.judged("b", 9, 9, "old", now);
  policy.judged("b", 1, 1, "new", now + 9'000);
  EXPECT_EQ(policy.admit("b", "", 1, now + 9'000).status, errc::ok);
}

TEST(ProducerPolicy, RemembersABoundedNumberAndThoseInQuarantineLongest) {
  producer_policy policy({.quarantine_share = 0.5, .quarantine_events = 1, .producers_max = 3});
  policy.judged("bad", 10, 10, "all", now);
  for (int i = 0; i < 100; ++i)
    policy.admit("p" + std::to_string(i), "", 1, now + 1 + static_cast<std::uint64_t>(i));
  ASSERT_EQ(policy.producers().size(), 3U);
  EXPECT_EQ(policy.count().forgotten, 98U);
  EXPECT_EQ(policy.producers()[0].name, "bad");
  EXPECT_EQ(policy.producers()[2].name, "p99");
  EXPECT_EQ(policy.admit("bad", "", 1, now + 200).status, errc::quarantined);
}

}  // namespace
}  // namespace headrace::worker
