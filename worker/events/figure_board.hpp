#pragma once

#include <mutex>

namespace headrace::worker {

/// Where the thread that reads the event log writes figures, as of the last record, and others read
/// them. The mutex guards them all; it is held for one copy.
template <class Figures>
class figure_board {
 public:
  void tell(const Figures& now) {
    const std::lock_guard lock(mutex_);
    figures_ = now;
  }
  /// As they are made before the first record.
  Figures read() const {
    const std::lock_guard lock(mutex_);
    return figures_;
  }

 private:
  mutable std::mutex mutex_;
  Figures figures_;
};

}  // namespace headrace::worker
