#pragma once

#include "base/byte_io.hpp"
#include "base/process_secret.hpp"
#include "base/result.hpp"
#include "schemas/hash.hpp"
#include "storage/spill_store.hpp"
#include "worker/join/expiry_queue.hpp"
#include "worker/join/join_table.hpp"
#include "worker/join/payload_pool.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace headrace::worker {

/// How impressions meet what came of them. Times are milliseconds.
struct join_spec {
  std::uint64_t window_ms = 0;        // an impression waits so long for its actions, in event time
  std::uint64_t out_of_order_ms = 0;  // events may come so much later than one that happened after
  std::uint64_t correct_ms = 0;  // behind the window an action still makes a correction; 0: none
  std::uint32_t actions = 1;     // kinds of action, 1 … 64: each a label
  float negative_share = 1.0F;   // of samples without any action, (0, 1], by a hash of their key
  std::uint64_t seed = 1;        // of that
  std::uint64_t pending_max = 1'000'000;  // entries: impressions, lone actions, keys remembered
  std::uint64_t early_ms = 0;             // an action may claim to be so much before its impression
  std::uint64_t memory_bytes_max = 0;     // of payloads; 0: any. Beyond: spilled, or closed early
};

/// Names the field and what is accepted. Fails: bad_config.
result<void> check_join(const join_spec& how);

enum class join_outcome : std::uint8_t {
  complete,    // every kind of action came; sent at once
  closed,      // the window ended
  correction,  // decided before with fewer actions: this one counts now
};

/// One labelled impression. `payload` is what `impression` was given; valid until the next call.
struct joined_sample {
  std::span<const std::byte> payload;
  std::uint64_t time_ms = 0;     // the impression's
  std::uint64_t actions = 0;     // bit a: an action of kind a came
  std::uint64_t arrived_ms = 0;  // of the event that decided it: what freshness counts from
  join_outcome outcome = join_outcome::closed;
};

/// Joins impressions with actions by key, in event time: a pure function of the calls, so the same
/// log gives the same samples in the same order on every run. One thread.
///
/// The watermark W is the newest event time less `out_of_order_ms`, never decreasing. Each event
/// first moves W, which ends what it passed, and is then taken in. An event is in bounds when its
/// time is W or newer. For an impression at time t, with t + window_ms = end:
///
/// - An action of its key belongs to its window from t − early_ms to end, both included; from there
///   to end + correct_ms, included, it makes a correction. Any other finds no impression.
/// - An action that comes first waits until W passes its time plus early_ms. So for events in
/// bounds
///   order does not matter.
/// - The sample is `complete` when every kind came in its window, at once; else `closed` when W
///   passes end. What belongs to the window but comes behind that is a correction too.
/// - A key is remembered until W passes end + correct_ms, whatever came of it. Until then the same
///   key again is `repeated` and changes nothing: the first in log order is the impression. Behind
///   that it is a new one.
/// - A correction has every action so far. A sample is complete or closed once, and corrected as
///   often as another kind comes; one that negative_share left out may be corrected too.
/// - An impression that is not in bounds is taken like any other; when its window is over it is
///   closed at once.
///
/// Samples come in the order they were decided: by the call that decided them, within it by the end
/// of their window, then by the order of their impressions in the log. An action of (window, end +
/// correct_ms] that came before its window ended makes its correction right behind the closed one.
///
/// Bounds: at `pending_max` entries the one that would end first ends early: an impression is
/// closed with what it has and forgotten: corrections can't follow. Payloads beyond
/// `memory_bytes_max` go to the spill store, and come back as if they had never left; without one
/// the oldest end early. Beside payloads an entry takes about 150 bytes. Nothing is dropped in
/// silence; see `counters`.
class joiner {
 public:
  /// `how` as `check_join` accepts it. `spill` must outlive the joiner and be empty.
  /// `secret` changes nothing that can be seen but how keys meet in memory.
  explicit joiner(join_spec how,
                  storage::spill_store* spill = nullptr,
                  std::uint64_t secret = process_secret());

  void impression(std::string_view key,
                  std::uint64_t time_ms,
                  std::uint64_t arrived_ms,
                  std::span<const std::byte> payload);
  /// kind < how.actions.
  void action(std::string_view key,
              std::uint64_t time_ms,
              std::uint64_t arrived_ms,
              std::uint32_t kind);
  /// Nothing came until `stamp_ms` of the log (its clock, as arrived_ms): the newest event time
  /// goes on by as much as that clock did since the last event. Before the first event it does
  /// nothing.
  void idle(std::uint64_t stamp_ms);
  /// No event comes behind these: every window ends.
  void finish();

  /// The oldest sample that is ready; false when there is none, or when `failure` says why not.
  bool take(joined_sample& into);
  /// What the spill store refused, for good: the state is lost, start again from a saved one.
  const std::optional<error>& failure() const { return pool_.failure(); }

  /// Every action is one of matched, correcting, repeated_actions, expired_actions or waiting;
  /// every impression one of positives, negatives, left_out, repeated or waiting.
  struct counters {
    std::uint64_t impressions = 0;
    std::uint64_t actions = 0;
    std::uint64_t matched = 0;          // actions that found their impression before it was decided
    std::uint64_t correcting = 0;       // actions that make a correction
    std::uint64_t corrections = 0;      // samples sent again
    std::uint64_t positives = 0;        // samples with an action; the first time, not corrections
    std::uint64_t negatives = 0;        // without, sent
    std::uint64_t left_out = 0;         // without, by negative_share
    std::uint64_t expired_actions = 0;  // no impression came for them, or none they belong to
    std::uint64_t late_events = 0;      // behind the watermark; counted beside the others
    std::uint64_t repeated = 0;         // impressions of a key that is remembered
    std::uint64_t repeated_actions = 0;  // of a kind that the impression has
    std::uint64_t closed_early = 0;      // impressions closed for want of room
    std::uint64_t forgotten_early = 0;   // keys no longer remembered, for want of room
    friend bool operator==(const counters&, const counters&) = default;
  };
  const counters& count() const { return count_; }
  std::uint64_t watermark_ms() const { return watermark_; }
  /// Entries, of at most pending_max.
  std::uint64_t pending() const { return table_.size(); }
  std::uint64_t payload_bytes() const { return pool_.bytes_in_memory(); }
  std::uint64_t spilled() const { return pool_.spilled(); }

  /// Everything it knows, to go on from: what is spilled and what is ready but not taken are in it.
  /// Layout: docs/storage-format.md. Fails: corrupt, io_error, of the spill store.
  result<std::vector<std::byte>> save() const;
  /// Into a joiner that took nothing yet; it stays empty on failure. Bounds and the spill store may
  /// be others than they were. Fails: corrupt, which what a join of other settings saved is too.
  result<void> load(std::span<const std::byte> saved);

 private:
  struct ready_sample {
    std::uint32_t payload = payload_pool::none;
    bool sample = false;  // else: the payload may go
    join_outcome outcome = join_outcome::closed;
    std::uint64_t time_ms = 0;
    std::uint64_t actions = 0;
    std::uint64_t arrived_ms = 0;
  };
  void arrive(std::uint64_t time_ms, std::uint64_t arrived_ms);
  void expire();
  void end(const expiry_queue::item& at, bool early);
  void close(join_entry& one);
  void match(std::uint32_t entry, std::uint64_t time_ms, std::uint32_t kind);
  void take_waiting(std::uint32_t entry, std::uint32_t first);
  void send(const join_entry& of, join_outcome outcome);
  void release(join_entry& of);
  void make_room(std::size_t payload_bytes);
  bool fetch();
  bool keeps_negative(const schemas::hash128& key) const;
  std::uint64_t deadline(const join_entry& of) const;

  // joiner_state.cpp
  struct saved_payloads {  // in what was saved
    std::vector<std::pair<std::uint32_t, std::span<const std::byte>>> of_entries;
    std::vector<std::span<const std::byte>> of_ready;
  };
  result<saved_payloads> read_state(std::span<const std::byte> saved);
  result<void> read_settings(byte_reader& in) const;
  const char* fault_of(const join_entry& one, std::uint64_t deadline_ms, bool has_payload) const;

  join_spec how_;
  std::uint64_t all_actions_;
  join_table table_;
  expiry_queue queue_;
  payload_pool pool_;
  std::deque<ready_sample> ready_;
  std::uint64_t leaving_ = 0;  // bytes of payloads that go when `ready_` was taken
  std::uint64_t next_sequence_ = 0;
  std::uint64_t watermark_ = 0;
  std::uint64_t newest_ = 0;        // event time
  std::uint64_t last_arrived_ = 0;  // of an event
  std::uint64_t decided_at_ = 0;    // arrived_ms or stamp of the call at work
  bool begun_ = false;              // an event came
  counters count_;
};

}  // namespace headrace::worker
