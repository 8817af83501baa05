#pragma once

#include <chrono>
#include <cstdint>

namespace headrace {

/// Time as a value that is handed in. `now_ms` is wall time (a label, and the stamp of records);
/// `steady_ns` only ever grows and is what deadlines and rates are measured with.
class clock {
 public:
  virtual ~clock() = default;
  /// Milliseconds since 1970-01-01 UTC.
  virtual std::uint64_t now_ms() const = 0;
  virtual std::uint64_t steady_ns() const = 0;
};

class system_clock final : public clock {
 public:
  std::uint64_t now_ms() const override {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                          std::chrono::system_clock::now().time_since_epoch())
                                          .count());
  }
  std::uint64_t steady_ns() const override {
    return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                          std::chrono::steady_clock::now().time_since_epoch())
                                          .count());
  }
};

/// Moves only when told to: tests and the simulator.
class manual_clock final : public clock {
 public:
  std::uint64_t now_ms() const override { return ms_; }
  std::uint64_t steady_ns() const override { return ms_ * 1'000'000; }
  void advance_ms(std::uint64_t by) { ms_ += by; }

 private:
  std::uint64_t ms_ = 1'000;
};

}  // namespace headrace
