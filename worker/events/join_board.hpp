#pragma once

#include "worker/join/joiner.hpp"

#include <algorithm>
#include <cstdint>
#include <mutex>

namespace headrace::worker {

/// What a join did and holds, as of the last record of the event log that went through it.
struct join_figures {
  joiner::counters count;
  std::uint64_t watermark_ms = 0;
  std::uint64_t pending = 0;             // entries
  std::uint64_t payload_bytes = 0;       // in memory
  std::uint64_t payload_bytes_most = 0;  // so far, in this run
  std::uint64_t spilled = 0;             // payloads that lie in the store
  std::uint64_t spilled_most = 0;
};

/// Where the thread that joins writes its figures and others read them. The mutex guards them all;
/// it is held for one copy.
class join_board {
 public:
  /// The most so far is kept here; `now` need not have it.
  void tell(join_figures now) {
    const std::lock_guard lock(mutex_);
    now.payload_bytes_most = std::max(figures_.payload_bytes_most, now.payload_bytes);
    now.spilled_most = std::max(figures_.spilled_most, now.spilled);
    figures_ = now;
  }
  join_figures read() const {
    const std::lock_guard lock(mutex_);
    return figures_;
  }

 private:
  mutable std::mutex mutex_;
  join_figures figures_;
};

}  // namespace headrace::worker
