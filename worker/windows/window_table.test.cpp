#include "worker/windows/window_table.hpp"

#include "base/random.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <initializer_list>
#include <vector>

namespace headrace::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

constexpr schemas::hash128 ann{1, 1};
constexpr schemas::hash128 bob{2, 1};
constexpr schemas::hash128 eve{65, 1};

window_bounds of_100_ms() {
  window_bounds how;
  how.over_ms = 100;
  return how;
}

bool feed(window_table& table, const schemas::hash128& key, std::uint64_t time, double x = 1.0) {
  table.advance(time);
  return table.add(key, {time, std::bit_cast<std::uint64_t>(x)});
}

std::vector<std::uint64_t> times(const window_table& table,
                                 const schemas::hash128& key,
                                 std::uint64_t at) {
  std::vector<std::uint64_t> found;
  for (const window_event& one : table.window(key, at)) found.push_back(one.time_ms);
  return found;
}

TEST(WindowTable, HoldsAnEventForExactlyItsLength) {
  window_table table(of_100_ms());
  ASSERT_TRUE(feed(table, ann, 1'000));
  EXPECT_THAT(times(table, ann, 1'000), ElementsAre(1'000U)) << "its own moment counts";
  EXPECT_THAT(times(table, ann, 1'099), ElementsAre(1'000U));
  EXPECT_THAT(times(table, ann, 1'100), IsEmpty());
  EXPECT_THAT(times(table, bob, 1'050), IsEmpty());
}

TEST(WindowTable, CountsFromTheBeginningOfTime) {
  window_table table(of_100_ms());
  feed(table, ann, 0);
  EXPECT_THAT(times(table, ann, 99), ElementsAre(0U));
  EXPECT_THAT(times(table, ann, 100), IsEmpty());
  feed(table, ann, UINT64_MAX);
  EXPECT_THAT(times(table, ann, UINT64_MAX), ElementsAre(UINT64_MAX));
  EXPECT_EQ(table.events(), 1U);
}

TEST(WindowTable, PutsEventsWhereTheyBelong) {
  window_bounds how = of_100_ms();
  how.out_of_order_ms = 50;
  window_table table(how);
  EXPECT_TRUE(feed(table, ann, 1'050, 2.0));
  EXPECT_TRUE(feed(table, ann, 1'000, 0.0));
  EXPECT_TRUE(feed(table, ann, 1'020, 1.0));
  EXPECT_FALSE(feed(table, ann, 999)) << "behind the watermark";
  EXPECT_THAT(times(table, ann, 1'050), ElementsAre(1'000U, 1'020U, 1'050U));
  EXPECT_THAT(times(table, ann, 1'030), ElementsAre(1'000U, 1'020U)) << "not of its future";
  EXPECT_EQ(table.count().late, 1U);
  EXPECT_EQ(table.count().added, 3U);
  EXPECT_EQ(sum_of(table.window(ann, 1'050)), 3.0);
}

TEST(WindowTable, KeepsEqualTimesAsTheyCame) {
  window_table table(of_100_ms());
  for (const double x : {3.0, 1.0, 2.0}) feed(table, ann, 7, x);
  std::vector<double> found;
  for (const auto& one : table.window(ann, 7)) found.push_back(std::bit_cast<double>(one.value));
  EXPECT_THAT(found, ElementsAre(3.0, 1.0, 2.0));
}

TEST(WindowTable, ForgetsKeysWhoseEventsExpired) {
  window_table table(of_100_ms());
  for (std::uint64_t i = 0; i < 10'000; ++i) feed(table, {i, 0}, 1'000 + i);
  EXPECT_EQ(table.keys(), 100U);
  EXPECT_EQ(table.events(), 100U);
  EXPECT_EQ(table.count().forgotten, 0U);
  feed(table, ann, 1'000'000'000);
  EXPECT_EQ(table.keys(), 1U);
}

TEST(WindowTable, ForgetsTheKeyThatWasFedLongestAgoForWantOfRoom) {
  window_bounds how = of_100_ms();
  how.keys_max = 2;
  window_table table(how);
  feed(table, ann, 1);
  feed(table, bob, 2);
  feed(table, ann, 3);
  feed(table, eve, 4);
  EXPECT_THAT(times(table, bob, 4), IsEmpty());
  EXPECT_THAT(times(table, ann, 4), ElementsAre(1U, 3U));
  EXPECT_EQ(table.count().forgotten, 1U);
  EXPECT_EQ(table.count().forgotten_events, 1U);
}

TEST(WindowTable, DropsTheOldestOfAKeyThatHasTooMany) {
  window_bounds how = of_100_ms();
  how.key_events_max = 3;
  how.events_max = 4;
  window_table table(how);
  for (std::uint64_t t = 1; t <= 5; ++t) feed(table, ann, t);
  EXPECT_THAT(times(table, ann, 5), ElementsAre(3U, 4U, 5U));
  EXPECT_EQ(table.count().overflowed, 2U);
  feed(table, bob, 6);
  feed(table, bob, 7);
  EXPECT_EQ(table.keys(), 1U) << "more than events_max";
  EXPECT_EQ(table.count().forgotten_events, 3U);
}

TEST(WindowTable, KeepsNoMoreOfAKeyThanIsAskedFor) {
  window_bounds how = of_100_ms();
  how.newest_max = 2;
  how.out_of_order_ms = 10;
  window_table table(how);
  for (std::uint64_t t = 1; t <= 50; ++t) feed(table, ann, t);
  EXPECT_EQ(table.events(), 2U + 10U);
  EXPECT_THAT(times(table, ann, 40), ElementsAre(39U, 40U));
}

TEST(WindowTable, RefusesWhatNoTableSaved) {
  window_table table(of_100_ms());
  feed(table, ann, 1);
  feed(table, eve, 2);
  byte_writer out;
  table.save(out);
  const auto bytes = out.take();
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    window_table other(of_100_ms());
    byte_reader in(std::span<const std::byte>(bytes).first(size));
    ASSERT_EQ(other.load(in).error().code, errc::corrupt) << size << " bytes";
  }
  auto twice = bytes;
  std::copy_n(bytes.end() - 36, 8, twice.end() - 72);  // the hash of one key to the other
  window_table other(of_100_ms());
  byte_reader in(twice);
  EXPECT_FALSE(other.load(in));
}

// Hashes of keys have a seed that anyone may know.
TEST(WindowTable, KeysThatMeetUnderThePublicSeedDoNotMeetHere) {
  window_table table(of_100_ms());
  for (std::uint64_t i = 0; i < 20'000; ++i)
    ASSERT_TRUE(feed(table, {i << 32, counter_draw(1, 2, i)}, 1'000));
  EXPECT_EQ(table.keys(), 20'000U);
  EXPECT_LT(table.longest_look(), 200U);
}

TEST(WindowTable, NothingThatIsSeenDependsOnTheSecret) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    random_stream draw(seed);
    window_bounds how = of_100_ms();
    how.out_of_order_ms = 20;
    how.keys_max = 1 + draw.next_below(80);
    how.key_events_max = how.events_max = 1 + draw.next_below(120);
    window_table one(how, draw.next());
    window_table other(how, draw.next());
    std::uint64_t time = 1'000;
    for (int i = 0; i < 2'000; ++i) {
      time += draw.next_below(3);
      const schemas::hash128 key{draw.next_below(4) << 6, draw.next_below(40)};
      const std::uint64_t at = time - draw.next_below(30);
      ASSERT_EQ(feed(one, key, at), feed(other, key, at)) << "seed " << seed;
      ASSERT_EQ(times(one, key, at), times(other, key, at)) << "seed " << seed;
    }
    byte_writer of_one;
    byte_writer of_other;
    one.save(of_one);
    other.save(of_other);
    ASSERT_EQ(of_one.take(), of_other.take()) << "seed " << seed;
  }
}

TEST(SumOf, HasNothingLeftOfWhatExpired) {
  window_table table(of_100_ms());
  feed(table, ann, 0, 1e17);
  for (std::uint64_t t = 1; t <= 101; ++t) feed(table, ann, t, 0.1);
  double expected = 0.0;
  std::vector<window_event> same(100, {0, std::bit_cast<std::uint64_t>(0.1)});
  expected = sum_of(same);
  EXPECT_EQ(sum_of(table.window(ann, 101)), expected);
  EXPECT_NEAR(expected, 10.0, 1e-12);
}

}  // namespace
}  // namespace headrace::worker
