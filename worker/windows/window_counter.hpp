#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::worker {

/// What a window remembers of one event.
struct window_event {
  std::uint64_t time_ms = 0;
  std::uint64_t value = 0;  // whatever is summed or listed; its bits

  friend bool operator==(const window_event&, const window_event&) = default;
};

/// Times s of the window (now − over_ms, now]: whether s is before it.
constexpr bool is_expired(std::uint64_t s, std::uint64_t now, std::uint64_t over_ms) {
  return now >= over_ms && s <= now - over_ms;
}

/// Events of one key in order of time, those of equal times as they came. 16 to 64 bytes an event.
class window_counter {
 public:
  bool empty() const { return begin_ == events_.size(); }
  std::size_t size() const { return events_.size() - begin_; }
  /// Oldest first.
  std::span<const window_event> all() const { return std::span(events_).subspan(begin_); }
  /// Of (now − over_ms, until]; now ≥ until. Valid until the next change.
  std::span<const window_event> within(std::uint64_t until,
                                       std::uint64_t now,
                                       std::uint64_t over_ms) const;

  /// Appends in constant time; an older event moves those behind it.
  void insert(const window_event& one);
  /// count ≤ size().
  void drop_oldest(std::size_t count);

 private:
  std::vector<window_event> events_;  // behind begin_; in front of it, room that is taken back
  std::size_t begin_ = 0;
};

/// Sum of the events' values as doubles, in four lanes, added in one order whatever the counter's
/// history was: no sum is ever carried on, so nothing that expired is left in it.
double sum_of(std::span<const window_event> events);

}  // namespace headrace::worker
