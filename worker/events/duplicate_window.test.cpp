#include "worker/events/duplicate_window.hpp"

#include "base/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <deque>
#include <set>
#include <string>

namespace headrace::worker {
namespace {

TEST(DuplicateWindow, KnowsWhatWasAdded) {
  duplicate_window window(8);
  EXPECT_TRUE(window.add("a"));
  EXPECT_FALSE(window.add("a"));
  EXPECT_TRUE(window.knows("a"));
  EXPECT_FALSE(window.knows("b"));
  EXPECT_EQ(window.size(), 1U);
  EXPECT_EQ(window.open(), 1U);
}

TEST(DuplicateWindow, ForgetsTheOldestBeyondItsSize) {
  duplicate_window window(3);
  for (const char* id : {"a", "b", "c", "d"}) EXPECT_TRUE(window.add(id)) << id;
  EXPECT_FALSE(window.knows("a"));
  for (const char* id : {"b", "c", "d"}) EXPECT_TRUE(window.knows(id)) << id;
  EXPECT_EQ(window.size(), 3U);
}

TEST(DuplicateWindow, WhatFellOutComesBackWhenItsAdditionIsTakenBack) {
  duplicate_window window(2);
  for (const char* id : {"a", "b", "c", "a"}) EXPECT_TRUE(window.add(id)) << id;
  window.take_back(2);
  EXPECT_TRUE(window.knows("a"));
  EXPECT_TRUE(window.knows("b"));
  EXPECT_FALSE(window.knows("c"));
}

TEST(DuplicateWindow, WhatIsSettledStays) {
  duplicate_window window(2);
  window.add("a");
  window.add("b");
  window.settle(1);
  EXPECT_EQ(window.open(), 1U);
  window.take_back(1);
  EXPECT_TRUE(window.knows("a"));
  EXPECT_DEATH(window.take_back(1), "open_");
}

TEST(DuplicateWindow, HasTheBytesItsHeaderStates) {
  EXPECT_EQ(duplicate_window(1 << 20).bytes(), std::size_t{32} << 20);
  EXPECT_EQ(duplicate_window((1 << 20) + 1).bytes() / ((1 << 20) + 1), 47U);
}

TEST(DuplicateWindow, TheSecretChangesNothingOfWhatIsKnown) {
  duplicate_window plain(100), secret(100, 0x1234'5678'9abc'def1);
  for (int i = 0; i < 1000; ++i) {
    const std::string id = std::to_string(mix64(static_cast<std::uint64_t>(i)) % 150);
    EXPECT_EQ(plain.add(id), secret.add(id)) << i;
  }
}

// What the window should know: ids in order, and what the open additions pushed out.
struct plain_window {
  std::size_t max;
  std::deque<std::string> ids;
  std::deque<std::pair<bool, std::string>> open;  // whether something fell out, and what
  std::set<std::string> known;

  bool add(const std::string& id) {
    if (!known.insert(id).second) return false;
    ids.push_back(id);
    const bool falls = ids.size() > max;
    open.emplace_back(falls, falls ? ids.front() : "");
    if (falls) known.erase(ids.front());
    if (falls) ids.pop_front();
    return true;
  }
  void take_back() {
    known.erase(ids.back());
    ids.pop_back();
    if (open.back().first) ids.push_front(open.back().second);
    if (open.back().first) known.insert(open.back().second);
    open.pop_back();
  }
};

void compare_with_sets(std::uint64_t seed) {
  random_stream random(seed);
  const std::uint64_t max = 1 + random.next_below(random.next_below(2) == 0 ? 6 : 300);
  const std::uint64_t ids = 1 + random.next_below(3 * max);
  duplicate_window window(max, random.next());
  plain_window plain{max, {}, {}, {}};
  for (int step = 0; step < 3000; ++step) {
    const std::uint64_t what = random.next_below(20);
    const std::uint64_t count = plain.open.empty() ? 0 : random.next_below(plain.open.size() + 1);
    if (what == 0) {
      window.take_back(count);
      for (std::uint64_t i = 0; i < count; ++i) plain.take_back();
    } else if (what == 1) {
      window.settle(count);
      plain.open.erase(plain.open.begin(), plain.open.begin() + static_cast<std::ptrdiff_t>(count));
    } else {
      const std::string id = "id " + std::to_string(random.next_below(ids));
      ASSERT_EQ(window.add(id), plain.add(id)) << "seed " << seed << " step " << step;
    }
    ASSERT_EQ(window.size(), plain.ids.size()) << "seed " << seed << " step " << step;
    ASSERT_EQ(window.open(), plain.open.size()) << "seed " << seed << " step " << step;
  }
  for (std::uint64_t i = 0; i < ids; ++i) {
    const std::string id = "id " + std::to_string(i);
    ASSERT_EQ(window.knows(id), plain.known.count(id) == 1) << "seed " << seed << " " << id;
  }
}

TEST(DuplicateWindow, IsWhatASetAndAListAreUnderRandomUse) {
  for (std::uint64_t seed = 1; seed <= 100 && !testing::Test::HasFailure(); ++seed)
    compare_with_sets(seed);
}

}  // namespace
}  // namespace headrace::worker
