#pragma once

#include "base/clock.hpp"
#include "base/random.hpp"

#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

namespace headrace::simulation {

/// Virtual time: events in order of their moment, those of one moment in the order they were made.
/// Everything that happens leaves its mark in `trace`.
class event_queue final : public clock {
 public:
  using action = std::function<void()>;

  void at(std::uint64_t us, action run) { waiting_.push({us, made_++, std::move(run)}); }
  void after(std::uint64_t us, action run) { at(now_us_ + us, std::move(run)); }
  /// Runs the next event. False when there is none.
  bool step() {
    if (waiting_.empty()) return false;
    // The queue gives const access only; the event leaves it at once.
    event next = std::move(const_cast<event&>(waiting_.top()));
    waiting_.pop();
    now_us_ = next.us;
    ++done_;
    note(next.us);
    note(next.number);
    next.run();
    return true;
  }
  void note(std::uint64_t fact) { trace_ = mix64(trace_ ^ fact); }

  std::uint64_t now_us() const { return now_us_; }
  std::uint64_t now_ms() const override { return 1'000 + now_us_ / 1'000; }
  std::uint64_t steady_ns() const override { return now_us_ * 1'000; }
  std::uint64_t trace() const { return trace_; }
  std::uint64_t done() const { return done_; }

 private:
  struct event {
    std::uint64_t us;
    std::uint64_t number;
    action run;
    bool operator<(const event& other) const {
      return std::pair(us, number) > std::pair(other.us, other.number);  // earliest on top
    }
  };
  std::priority_queue<event> waiting_;
  std::uint64_t now_us_ = 0;
  std::uint64_t made_ = 0;
  std::uint64_t done_ = 0;
  std::uint64_t trace_ = 0;
};

}  // namespace headrace::simulation
