#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// How impressions meet what came of them.
struct join_spec {
  std::uint64_t window_ms = 0;        // an impression waits so long for its actions, in event time
  std::uint64_t out_of_order_ms = 0;  // events may come so much later than one that happened after
  std::uint64_t correct_ms = 0;       // behind the window an action still makes a correction; 0: it is late
  std::uint32_t actions = 1;          // kinds of action, 1 … 64: each a label
  float negative_share = 1.0F;        // of samples without any action, (0, 1], by a hash of their key
  std::uint64_t seed = 1;             // of that
  std::uint64_t pending_max = 1'000'000;  // impressions and lone actions in memory
};

enum class join_outcome : std::uint8_t {
  complete,    // every kind of action came; sent at once
  closed,      // the window ended
  correction,  // sent before with fewer actions: this one counts now
};

/// One labelled impression. `payload` is what `impression` was given; valid until the next call.
struct joined_sample {
  std::span<const std::byte> payload;
  std::uint64_t time_ms = 0;    // the impression's
  std::uint64_t actions = 0;    // bit a: an action of kind a came
  std::uint64_t arrived_ms = 0; // of the event that decided it: what freshness counts from
  join_outcome outcome = join_outcome::closed;
};

/// Joins impressions with actions by key, in event time: a pure function of the events in log
/// order, so the same log gives the same samples in the same order on every run. One thread.
///
/// The watermark is the newest event time less `out_of_order_ms`, never decreasing; while nothing
/// comes, `idle` moves it with the log's clock. A sample goes out when every kind of action came, or
/// when the watermark passes its impression's time plus `window_ms`. An action whose impression
/// comes later waits for it. What finds no partner, comes too late, repeats, or finds no room is
/// counted by reason, never dropped in silence; where there is no room the oldest impression is
/// closed early.
class joiner {
 public:
  explicit joiner(join_spec how);

  using sink = std::vector<joined_sample>;  // appended to
  void impression(std::string_view key,
                  std::uint64_t time_ms,
                  std::uint64_t arrived_ms,
                  std::span<const std::byte> payload);
  void action(std::string_view key,
              std::uint64_t time_ms,
              std::uint64_t arrived_ms,
              std::uint32_t kind);
  /// Nothing came until `stamp_ms` of the log.
  void idle(std::uint64_t stamp_ms);
  /// No event comes behind these: every window ends.
  void finish();

  /// The oldest sample that is ready; false when there is none.
  bool take(joined_sample& into);

  struct counters {
    std::uint64_t impressions = 0;
    std::uint64_t actions = 0;
    std::uint64_t matched = 0;        // actions that found their impression in its window
    std::uint64_t corrections = 0;
    std::uint64_t positives = 0;      // samples with an action
    std::uint64_t negatives = 0;      // without, sent
    std::uint64_t left_out = 0;       // without, by negative_share
    std::uint64_t expired_actions = 0;  // no impression came for them
    std::uint64_t late_events = 0;    // behind the watermark
    std::uint64_t repeated = 0;       // a key, or an action of one kind, again
    std::uint64_t closed_early = 0;   // for want of room
  };
  const counters& count() const;
  std::uint64_t watermark_ms() const;
  std::uint64_t pending() const;

  /// Everything it knows, to go on from; its own checksum inside. Fails to load: corrupt.
  std::vector<std::byte> save() const;
  result<void> load(std::span<const std::byte> saved);
};

}  // namespace headrace::worker
