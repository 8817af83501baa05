#pragma once

#include "storage/engines/broker_login.hpp"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <thread>

namespace headrace::storage {

/// How long one call waits for a broker.
class patience {
 public:
  explicit patience(std::int64_t ms) : end_(clock::now() + std::chrono::milliseconds(ms)) {}
  /// False: it is over. Waits a while first, longer each time.
  bool again() {
    const auto now = clock::now();
    if (now >= end_) return false;
    pace_.failed(now);
    std::this_thread::sleep_until(std::min(pace_.due(), end_));
    return true;
  }

 private:
  using clock = std::chrono::steady_clock;
  clock::time_point end_;
  reconnect_pace pace_;
};

}  // namespace headrace::storage
