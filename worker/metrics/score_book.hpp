#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/sample.hpp"
#include "worker/metrics/progressive_metrics.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace headrace::worker {

/// What is scored: the predictions of one label.
struct scored_head {
  std::string name;
  std::size_t label = 0;  // of a sample's labels
};

/// The figures of one head; 5.5 MB.
struct head_scores {
  progressive_metrics all;
  progressive_metrics second_half;
  progressive_metrics frozen_second_half;
  progressive_metrics since_freeze;
  progressive_metrics frozen;
};

/// Every figure of a run's predictions: overall, over the second half of the stream, and since the
/// twin was frozen, online and frozen beside it; for each head, the first being the main one.
///
/// Each batch is scored once in the life of a run, whatever is killed: the book knows the last
/// batch it has, skips one that comes again, and counts batches that were learned but never scored
/// here (`batches_missed`). Single-threaded: the worker actor owns it.
class score_book {
 public:
  /// The second half begins at record `half_row` of the source. Of samples without any label
  /// `negative_share`, (0, 1], are there: each counts 1 / negative_share times.
  explicit score_book(std::uint64_t half_row,
                      std::vector<scored_head> heads = {{"label", 0}},
                      float negative_share = 1.0F);

  /// Scores the fresh samples of one batch, in log order: predictions [samples, heads], `frozen`
  /// empty before the freeze. Those of history were scored when they were fresh.
  /// False when the batch was scored before.
  bool add(const schemas::sample_batch& batch,
           std::span<const float> online,
           std::span<const float> frozen);

  // Of the first head.
  const progressive_metrics& all() const { return scores_[0].all; }
  const progressive_metrics& second_half() const { return scores_[0].second_half; }
  const progressive_metrics& frozen_second_half() const { return scores_[0].frozen_second_half; }
  const progressive_metrics& since_freeze() const { return scores_[0].since_freeze; }
  const progressive_metrics& frozen() const { return scores_[0].frozen; }

  std::span<const scored_head> heads() const { return heads_; }
  const head_scores& of(std::size_t head) const { return scores_[head]; }
  batch_number through() const { return through_; }
  std::uint64_t batches() const { return batches_; }
  std::uint64_t batches_missed() const { return missed_; }

  /// Everything as bytes, little-endian, versioned; and back, changing nothing on failure. Fails:
  /// corrupt, which figures of another number of heads are too.
  std::vector<std::byte> save() const;
  result<void> load(std::span<const std::byte> bytes);

 private:
  std::uint64_t half_row_;
  std::vector<scored_head> heads_;   // at least one
  std::vector<head_scores> scores_;  // of each
  batch_number through_;
  std::uint64_t batches_ = 0;
  std::uint64_t missed_ = 0;
  float negative_share_;
};

}  // namespace headrace::worker
