#include "actors/event_window.hpp"

#include "base/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

/// What is sent when, with the time in hand.
namespace headrace::actors {
namespace {

frame bytes_of(std::size_t size) { return frame::copy_of(std::vector<std::byte>(size)); }

schemas::event_ack ack_of(errc status, std::uint32_t retry_after_ms = 0) {
  schemas::event_ack ack;
  ack.status = status;
  ack.retry_after_ms = retry_after_ms;
  return ack;
}

/// Ids of all that is sent at `now_ms`.
std::vector<std::uint64_t> sent_at(event_window& window, std::uint64_t now_ms) {
  std::vector<std::uint64_t> ids;
  while (auto due = window.next(now_ms)) ids.push_back(due->id);
  return ids;
}

using ids = std::vector<std::uint64_t>;

event_window window_of(std::size_t batches, event_window::settings how = {}) {
  event_window window(how);
  for (std::size_t i = 0; i < batches; ++i) window.add(bytes_of(8), nullptr);
  return window;
}

TEST(EventWindow, SendsNoMoreThanMayBeInFlight) {
  event_window window = window_of(5, {.in_flight_max = 2});
  EXPECT_EQ(sent_at(window, 10), (ids{1, 2}));
  EXPECT_EQ(sent_at(window, 11), ids{});
  window.answer(1, ack_of(errc::ok), 12);
  EXPECT_EQ(window.take_answered().size(), 1U);
  EXPECT_EQ(sent_at(window, 12), ids{3});
}

TEST(EventWindow, TellsInTheOrderOfAddingWhateverTheOrderOfAnswers) {
  event_window window = window_of(3);
  EXPECT_EQ(sent_at(window, 0).size(), 3U);
  window.answer(3, ack_of(errc::ok), 1);
  window.answer(2, ack_of(errc::malformed), 1);
  EXPECT_TRUE(window.take_answered().empty());
  window.answer(1, ack_of(errc::ok), 1);
  const auto told = window.take_answered();
  ASSERT_EQ(told.size(), 3U);
  EXPECT_EQ(told[0].second.status, errc::ok);
  EXPECT_EQ(told[1].second.status, errc::malformed);
  EXPECT_TRUE(window.empty());
  EXPECT_EQ(window.bytes(), 0U);
}

TEST(EventWindow, SendsAgainLaterEachTimeWhatNobodyAnswers) {
  event_window window = window_of(1, {.resend_after_ms = 100, .resend_after_ms_max = 300});
  EXPECT_EQ(sent_at(window, 0), ids{1});
  EXPECT_EQ(window.wake_at(), 100U);
  EXPECT_EQ(sent_at(window, 99), ids{});
  EXPECT_EQ(sent_at(window, 100), ids{1});
  EXPECT_EQ(window.wake_at(), 300U);
  EXPECT_EQ(sent_at(window, 300), ids{1});
  EXPECT_EQ(window.wake_at(), 600U) << "twice 200 is beyond the longest patience";
  EXPECT_EQ(window.count().sent_again, 2U);
}

TEST(EventWindow, OverloadedHoldsBackEverythingUntilTheServerSaid) {
  event_window window = window_of(3, {.in_flight_max = 2});
  EXPECT_EQ(sent_at(window, 0), (ids{1, 2}));
  window.answer(1, ack_of(errc::overloaded, 70), 10);
  window.answer(2, ack_of(errc::ok), 10);
  EXPECT_TRUE(window.take_answered().empty());
  EXPECT_EQ(sent_at(window, 79), ids{});
  EXPECT_EQ(window.wake_at(), 80U);
  EXPECT_EQ(sent_at(window, 80), ids{1});
  window.answer(1, ack_of(errc::ok), 81);
  EXPECT_EQ(window.take_answered().size(), 2U);
  EXPECT_EQ(sent_at(window, 81), ids{3});
}

TEST(EventWindow, NoServerHoldsItBackForLongerThanItsOwnBound) {
  event_window window = window_of(2, {.in_flight_max = 1, .hold_ms_max = 500});
  EXPECT_EQ(sent_at(window, 0), ids{1});
  window.answer(1, ack_of(errc::overloaded, UINT32_MAX), 10);
  EXPECT_EQ(sent_at(window, 509), ids{});
  EXPECT_EQ(window.wake_at(), 510U);
  EXPECT_EQ(sent_at(window, 510), ids{1});
}

TEST(EventWindow, AFullDiskIsTriedAgainAndAWrongTokenIsNot) {
  event_window window = window_of(2);
  EXPECT_EQ(sent_at(window, 0).size(), 2U);
  window.answer(1, ack_of(errc::not_found), 1);
  window.answer(2, ack_of(errc::disk_full), 1);
  EXPECT_EQ(window.take_answered().size(), 1U);
  EXPECT_EQ(window.batches(), 1U);
  EXPECT_EQ(sent_at(window, 1'001), ids{2});
}

TEST(EventWindow, LateAndUnknownAnswersChangeNothing) {
  event_window window = window_of(2, {.in_flight_max = 1});
  EXPECT_EQ(sent_at(window, 0), ids{1});
  window.answer(0, ack_of(errc::ok), 1);
  window.answer(2, ack_of(errc::ok), 1);  // not sent yet
  window.answer(99, ack_of(errc::ok), 1);
  EXPECT_TRUE(window.take_answered().empty());
  window.answer(1, ack_of(errc::ok), 1);
  window.answer(1, ack_of(errc::malformed), 1);
  const auto told = window.take_answered();
  ASSERT_EQ(told.size(), 1U);
  EXPECT_EQ(told[0].second.status, errc::ok) << "the first answer counts";
  window.answer(1, ack_of(errc::malformed), 2);
  EXPECT_EQ(window.batches(), 1U);
}

TEST(EventWindow, IsBoundedByBytesButTakesOneBatchOfAnySize) {
  event_window window({.bytes_max = 100});
  EXPECT_TRUE(window.has_room(1'000));
  window.add(bytes_of(64), nullptr);
  EXPECT_TRUE(window.has_room(36));
  EXPECT_FALSE(window.has_room(37));
}

/// A server that loses, repeats, delays and refuses at random: everything is told once, in order.
TEST(EventWindow, NothingIsLostOrToldTwiceOverABadLine) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_stream random(seed);
    event_window window({.in_flight_max = 1 + static_cast<std::uint32_t>(random.next_below(8)),
                         .resend_after_ms = 20,
                         .resend_after_ms_max = 50});
    constexpr std::uint32_t batches = 50;
    std::vector<std::uint32_t> told;
    std::multimap<std::uint64_t, std::pair<std::uint64_t, schemas::event_ack>> line;
    std::uint32_t added = 0;
    std::uint64_t now = 0;
    for (; told.size() < batches; ++now) {
      ASSERT_LT(now, 100'000U) << "stuck";
      if (added < batches && random.next_below(3) == 0) {
        window.add(bytes_of(8),
                   [&told, added](const schemas::event_ack&) { told.push_back(added); });
        ++added;
      }
      while (auto due = window.next(now)) {
        for (std::uint64_t copies = random.next_below(3); copies > 0; --copies) {
          const auto ack =
              random.next_below(4) == 0
                  ? ack_of(errc::overloaded, 1 + static_cast<std::uint32_t>(random.next_below(9)))
                  : ack_of(errc::ok);
          line.emplace(now + random.next_below(60), std::pair(due->id, ack));
        }
      }
      while (!line.empty() && line.begin()->first <= now) {
        const auto [id, ack] = line.begin()->second;
        line.erase(line.begin());
        window.answer(id, ack, now);
      }
      for (auto& [done, ack] : window.take_answered()) done(ack);
    }
    for (std::uint32_t i = 0; i < batches; ++i) ASSERT_EQ(told[i], i);
    EXPECT_TRUE(window.empty());
    EXPECT_EQ(window.bytes(), 0U);
  }
}

}  // namespace
}  // namespace headrace::actors
