#pragma once

#include "base/frame.hpp"
#include "schemas/event.hpp"
#include "worker/events/duplicate_window.hpp"
#include "worker/events/event_schema.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <vector>

namespace headrace::worker {

/// What the gate said of one batch. `left_out` has one bit an event (bit i of byte i / 8), set for
/// those that are refused or duplicates; empty when all are taken. It is what the log keeps as the
/// record's decisions.
struct gate_verdict {
  schemas::event_ack ack;  // its counts and refusals; status ok
  frame left_out;
};

/// Decides which events of a batch are taken: one by one, against the job's columns, the clock and
/// the ids of the last while. Pure but for what it remembers; one thread.
///
/// What it lets in counts as known at once, so that a batch in flight hides the same ids in the
/// next one; `commit` makes the oldest judged batch final, `roll_back` forgets every batch that is
/// not (the log refused one, and with it all behind it).
class event_gate {
 public:
  struct settings {
    std::uint64_t future_ms_max = 60'000;  // an event may be so far ahead of the clock
    std::uint64_t past_ms_max = 0;         // and so far behind; 0 = any
    bool needs_id = false;                 // else an event without one is never a duplicate
    std::uint64_t duplicate_ids = std::uint64_t{1} << 20;  // remembered, the newest
  };
  event_gate(settings how, event_schema schema);

  gate_verdict judge(const schemas::event_batch& batch, std::uint64_t now_ms);
  void commit();
  void roll_back();
  /// After a restart: a batch of the log, in its order.
  void remember(const schemas::event_batch& batch, const frame& left_out);

  struct counters {
    std::uint64_t accepted = 0;
    std::uint64_t duplicates = 0;
    std::array<std::uint64_t, 16> refused{};  // by schemas::event_fault
  };
  const counters& count() const;
};

/// Whether the log's decisions leave event i out.
bool is_left_out(const frame& left_out, std::size_t event);

}  // namespace headrace::worker
