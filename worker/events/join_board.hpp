#pragma once

#include "worker/events/figure_board.hpp"
#include "worker/join/joiner.hpp"

#include <algorithm>
#include <cstdint>

namespace headrace::worker {

/// What a join did and holds, as of the last record of the event log that went through it.
struct join_figures {
  joiner::counters count;
  std::uint64_t watermark_ms = 0;
  std::uint64_t pending = 0;             // entries
  std::uint64_t payload_bytes = 0;       // in memory
  std::uint64_t payload_bytes_most = 0;  // so far, in this run
  std::uint64_t spilled = 0;             // payloads that lie in the store
  std::uint64_t spilled_most = 0;
};

/// A figure_board that keeps the most so far.
class join_board {
 public:
  /// `now` need not have the most so far. One thread.
  void tell(join_figures now) {
    const join_figures before = board_.read();
    now.payload_bytes_most = std::max(before.payload_bytes_most, now.payload_bytes);
    now.spilled_most = std::max(before.spilled_most, now.spilled);
    board_.tell(now);
  }
  join_figures read() const { return board_.read(); }

 private:
  figure_board<join_figures> board_;
};

}  // namespace headrace::worker
