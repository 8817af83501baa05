#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "schemas/push.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

namespace headrace::worker {

/// One push section to send to one shard. Sections of one shard leave in the order they are given.
struct outgoing {
  shard_id shard;
  frame bytes;
};

/// What a push window is told once.
struct window_spec {
  schemas::source_id source;
  schemas::lane lane = schemas::lane::rows;
  std::uint32_t in_flight_max = 1;             // batches started and not complete, at least 1
  std::uint64_t staleness_bound = UINT64_MAX;  // s of design §4: 0 = BSP, unbounded = ASP
  std::uint64_t timeout_ms = 500;              // a section unanswered for so long is sent again
  std::uint32_t advance_after = 64;  // batches without keys that one advance covers at most
  headrace::epoch epoch{1};          // of the advances that the window makes itself
  std::uint32_t schema_version = 1;
};

/// The protocol half of a worker, for one source and lane: which batches may start, what every
/// shard was told, what it acknowledged, and what has to be said again.
///
/// Every shard gets exactly one chain of sections that covers every batch (design §4). A run of
/// batches without keys for a shard is merged into one *advance*, sent before the shard's next push
/// with keys, after `advance_after` batches, or by `finish`; so a restarted worker goes back by no
/// more than that. A section is kept until the shard acknowledged it and is sent again with the
/// same bytes. Only an advance is made anew, when another worker of the same source moved the
/// shard's watermark into the middle of it: its beginning is then that watermark.
///
/// Answers may be lost, late, repeated or out of order. One that is ok, or names a permanent
/// refusal, means that everything through its `watermark` is committed on that shard.
///
/// Plain state, single-threaded: the worker actor owns it. Time comes as `now_ns` of one steady
/// clock.
class push_window {
 public:
  /// `watermarks[s]` is what shard s committed of the source before this worker started; batches
  /// through the smallest of them are complete, and a shard that is ahead is sent nothing it has.
  push_window(window_spec spec, std::vector<batch_number> watermarks);

  /// True when the next batch may start: fewer than `in_flight_max` are under way, and the source
  /// is at most `staleness_bound` ahead of the slowest present source, as the shards' answers tell.
  bool may_start() const;
  /// A batch is under way. Batches start in log order.
  void start(batch_number batch);
  /// The last batch that was submitted, or that every shard had before.
  batch_number submitted() const { return submitted_; }

  /// Takes the sections of a batch, `sections[s]` for shard s, empty where the shard has no keys;
  /// returns what is to be sent now. Batches are submitted in the order they started; `prev` is the
  /// previous sealed batch.
  std::vector<outgoing> submit(batch_number batch,
                               batch_number prev,
                               std::span<const frame> sections,
                               std::uint64_t now_ns);
  /// Takes a shard's answer; returns what it makes necessary to send (after a gap). Answers that
  /// are neither ok nor a refusal the push rule knows (malformed, retired source) change nothing:
  /// the caller ends.
  std::vector<outgoing> on_ack(const schemas::push_ack& ack, std::uint64_t now_ns);
  /// What has waited too long, in order, each time after twice the wait (at most 32 × timeout).
  std::vector<outgoing> on_timeout(std::uint64_t now_ns);

  /// Tells shards that had no keys lately how far the source is. Requires `idle`. Empty when said
  /// already.
  std::vector<outgoing> finish(std::uint64_t now_ns);

  /// No batch is under way: every started one is complete.
  bool idle() const { return started_.empty(); }
  /// Idle, and every shard acknowledged everything through the last batch.
  bool drained() const;
  /// Every batch through this one was acknowledged by every shard it touched.
  batch_number completed_through() const { return completed_; }
  /// Smallest watermark over the shards: a restarted worker needs the batches behind it, so the
  /// sample log must keep them.
  batch_number safe_through() const;
  /// Versions between pull and push of the push acknowledged last.
  std::uint64_t staleness() const { return staleness_; }
  /// Sections sent more than once.
  std::uint64_t resent() const { return resent_; }
  /// Sections that a shard refused for good and wrote as void.
  std::uint64_t voided() const { return voided_; }
  /// A shard that keeps answering with less than it had acknowledged: it lost its log (a power cut
  /// in log mode `none` or `os`). The worker must start again from the watermarks.
  std::optional<shard_id> went_back() const;

 private:
  /// One link of a shard's chain: covers (lo, batch].
  struct kept_section {
    batch_number lo;
    batch_number batch;
    batch_number prev;  // as encoded in `bytes`; differs from lo in an advance made anew
    frame bytes;
    std::uint64_t pulled_version = 0;
    bool has_keys = false;
    bool sent = false;
  };
  struct chain {
    batch_number acked;             // committed on the shard
    batch_number end;               // last batch that `kept` or `acked` covers
    std::deque<kept_section> kept;  // contiguous; kept.front().lo ≤ acked
    std::uint64_t deadline_ns = 0;
    std::uint64_t hold_until_ns = 0;  // not 0: the shard asked for patience, nothing is sent
    std::uint32_t attempts = 0;
    std::optional<batch_number> gap_answered;  // resent from here already, in this attempt
    std::uint32_t behind_strikes = 0;          // attempts answered with less than `acked`
    bool struck = false;                       // in this attempt
  };

  frame encode_advance(std::size_t shard, batch_number prev, batch_number batch) const;
  void close_run(std::size_t shard, batch_number through);
  void keep_push(std::size_t shard, batch_number batch, batch_number prev, const frame& bytes);
  void send_new(std::size_t shard, std::uint64_t now_ns, std::vector<outgoing>& out);
  void resend(std::size_t shard,
              batch_number from,
              std::uint64_t now_ns,
              std::vector<outgoing>& out);
  void acknowledge(chain& link, const schemas::push_ack& ack, std::uint64_t now_ns);
  void answer_gap(chain& link,
                  const schemas::push_ack& ack,
                  std::uint64_t now_ns,
                  std::vector<outgoing>& out);
  void complete_batches();
  void probe(std::uint64_t now_ns, std::vector<outgoing>& out);
  bool too_far_ahead() const;
  std::uint64_t wait_ns(const chain& link) const;

  window_spec spec_;
  std::vector<chain> chains_;
  std::deque<batch_number> started_;
  batch_number submitted_;
  batch_number completed_;
  std::uint64_t own_clock_ = 0;      // newest batch of ours that a shard wrote
  std::uint64_t slowest_clock_ = 0;  // highest G any shard told
  std::uint64_t probe_ns_ = 0;
  std::uint64_t staleness_ = 0;
  std::uint64_t resent_ = 0;
  std::uint64_t voided_ = 0;
};

}  // namespace headrace::worker
