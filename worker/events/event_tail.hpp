#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <vector>

namespace headrace::worker {

/// One committed record of the event log: a batch as it came and what was left out of it.
struct logged_events {
  lsn position;
  std::uint64_t arrived_ms = 0;  // the log's stamp: never decreasing
  frame batch;                   // empty: only the time went on
  frame left_out;                // see event_gate.hpp
  std::size_t bytes() const { return batch.size() + left_out.size() + sizeof *this; }
};
using logged_events_ptr = std::shared_ptr<const logged_events>;

/// The newest committed records in memory, so that a reader who keeps up never asks the disk. The
/// intake's thread puts, one reader takes. Holds about `bytes_max`; a reader who falls further
/// behind finds the older ones in the log.
class event_tail {
 public:
  explicit event_tail(std::size_t bytes_max) : bytes_max_(bytes_max) {}

  /// The position after the last one put, or any to begin with.
  void put(logged_events_ptr record);
  /// Appends the records from `next` on, at most `count`, to `into`. Returns the oldest position
  /// held where that is beyond `next` (those between lie in the log), else `next`.
  lsn take(lsn next, std::size_t count, std::vector<logged_events_ptr>& into);
  /// Called after each `put`, on the intake's thread: must only hand over. Empty to end that.
  void on_put(std::function<void()> wake);

 private:
  const std::size_t bytes_max_;
  std::mutex mutex_;  // guards what follows; held for a push, a copy of pointers or a wake-up
  std::deque<logged_events_ptr> held_;
  std::size_t bytes_ = 0;
  std::function<void()> wake_;
};

}  // namespace headrace::worker
