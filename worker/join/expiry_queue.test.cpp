#include "worker/join/expiry_queue.hpp"

#include "base/random.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <set>
#include <utility>
#include <vector>

namespace headrace::worker {
namespace {

using order = std::pair<std::uint64_t, std::uint64_t>;

TEST(ExpiryQueue, GivesTheOrderOfDeadlineThenSequenceWhateverTheBuckets) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE(seed);
    random_stream draw(seed);
    constexpr std::uint64_t widths[]{0, 1, 7, 1000, UINT64_MAX};
    expiry_queue queue(widths[draw.next_below(5)]);
    const std::uint64_t span = 1 + draw.next_below(draw.next_below(2) == 0 ? 20 : 20'000);
    std::set<order> model;
    std::uint64_t watermark = 0;
    std::uint64_t sequence = 0;
    for (int step = 0; step < 600; ++step) {
      for (std::uint64_t n = draw.next_below(4); n > 0; --n) {
        // Behind the watermark too, and now and then very far ahead.
        std::uint64_t deadline = watermark / 2 + draw.next_below(span + watermark);
        if (draw.next_below(50) == 0) deadline = UINT64_MAX - draw.next_below(3);
        queue.push({deadline, sequence, static_cast<std::uint32_t>(sequence)});
        model.emplace(deadline, sequence++);
      }
      expiry_queue::item first;
      if (draw.next_below(20) == 0 && !model.empty()) {
        ASSERT_TRUE(queue.pop(first));
        ASSERT_EQ(order(first.deadline, first.sequence), *model.begin());
        model.erase(model.begin());
      }
      watermark += draw.next_below(1 + span / 50);
      while (queue.pop_before(watermark, first)) {
        ASSERT_LT(first.deadline, watermark);
        ASSERT_EQ(order(first.deadline, first.sequence), *model.begin());
        ASSERT_EQ(first.entry, first.sequence);
        model.erase(model.begin());
      }
      ASSERT_TRUE(model.empty() || model.begin()->first >= watermark);
      ASSERT_EQ(queue.size(), model.size());
    }
    std::set<order> rest;
    std::uint64_t last = 0;
    for (const auto& one : queue.by_sequence()) {
      EXPECT_TRUE(rest.empty() || one.sequence > last);
      last = one.sequence;
      rest.emplace(one.deadline, one.sequence);
    }
    EXPECT_EQ(rest, model);
  }
}

}  // namespace
}  // namespace headrace::worker
