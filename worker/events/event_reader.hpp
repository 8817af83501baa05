#pragma once

#include "base/result.hpp"
#include "storage/ordered_log.hpp"
#include "worker/events/event_tail.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

namespace headrace::worker {

/// Reads the event log in order while it grows: from the tail where that has them, else from the
/// log. One thread, which may be another than the one that appends: only for logs that can be read
/// meanwhile (storage/segment_log.hpp).
class event_reader {
 public:
  /// From `next` on. Both outlive the reader.
  event_reader(storage::ordered_log& log, event_tail& tail, lsn next)
      : log_(log), tail_(tail), next_(next) {}

  /// The next committed record; null when there is none yet. Fails: corrupt, io_error.
  result<logged_events_ptr> next();
  /// The position `next` will give.
  lsn position() const { return next_; }

 private:
  result<void> refill();
  result<void> read_log(lsn before);

  storage::ordered_log& log_;
  event_tail& tail_;
  lsn next_;
  std::vector<logged_events_ptr> ahead_;  // read, newest first
};

/// One record of an event log as what it holds; fails: corrupt, where it is none.
result<logged_events_ptr> to_logged_events(const storage::log_record& record);

}  // namespace headrace::worker
