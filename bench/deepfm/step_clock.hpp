#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <string_view>

namespace headrace::bench {

/// What a training step is made of, in order.
enum class step_part {
  begin,          // unique keys, counts and places of a batch; which shard has which
  pull_messages,  // pull sections and replies encoded, decoded
  locks,          // waited for, at pulls and pushes
  pull,           // the shard's look-ups and its reply
  accept,         // rows to their places
  learn,          // forward and backward
  push_sections,  // gradients gathered, quantized, encoded
  push_messages,  // push sections decoded, acknowledgements encoded and decoded
  decide,
  commit,
};
inline constexpr std::array<std::string_view, 10> step_part_names = {"begin",
                                                                     "pull_messages",
                                                                     "locks",
                                                                     "pull",
                                                                     "accept",
                                                                     "learn",
                                                                     "push_sections",
                                                                     "push_messages",
                                                                     "decide",
                                                                     "commit"};

/// Where the time of a thread's steps goes: everything since the last `end` belongs to the part
/// that ends. About 30 readings a step, of tens of nanoseconds each.
class step_clock {
 public:
  using seconds = std::array<double, step_part_names.size()>;

  void start() { last_ = std::chrono::steady_clock::now(); }
  void end(step_part part) {
    const auto now = std::chrono::steady_clock::now();
    spent_[static_cast<std::size_t>(part)] += std::chrono::duration<double>(now - last_).count();
    last_ = now;
  }
  const seconds& spent() const { return spent_; }
  void clear() { spent_ = {}; }

 private:
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  seconds spent_ = {};
};

}  // namespace headrace::bench
