#pragma once

#include "base/ids.hpp"

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>

namespace headrace::worker {

/// Which sealed batches may go: the oldest ones, where the sample log is too long or they are too
/// old, and never one that a restart may ask for. Judges the log by stretches, one for each few MiB
/// that were appended. No disk and no clock; one thread.
class sample_retention {
 public:
  struct settings {
    std::uint64_t keep_ms = 0;     // behind the newest batch; 0 = no bound
    std::uint64_t keep_bytes = 0;  // of the log, about; 0 = no bound
    std::uint64_t stretch_bytes = std::uint64_t{4} << 20;
    /// Through which batch rows hold what was learned, so that no restart begins before the one
    /// behind it, whatever a log loses. 0 = not known. Asked once a stretch.
    std::function<batch_number()> covered = nullptr;
  };
  explicit sample_retention(settings how);

  /// What an earlier run sealed, in order and before anything else: `bytes` through a batch of that
  /// time or an earlier one.
  void earlier(batch_number through, std::uint64_t stamp_ms, std::uint64_t bytes);
  /// A batch was appended. The first batch to keep, when some before it may go.
  std::optional<batch_number> sealed(batch_number batch,
                                     std::uint64_t stamp_ms,
                                     std::uint64_t bytes);

 private:
  struct stretch {
    batch_number through;
    std::uint64_t stamp_ms = 0;
    std::uint64_t bytes = 0;
  };
  settings how_;
  std::deque<stretch> kept_;  // oldest first
  std::uint64_t bytes_ = 0;   // of them
  stretch newest_;            // not whole yet
};

}  // namespace headrace::worker
