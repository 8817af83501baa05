#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace headrace::worker {
class score_book;
}

namespace headrace::actors {

/// The figures of one predicted label.
struct head_figures {
  std::string name;
  double positive_share = 0;  // of the samples
  double auc = 0.5;
  double logloss = 0;
  double calibration = 0;  // predicted positives for each real one
  // Since the twin was frozen.
  double auc_tail = 0.5;
  double logloss_tail = 0;
  double auc_frozen = 0.5;
  double logloss_frozen = 0;
};

/// What a run looks like right now; every rate and ratio is made from these by whoever shows them.
struct progress {
  std::uint64_t samples = 0;  // scored, over all runs of this state folder
  std::uint64_t batches = 0;
  std::uint64_t batches_missed = 0;  // learned, but killed before their scores were kept
  double auc = 0.5;
  double auc_recent = 0.5;  // last 10,000 samples
  double logloss = 0;
  double calibration = 0;  // predicted positives for each real one
  std::uint64_t second_half_samples = 0;
  double auc_second_half = 0.5;
  std::uint64_t frozen_second_half_samples = 0;
  double auc_frozen_second_half = 0.5;
  // Since the twin was frozen; meaningless while `tail_samples` is 0.
  std::uint64_t tail_samples = 0;
  double auc_tail = 0.5;
  double logloss_tail = 0;
  double auc_frozen = 0.5;
  double logloss_frozen = 0;
  std::vector<head_figures> heads;  // where there are several; the figures above are the first's
  std::uint64_t staleness = 0;   // versions between pull and push, last batch, largest over shards
  std::uint64_t push_bytes = 0;  // sections as sent, first sending only
  std::uint64_t resent = 0;
  std::uint64_t refused = 0;  // permanent refusals: batches voided
  std::uint64_t rows_not_finite = 0;
  std::string precision = "f32";       // of the model's products; of this run, as the next four are
  std::uint64_t steps_not_finite = 0;  // batches skipped: their loss or a gradient wasn't finite
  std::uint64_t precision_checks = 0;  // slices of layers that were computed again in f32
  std::uint64_t precision_promotions = 0;  // of which were off: f32 for 1,000 steps
  double loss_scale = 1;                   // other than 1 in fp16
  // Of layers that route vectors to experts, in this run; 0 where the model has none.
  std::uint64_t routed = 0;          // assignments: k for each vector
  std::uint64_t routed_dropped = 0;  // of which found no room
  std::uint64_t routed_room = 0;     // of all experts
  std::uint64_t history = 0;         // samples of older batches that were mixed in, in this run
  std::uint64_t passes = 0;  // over the source, complete: the ingest waits to go on with the next
  // Of live events, in this run: from when the oldest event of a batch was accepted until training
  // had the batch.
  std::uint64_t available_ms_p50 = 0;
  std::uint64_t available_ms_p99 = 0;
  std::uint64_t bad_rows = 0;
  std::string first_bad_row;
  std::string bad_row_reasons;  // such as "3 not_a_number, 1 too_long"
};

/// Copies what the book knows; costs a few passes over its histograms, so once a tick.
void copy_figures(const worker::score_book& book, progress& into);

/// Where the worker and ingest actors write and the command line reads. The mutex guards every
/// field; it is held for one copy.
class progress_board {
 public:
  void update(const std::function<void(progress&)>& change) {
    const std::lock_guard lock(mutex_);
    change(progress_);
  }
  progress read() const {
    const std::lock_guard lock(mutex_);
    return progress_;
  }
  /// The run ended: nothing, or why it failed. The first call counts.
  void end(std::optional<error> failure = std::nullopt) {
    const std::lock_guard lock(mutex_);
    if (ended_) return;
    ended_ = true;
    failure_ = std::move(failure);
  }
  bool ended() const {
    const std::lock_guard lock(mutex_);
    return ended_;
  }
  std::optional<error> failure() const {
    const std::lock_guard lock(mutex_);
    return failure_;
  }

 private:
  mutable std::mutex mutex_;
  progress progress_;
  bool ended_ = false;
  std::optional<error> failure_;
};

}  // namespace headrace::actors
