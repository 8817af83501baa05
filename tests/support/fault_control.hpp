#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace headrace::tests {

/// One page of memory that a test and the process it starts both map: the test sets what the disk
/// does, the shim inside the process obeys and counts. Lock-free atomics work across processes;
/// all zero is a healthy disk. Relaxed order is enough: each field is a wish of its own.
struct fault_control {
  /// Only files whose path contains this text have faults, and are counted; empty: none.
  std::array<char, 256> path{};
  std::atomic<std::int64_t> sync_fails_at{0};    // number of the sync that gives EIO; 0 = none
  std::atomic<std::int64_t> disk_full_from{0};   // writes from this number on give ENOSPC; 0 = none
  std::atomic<std::int64_t> write_bytes_max{0};  // a write takes no more at once; 0 = no limit
  std::atomic<std::int64_t> sync_delay_ms{0};
  std::atomic<std::int64_t> write_delay_ms{0};
  std::atomic<std::int64_t> syncs{0};     // asked for
  std::atomic<std::int64_t> writes{0};    // asked for
  std::atomic<std::int64_t> injected{0};  // failed, cut short or delayed
};
static_assert(std::atomic<std::int64_t>::is_always_lock_free);

inline constexpr const char* fault_control_variable = "HEADRACE_FAULT_CONTROL";

}  // namespace headrace::tests
