#include "worker/ingest/replayed_source.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <set>
#include <utility>
#include <vector>

namespace headrace::worker {
namespace {

/// Rows whose one key is their number, and whose list has as many ids; every fifth is bad.
class numbered_source final : public event_source {
 public:
  explicit numbered_source(std::uint64_t rows) : rows_(rows) {}
  result<bool> next(event& into) override {
    while (position_ % 5 == 4 && position_ < rows_) {
      ++position_;
      if (auto counted = bad_.add(bad_row::column_count, "rows", position_, ""); !counted)
        return counted.error();
    }
    if (position_ == rows_) return false;
    into = {};
    into.label = static_cast<float>(position_ % 2);
    into.keys = {position_};
    into.lengths = {static_cast<std::uint16_t>(position_ % 4)};
    into.sequence_keys.assign(position_ % 4, position_);
    into.event_time_ms = 100 + position_;
    into.row_number = position_++;
    return true;
  }
  result<void> skip(std::uint64_t) override { return {}; }
  std::uint64_t position() const override { return position_; }
  result<std::uint64_t> count_records() const override { return rows_; }
  const bad_rows& bad() const override { return bad_; }
  std::size_t features() const override { return 1; }

 private:
  std::uint64_t rows_;
  std::uint64_t position_ = 0;
  bad_rows bad_{100};
};

std::unique_ptr<replayed_source> replayed(std::uint64_t rows, replayed_source::settings how) {
  auto made = replayed_source::read(std::make_unique<numbered_source>(rows), how);
  EXPECT_TRUE(made.ok());
  return std::move(*made);
}

std::vector<std::uint64_t> keys_of(replayed_source& from) {
  std::vector<std::uint64_t> keys;
  for (event each; *from.next(each);) {
    EXPECT_EQ(each.row_number + 1, from.position());
    EXPECT_EQ(each.label, static_cast<float>(each.keys[0] % 2));
    EXPECT_EQ(each.event_time_ms, 100 + each.keys[0]);
    EXPECT_EQ(each.sequence_keys, std::vector<std::uint64_t>(each.keys[0] % 4, each.keys[0]));
    keys.push_back(each.keys[0]);
  }
  return keys;
}

TEST(ReplayedSource, GivesItsGoodRowsPassAfterPass) {
  const auto source = replayed(7, {.passes = 3});
  EXPECT_EQ(source->pass_records(), 6U);
  EXPECT_EQ(*source->count_records(), 18U);
  EXPECT_EQ(source->bad().total(), 1U);
  EXPECT_EQ(keys_of(*source),
            (std::vector<std::uint64_t>{0, 1, 2, 3, 5, 6, 0, 1, 2, 3, 5, 6, 0, 1, 2, 3, 5, 6}));
}

TEST(ReplayedSource, ShufflesEachPassInAnOrderThatFollowsFromTheSeed) {
  const auto all = keys_of(*replayed(100, {.passes = 4, .shuffle = true, .seed = 9}));
  ASSERT_EQ(all.size(), 320U);
  std::set<std::vector<std::uint64_t>> orders;
  for (std::size_t pass = 0; pass < 4; ++pass) {
    std::vector<std::uint64_t> one(all.begin() + static_cast<std::ptrdiff_t>(80 * pass),
                                   all.begin() + static_cast<std::ptrdiff_t>(80 * (pass + 1)));
    orders.insert(one);
    EXPECT_FALSE(std::ranges::is_sorted(one)) << pass;
    std::ranges::sort(one);
    EXPECT_EQ(std::ranges::adjacent_find(one), one.end()) << pass;
  }
  EXPECT_EQ(orders.size(), 4U);
  EXPECT_EQ(keys_of(*replayed(100, {.passes = 4, .shuffle = true, .seed = 9})), all);
  EXPECT_NE(keys_of(*replayed(100, {.passes = 4, .shuffle = true, .seed = 10})), all);
}

// Each row stands at each place about equally often.
TEST(ReplayedSource, ShufflesWithoutFavour) {
  constexpr std::uint32_t passes = 4'000;
  const auto all = keys_of(*replayed(4, {.passes = passes, .shuffle = true}));
  std::array<std::array<int, 4>, 4> at{};
  for (std::size_t i = 0; i < all.size(); ++i) ++at[i % 4][all[i]];
  for (const auto& place : at) {
    for (const int count : place) EXPECT_NEAR(count, passes / 4, 110);  // 4 standard deviations
  }
}

TEST(ReplayedSource, GoesOnFromAnyRecord) {
  const replayed_source::settings how{.passes = 3, .shuffle = true, .seed = 2};
  const auto all = keys_of(*replayed(20, how));
  for (const std::uint64_t from : {0U, 5U, 16U, 31U, 48U}) {
    const auto source = replayed(20, how);
    ASSERT_TRUE(source->skip(from).ok());
    EXPECT_EQ(
        keys_of(*source),
        std::vector<std::uint64_t>(all.begin() + static_cast<std::ptrdiff_t>(from), all.end()));
  }
  const auto source = replayed(20, how);
  const auto beyond = source->skip(49);
  ASSERT_FALSE(beyond.ok());
  EXPECT_EQ(beyond.error().code, errc::bad_input);
}

TEST(ReplayedSource, EndsAtOnceWhereThereIsNothing) {
  EXPECT_TRUE(keys_of(*replayed(0, {.passes = 5, .shuffle = true})).empty());
}

}  // namespace
}  // namespace headrace::worker
