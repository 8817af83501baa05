#pragma once

#include "worker/step/push_window.hpp"

#include <cstdint>
#include <deque>
#include <optional>
#include <span>
#include <vector>

namespace headrace::worker {

/// Both lanes of a worker (design §4): `rows`, in whose chain every batch has its place, and
/// `dense`, where one push holds what the dense parameters learned since the last one, at batches
/// whose number is a multiple of the cadence and at the source's last.
///
/// A worker goes on behind the smallest watermark of both, so a lane that is ahead has seen the
/// first batches already: it is sent nothing of them. Where a shard is ahead of others in lane
/// dense, one push ends at its watermark, whatever the cadence: none covers what it has and more.
/// Plain state, single-threaded, time handed in, as push_window.hpp says.
class push_lanes {
 public:
  /// `dense_watermarks`: as those of `rows`, of lane dense; empty for a model without dense
  /// parameters. cadence at least 1, in batches.
  push_lanes(window_spec spec,
             std::vector<batch_number> rows_watermarks,
             std::vector<batch_number> dense_watermarks,
             std::uint64_t cadence);

  /// As push_window's.
  bool may_start() const;
  void start(batch_number batch, bool last);
  std::vector<outgoing> submit(batch_number batch,
                               batch_number prev,
                               std::span<const frame> sections,
                               std::uint64_t now_ns);

  /// Every shard has what the dense parameters learned of this batch: nothing of it is summed.
  bool dense_has(batch_number batch) const;
  /// The dense gradients are to be pushed with this batch. Requires that it was started.
  bool dense_is_due(batch_number batch) const;
  /// The batch of the dense push before.
  batch_number dense_prev() const { return dense_->submitted(); }
  std::vector<outgoing> submit_dense(batch_number batch,
                                     std::span<const frame> sections,
                                     std::uint64_t now_ns);

  std::vector<outgoing> on_ack(const schemas::push_ack& ack, std::uint64_t now_ns);
  std::vector<outgoing> on_timeout(std::uint64_t now_ns);
  std::vector<outgoing> finish(std::uint64_t now_ns);

  bool idle() const;
  bool drained() const;
  /// Every batch through this one was learned, and acknowledged by every shard that it has rows on.
  batch_number completed_through() const;
  /// A restarted worker needs the batches behind this one.
  batch_number safe_through() const;
  std::uint64_t staleness() const { return rows_.staleness(); }
  std::uint64_t resent() const;
  std::uint64_t voided() const;
  std::optional<shard_id> went_back() const;

 private:
  push_window rows_;
  std::optional<push_window> dense_;
  std::uint64_t cadence_;
  batch_number rows_had_;  // by every shard, before this worker started
  batch_number submitted_;
  std::vector<batch_number> dense_had_;  // by the shards, before this worker started
  std::deque<batch_number> dense_due_;   // started and not submitted
};

}  // namespace headrace::worker
