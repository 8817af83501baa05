#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/sample.hpp"
#include "storage/ordered_log.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <vector>

namespace headrace::worker {

/// Replay against forgetting: behind the fresh samples of a batch that is about to be sealed it
/// puts samples of older batches, so that what a worker learns lies in the sample log.
///
/// For each batch number one older batch is drawn, evenly from those the log holds (or the newest
/// `batches` of them), and read. Samples come evenly from the fresh ones of the batches that the
/// last `draws_max` numbers drew, or fewer where they take more than `cache_bytes`. Both draws are
/// hashes of `seed` and the numbers: equal logs make equal batches, whatever was killed in between.
/// A sample comes with the labels that it had. Batches whose samples have another form (labels,
/// features, lists) are passed over. Reads the log; one thread.
class history_mix {
 public:
  static constexpr std::size_t draws_max = 64;
  static constexpr double share_max = 0.9;

  struct settings {
    double share = 0.1;         // of a sealed batch's samples; above 0, at most share_max
    std::uint64_t batches = 0;  // drawn from so many, the newest; 0 = all that the log holds
    std::uint64_t seed = 1;
    std::size_t cache_bytes = std::size_t{64} << 20;  // of batches in memory; one always stays
  };
  explicit history_mix(settings how);

  /// Adds history to `into`, which has its number and fresh samples only; nothing where the log has
  /// none. Fails: corrupt, io_error.
  result<void> mix(storage::ordered_log& log, schemas::sample_batch& into);

  /// Samples of history for a batch of `fresh` ones: with them the batch has the share, over the
  /// batches of one size to within a few samples.
  std::uint32_t wanted(batch_number batch, std::uint32_t fresh) const;

 private:
  /// An older batch, and where the lists of each of its samples begin.
  struct older {
    schemas::sample_batch batch;
    std::vector<std::size_t> lists_begin;
    std::size_t bytes = 0;
  };
  using older_ptr = std::shared_ptr<const older>;
  struct draw {
    batch_number by;    // the batch that it was drawn for
    batch_number from;  // which was drawn
    older_ptr held;
  };

  batch_number drawn(batch_number by, batch_number oldest) const;
  result<void> fill(storage::ordered_log& log, batch_number through, batch_number oldest);
  static result<older_ptr> read(storage::ordered_log& log, batch_number from);

  settings how_;
  std::deque<draw> draws_;  // newest first, without gaps
};

}  // namespace headrace::worker
