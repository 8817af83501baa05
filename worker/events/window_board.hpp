#pragma once

#include "worker/ingest/window_features.hpp"

#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

namespace headrace::worker {

/// Columns of impressions that are kept for their actions, for all windows together.
struct impression_figures {
  std::uint64_t kept = 0;
  std::uint64_t bytes = 0;
  std::uint64_t forgotten = 0;  // for want of room, while an action could ask for them
};

/// What the windows of a job hold and have counted.
struct windows_figures {
  std::vector<window_figures> each;                    // in the order of the job file
  std::optional<impression_figures> impressions = {};  // where actions take columns from them
};

/// Where the thread that reads the event log writes what its windows hold, as of the last record,
/// and others read it. The mutex guards the figures; it is held for one copy.
class window_board {
 public:
  void tell(const windows_figures& now) {
    const std::lock_guard lock(mutex_);
    figures_ = now;
  }
  /// Nothing before the first record.
  windows_figures read() const {
    const std::lock_guard lock(mutex_);
    return figures_;
  }

 private:
  mutable std::mutex mutex_;
  windows_figures figures_;
};

}  // namespace headrace::worker
