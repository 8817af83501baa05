#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/sample.hpp"
#include "worker/metrics/progressive_metrics.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::worker {

/// Every figure of a run's predictions: overall, over the second half of the stream, and since the
/// twin was frozen, online and frozen beside it.
///
/// Each batch is scored once in the life of a run, whatever is killed: the book knows the last
/// batch it has, skips one that comes again, and counts batches that were learned but never scored
/// here (`batches_missed`). Single-threaded: the worker actor owns it.
class score_book {
 public:
  /// The second half begins at record `half_row` of the source.
  explicit score_book(std::uint64_t half_row) : half_row_(half_row) {}

  /// Scores one batch in log order: predictions [samples], `frozen` empty before the freeze. False
  /// when the batch was scored before.
  bool add(const schemas::sample_batch& batch,
           std::span<const float> online,
           std::span<const float> frozen);

  const progressive_metrics& all() const { return all_; }
  const progressive_metrics& second_half() const { return second_half_; }
  const progressive_metrics& frozen_second_half() const { return frozen_second_half_; }
  const progressive_metrics& since_freeze() const { return since_freeze_; }
  const progressive_metrics& frozen() const { return frozen_; }
  batch_number through() const { return through_; }
  std::uint64_t batches() const { return batches_; }
  std::uint64_t batches_missed() const { return missed_; }

  /// Everything as bytes, little-endian, versioned; and back, changing nothing on failure. Fails:
  /// corrupt.
  std::vector<std::byte> save() const;
  result<void> load(std::span<const std::byte> bytes);

 private:
  std::uint64_t half_row_;
  batch_number through_;
  std::uint64_t batches_ = 0;
  std::uint64_t missed_ = 0;
  progressive_metrics all_;
  progressive_metrics second_half_;
  progressive_metrics frozen_second_half_;
  progressive_metrics since_freeze_;
  progressive_metrics frozen_;
};

}  // namespace headrace::worker
