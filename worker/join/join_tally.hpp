#pragma once

#include "worker/join/joiner.hpp"

#include <cstdint>
#include <mutex>

namespace headrace::worker {

/// What a join has done so far, for whoever asks: the joiner's thread keeps a copy here, any thread
/// reads it. The mutex guards the copy and is held for one copy.
class join_tally {
 public:
  struct figures {
    joiner::counters counted;
    std::uint64_t pending = 0;        // entries
    std::uint64_t payload_bytes = 0;  // in memory
    std::uint64_t spilled = 0;        // payloads that are elsewhere
    std::uint64_t watermark_ms = 0;
    friend bool operator==(const figures&, const figures&) = default;
  };

  void publish(const joiner& of) {
    const figures now{
        of.count(), of.pending(), of.payload_bytes(), of.spilled(), of.watermark_ms()};
    const std::lock_guard hold(mutex_);
    figures_ = now;
  }
  /// As of the last `publish`; nothing counted before the first.
  figures read() const {
    const std::lock_guard hold(mutex_);
    return figures_;
  }

 private:
  mutable std::mutex mutex_;
  figures figures_;
};

}  // namespace headrace::worker
