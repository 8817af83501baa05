#pragma once

#include <cstdint>
#include <deque>
#include <optional>

namespace headrace::actors {

/// How often a shard may be restarted, and how long each restart waits.
struct restart_limits {
  std::uint32_t restarts_max = 5;    // within the window; one more gives up
  std::uint64_t window_ms = 60'000;  // slides; so long without a failure is quiet
  std::uint32_t first_wait_ms = 10;  // doubles from failure to failure
  std::uint32_t longest_wait_ms = 5'000;
  std::uint64_t seed = 1;  // of the jitter
};

/// Restart intensity and back-off of one child, as Erlang's supervisors have them, with the waits
/// that a crash needs which will come again.
///
/// Each wait is drawn from the upper half of min(first × 2^n, longest), n = failures since it was
/// quiet last, so that shards which failed together do not come back together. The draws are named
/// by (seed, child, count): the same run waits the same. Plain state; the supervisor owns it.
class restart_policy {
 public:
  restart_policy(const restart_limits& limits, std::uint64_t child)
      : limits_(limits), child_(child) {}

  /// The child failed: milliseconds until it is started again, or nothing: give up.
  std::optional<std::uint32_t> failed(std::uint64_t now_ms);
  /// Failures so far.
  std::uint32_t failures() const { return failures_; }

 private:
  restart_limits limits_;
  std::uint64_t child_;
  std::deque<std::uint64_t> recent_;  // of the window, at most restarts_max
  std::uint32_t doublings_ = 0;
  std::uint32_t failures_ = 0;
};

}  // namespace headrace::actors
