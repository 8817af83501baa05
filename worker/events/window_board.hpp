#pragma once

#include "worker/ingest/window_features.hpp"

#include <mutex>
#include <vector>

namespace headrace::worker {

/// Where the thread that reads the event log writes what its windows hold, as of the last record,
/// and others read it. The mutex guards the figures; it is held for one copy.
class window_board {
 public:
  void tell(const std::vector<window_figures>& now) {
    const std::lock_guard lock(mutex_);
    figures_ = now;
  }
  /// Of each window, in the order of the job file; none before the first record.
  std::vector<window_figures> read() const {
    const std::lock_guard lock(mutex_);
    return figures_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<window_figures> figures_;
};

}  // namespace headrace::worker
