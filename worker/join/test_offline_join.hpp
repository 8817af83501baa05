#pragma once

#include "worker/join/test_joins.hpp"

#include <algorithm>
#include <cstdint>
#include <map>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

/// What is right, by definition: a join of all events at once, without clock, order or bounds.
namespace headrace::worker {

/// A payload and its labels.
using labelled = std::pair<std::string, std::uint64_t>;

/// Sorts everything by key and time. Impressions of a key lie further apart than it is remembered.
/// With `with_corrections` the labels that stand at the end, else those of the windows alone.
/// Negatives are all there. Sorted.
inline std::vector<labelled> offline_join(std::vector<join_call> events,
                                          const join_spec& how,
                                          bool with_corrections) {
  std::sort(events.begin(), events.end(), [](const join_call& a, const join_call& b) {
    return std::tie(a.key, a.call, a.time_ms) < std::tie(b.key, b.call, b.time_ms);
  });
  const std::uint64_t reach = how.window_ms + (with_corrections ? how.correct_ms : 0);
  std::vector<labelled> all;
  for (auto key = events.begin(); key != events.end();) {
    const auto end =
        std::find_if(key, events.end(), [&](const join_call& one) { return one.key != key->key; });
    for (auto seen = key; seen != end && seen->call == join_call::what::impression; ++seen) {
      std::uint64_t actions = 0;
      for (auto one = seen; one != end; ++one) {
        const bool belongs = one->call == join_call::what::action &&
                             one->time_ms + how.early_ms >= seen->time_ms &&
                             one->time_ms <= seen->time_ms + reach;
        if (belongs) actions |= std::uint64_t{1} << one->kind;
      }
      all.emplace_back(seen->payload, actions);
    }
    key = end;
  }
  std::sort(all.begin(), all.end());
  return all;
}

/// The labels that stand once everything was sent: the last sample of an impression counts. Sorted.
/// Payloads differ.
inline std::vector<labelled> final_labels(const std::vector<sent_sample>& sent) {
  std::map<std::string, std::uint64_t> last;
  for (const sent_sample& one : sent) last[one.payload] = one.actions;
  return {last.begin(), last.end()};
}

/// The labels of the samples that are no corrections. Sorted.
inline std::vector<labelled> first_labels(const std::vector<sent_sample>& sent) {
  std::vector<labelled> all;
  for (const sent_sample& one : sent) {
    if (one.outcome != join_outcome::correction) all.emplace_back(one.payload, one.actions);
  }
  std::sort(all.begin(), all.end());
  return all;
}

}  // namespace headrace::worker
