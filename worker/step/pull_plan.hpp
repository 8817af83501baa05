#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/pull.hpp"
#include "worker/step/row_set.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::worker {

/// Which of a batch's rows live on which shard: for each (shard, table) the indices into the row
/// set, ascending, so that the keys sent are ascending too. Used for the pull and again for the
/// push of the same batch.
class pull_plan {
 public:
  struct part {
    std::vector<std::uint32_t> rows;  // indices into sets[table].keys
    std::vector<std::uint64_t> keys;  // the same rows' keys
  };

  void build(std::span<const row_set> sets, std::uint32_t shards);

  bool touches(shard_id shard) const;
  /// The same for the sets of one lane.
  bool touches(shard_id shard, std::span<const row_set> sets, schemas::lane lane) const;
  /// Shards that own at least one row.
  std::uint32_t shards_touched() const;
  const part& at(shard_id shard, std::size_t set) const {
    return parts_[shard.value * sets_ + set];
  }

  /// Encoded pull section of one shard; empty frame when it is not touched.
  frame section(shard_id shard, std::span<const row_set> sets, std::uint32_t schema_version) const;
  /// Copies the rows of a reply to their places. Fails: malformed (tables, dims or counts differ).
  result<void> scatter(const schemas::pull_reply& reply, std::span<row_set> sets);

  /// Version of each shard when its rows were pulled, for the staleness of the push.
  std::uint64_t pulled_version(shard_id shard) const { return versions_[shard.value]; }
  headrace::epoch pulled_epoch(shard_id shard) const { return epochs_[shard.value]; }
  /// True when every touched shard has answered.
  bool complete() const { return missing_ == 0; }

 private:
  std::size_t sets_ = 0;
  std::uint32_t shards_ = 0;
  std::vector<part> parts_;  // [shards * sets]
  std::vector<std::uint64_t> versions_;
  std::vector<headrace::epoch> epochs_;
  std::vector<bool> answered_;
  std::uint32_t missing_ = 0;
};

}  // namespace headrace::worker
