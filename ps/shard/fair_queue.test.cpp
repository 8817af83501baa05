#include "ps/shard/fair_queue.hpp"

#include "base/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>

namespace headrace::ps {
namespace {

std::uint64_t seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 1;
}

TEST(FairQueue, KeepsTheOrderOfEachSourceAndLosesNothing) {
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed()));
  random_stream random(seed());
  fair_queue<std::pair<std::size_t, int>> queue({.quantum = 10});
  std::array<int, 5> sent{};
  std::array<int, 5> got{};
  const auto take = [&] {
    const auto item = queue.pop();
    ASSERT_TRUE(item.has_value());
    ASSERT_EQ(item->second, got[item->first]++);
  };
  for (int i = 0; i < 20'000; ++i) {
    if (random.next_below(2) == 0 || queue.empty()) {
      const std::size_t source = random.next_below(5);
      ASSERT_TRUE(queue.push(
          "s" + std::to_string(source), random.next_below(40), {source, sent[source]++}));
    } else {
      take();
    }
  }
  while (!queue.empty()) take();
  EXPECT_EQ(sent, got);
  EXPECT_EQ(queue.cost(), 0U);
  EXPECT_EQ(queue.sources(), 0U);
  EXPECT_FALSE(queue.pop().has_value());
}

TEST(FairQueue, WaitingSourcesGetTheSameWhateverTheySend) {
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed()));
  random_stream random(seed() + 3);
  constexpr std::uint64_t quantum = 1'000;
  constexpr std::array<std::uint64_t, 3> largest{50, 1'500, 4'000};
  fair_queue<std::pair<std::size_t, std::uint64_t>> queue({.quantum = quantum});
  for (std::size_t source = 0; source < largest.size(); ++source) {
    for (std::uint64_t sum = 0; sum < 1'000'000;) {
      const std::uint64_t cost = 1 + random.next_below(largest[source]);
      ASSERT_TRUE(queue.push(std::to_string(source), cost, {source, cost}));
      sum += cost;
    }
  }
  std::array<std::uint64_t, 3> taken{};
  while (*std::max_element(taken.begin(), taken.end()) < 900'000) {
    const auto item = queue.pop();
    taken[item->first] += item->second;
    const auto [least, most] = std::minmax_element(taken.begin(), taken.end());
    ASSERT_LE(*most - *least, quantum + 2 * 4'000);
  }
}

TEST(FairQueue, ALatecomerWaitsForOneTurnOfEachOther) {
  fair_queue<int> queue({.quantum = 100});
  for (int i = 0; i < 1'000; ++i) {
    ASSERT_TRUE(queue.push("flood", 100, 0));
    ASSERT_TRUE(queue.push("torrent", 100, 0));
  }
  (void)queue.pop();
  ASSERT_TRUE(queue.push("late", 100, 1));
  int before = 0;
  while (*queue.pop() != 1) ++before;
  EXPECT_LE(before, 2);
}

TEST(FairQueue, RefusesAtItsBoundsAndLeavesTheItem) {
  fair_queue<std::unique_ptr<int>> queue({.quantum = 10, .source_cost_max = 100, .cost_max = 150});
  ASSERT_TRUE(queue.push("a", 60, std::make_unique<int>(1)));
  auto item = std::make_unique<int>(2);
  EXPECT_FALSE(queue.push("a", 60, std::move(item)));
  EXPECT_NE(item, nullptr);
  EXPECT_TRUE(queue.push("b", 120, std::move(item))) << "one item of a new source always fits";
  EXPECT_FALSE(queue.push("c", 1, std::make_unique<int>(3))) << "all of them hold too much";
  EXPECT_EQ(queue.size(), 2U);
  EXPECT_EQ(queue.cost(), 180U);
}

}  // namespace
}  // namespace headrace::ps
