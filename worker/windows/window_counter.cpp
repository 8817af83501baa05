#include "worker/windows/window_counter.hpp"

#include "base/check.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

namespace headrace::worker {
namespace {

constexpr std::size_t capacity_kept = 16;  // events; less room isn't worth giving back

}  // namespace

std::span<const window_event> window_counter::within(std::uint64_t until,
                                                     std::uint64_t now,
                                                     std::uint64_t over_ms) const {
  const auto events = all();
  const auto end = std::ranges::upper_bound(events, until, {}, &window_event::time_ms);
  if (now < over_ms) return {events.begin(), end};
  const auto begin =
      std::ranges::upper_bound(events.begin(), end, now - over_ms, {}, &window_event::time_ms);
  return {begin, end};
}

void window_counter::insert(const window_event& one) {
  if (events_.size() == events_.capacity() && begin_ >= events_.size() / 2) {
    events_.erase(events_.begin(), events_.begin() + static_cast<std::ptrdiff_t>(begin_));
    begin_ = 0;
  }
  auto place = events_.end();
  const auto first = events_.begin() + static_cast<std::ptrdiff_t>(begin_);
  if (place != first && std::prev(place)->time_ms > one.time_ms)
    place = std::upper_bound(
        first, place, one.time_ms, [](std::uint64_t time_ms, const window_event& other) {
          return time_ms < other.time_ms;
        });
  events_.insert(place, one);
}

void window_counter::drop_oldest(std::size_t count) {
  CHECK(count <= size());
  begin_ += count;
  if (4 * size() >= events_.capacity() || events_.capacity() <= capacity_kept) return;
  const auto left = all();
  events_ = std::vector<window_event>(left.begin(), left.end());
  begin_ = 0;
}

double sum_of(std::span<const window_event> events) {
  std::array<double, 4> lanes{};
  for (std::size_t i = 0; i < events.size(); ++i)
    lanes[i % lanes.size()] += std::bit_cast<double>(events[i].value);
  return (lanes[0] + lanes[1]) + (lanes[2] + lanes[3]);
}

}  // namespace headrace::worker
