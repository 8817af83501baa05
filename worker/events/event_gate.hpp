#pragma once

#include "base/frame.hpp"
#include "schemas/event.hpp"
#include "worker/events/duplicate_window.hpp"
#include "worker/events/event_schema.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <vector>

namespace headrace::worker {

/// What the gate said of one batch. `left_out` has one bit an event (bit i % 8 of byte i / 8), set
/// for those that are refused or duplicates; empty when all are taken. It is what the log keeps as
/// the record's decisions.
struct gate_verdict {
  schemas::event_ack ack;  // its counts and refusals; status ok
  frame left_out;
};

/// Decides which events of a batch are taken: one by one, against the job's columns, the clock and
/// the ids of the last while. Pure but for what it remembers; one thread.
///
/// The first that holds is an event's fault: unknown_action; no_id, no_key; bad_time; wrong_schema;
/// what event_schema::check finds; and of those that are left, duplicate.
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
    std::uint64_t duplicate_ids = std::uint64_t{1} << 20;  // remembered, the newest; 0 = none
    std::vector<std::uint32_t> schema_versions = {};       // taken; empty = any
    std::uint64_t secret = 0;                              // random: see duplicate_window
  };
  event_gate(settings how, event_schema schema);

  /// Where it throws (memory), nothing was judged.
  gate_verdict judge(const schemas::event_batch& batch, std::uint64_t now_ms);
  void commit();
  void roll_back();
  /// After a restart, before anything is judged (CHECKed): what the log holds. It is read from its
  /// end back in pieces; `remember` is called for the batches of a piece, in the log's order, then
  /// `end_piece`, which says whether ids of older pieces are to be known too.
  void remember(const schemas::event_batch& batch, const frame& left_out);
  bool end_piece();

  /// Of batches that are committed: accepted + duplicates + all of `refused` is their events.
  struct counters {
    std::uint64_t accepted = 0;
    std::uint64_t duplicates = 0;
    std::array<std::uint64_t, 16> refused{};  // by schemas::event_fault
    counters& operator+=(const counters& other);
    friend bool operator==(const counters&, const counters&) = default;
  };
  const counters& count() const { return count_; }
  const event_schema& schema() const { return schema_; }

 private:
  struct judged_batch {
    counters count;
    std::uint64_t added = 0;  // to the window
  };
  using problem = event_schema::problem;
  gate_verdict judge(const schemas::event_batch& batch, std::uint64_t now_ms, judged_batch& judged);
  std::optional<problem> check(const schemas::event_batch& batch,
                               const event_schema::names& known,
                               std::size_t i,
                               std::uint64_t now_ms) const;
  std::optional<problem> check_names(const schemas::event_head& event) const;
  std::optional<problem> check_time(std::uint64_t time_ms, std::uint64_t now_ms) const;
  std::optional<problem> check_version(std::uint32_t version) const;

  settings how_;
  event_schema schema_;
  std::optional<duplicate_window> ids_;
  std::vector<duplicate_window::hash> piece_;  // ids, oldest first
  std::deque<judged_batch> judged_;            // not yet committed, oldest first
  counters count_;
};

/// Whether the log's decisions leave event i out.
bool is_left_out(const frame& left_out, std::size_t event);

}  // namespace headrace::worker
