#pragma once

#include "base/random.hpp"
#include "worker/join/test_joins.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <set>
#include <string>
#include <utility>
#include <vector>

/// Random joins for property tests: everything follows from the seed.
namespace headrace::worker {

struct drawn_join {
  join_spec how;
  std::vector<join_call> events;  // by time; no two impressions of a key too near
};

inline drawn_join draw_join(std::uint64_t seed) {
  random_stream draw(seed * 7919);
  const auto below = [&](std::uint64_t n) { return draw.next_below(n); };
  drawn_join made;
  join_spec& how = made.how;
  how.window_ms = below(4) == 0 ? below(3) : below(2000);
  how.out_of_order_ms = below(4) == 0 ? 0 : below(1500);
  how.correct_ms = below(2) == 0 ? 0 : below(3000);
  how.early_ms = below(2) == 0 ? 0 : below(300);
  constexpr std::uint32_t kinds[]{1, 1, 2, 3, 64};
  how.actions = kinds[below(5)];
  how.seed = seed;

  const std::uint64_t keys = 1 + below(150);
  const std::uint64_t apart =
      how.window_ms + how.correct_ms + how.out_of_order_ms + how.early_ms + 1;
  const std::uint64_t span_ms = 1 + below(6000);
  for (std::uint64_t k = 0; k < keys; ++k) {
    const std::string key = "request " + std::to_string(k);
    std::uint64_t time = 10'000 + below(span_ms);
    const std::uint64_t times = below(6) == 0 ? 1 + below(3) : 1;
    for (std::uint64_t i = 0; i < times; ++i) {
      const bool lone = below(12) == 0;
      if (!lone) {
        join_call seen = impression(key, time);
        seen.payload = key + " #" + std::to_string(i) + std::string(below(60), '.');
        made.events.push_back(std::move(seen));
      }
      // Around both ends of what belongs to it, often at them.
      for (std::uint64_t n = below(4); n > 0; --n) {
        const std::uint64_t edges[]{time - how.early_ms,
                                    time,
                                    time + how.window_ms,
                                    time + how.window_ms + how.correct_ms,
                                    time + below(how.window_ms + how.correct_ms + 1)};
        const std::uint64_t at = edges[below(5)] + below(3) - 1;
        made.events.push_back(action(key, at, static_cast<std::uint32_t>(below(how.actions))));
      }
      time += apart + 1 + below(2000);
    }
  }
  std::stable_sort(made.events.begin(), made.events.end(), [](const auto& a, const auto& b) {
    return a.time_ms < b.time_ms;
  });
  return made;
}

/// In an order that keeps each in bounds: no event behind one whose time is more than
/// out_of_order_ms newer. `arrived_ms` is the place in that order.
inline std::vector<join_call> shuffled(std::vector<join_call> events,
                                       const join_spec& how,
                                       std::uint64_t seed) {
  random_stream draw(seed * 31 + 17);
  std::vector<std::pair<std::uint64_t, std::size_t>> order;
  for (std::size_t i = 0; i < events.size(); ++i)
    order.emplace_back(events[i].time_ms + draw.next_below(how.out_of_order_ms + 1), i);
  // Ties in any order, too.
  std::vector<std::uint64_t> tie(events.size());
  for (auto& one : tie) one = draw.next();
  std::sort(order.begin(), order.end(), [&](const auto& a, const auto& b) {
    return a.first != b.first ? a.first < b.first : tie[a.second] < tie[b.second];
  });
  std::vector<join_call> mixed;
  for (const auto& [due, i] : order) {
    mixed.push_back(std::move(events[i]));
    mixed.back().arrived_ms = 1'000'000 + mixed.size();
  }
  return mixed;
}

}  // namespace headrace::worker
