#pragma once

#include "base/ids.hpp"

#include <algorithm>
#include <mutex>
#include <vector>

namespace headrace::cli {

/// From where on each shard must keep its log, whatever its rows hold: for the checkpoint that is
/// being taken, and for those that were. Outlives restarts of shards. Thread-safe.
class log_holds {
 public:
  explicit log_holds(std::uint32_t shards) : holds_(shards) {}

  /// Nothing at or above this may be truncated.
  lsn keep_from(shard_id shard) const {
    const std::lock_guard lock(mutex_);
    const hold& of = holds_[shard.value];
    return std::min(of.taken, of.taking);
  }
  /// For the checkpoint under way.
  void take(shard_id shard, lsn from) { set(shard, &hold::taking, from); }
  /// It is there, or failed.
  void taken(shard_id shard) { set(shard, &hold::taking, lsn{UINT64_MAX}); }
  /// For checkpoints in the archive.
  void keep(shard_id shard, lsn from) { set(shard, &hold::taken, from); }

 private:
  struct hold {
    lsn taken{UINT64_MAX};
    lsn taking{UINT64_MAX};
  };
  void set(shard_id shard, lsn hold::*which, lsn from) {
    const std::lock_guard lock(mutex_);
    holds_[shard.value].*which = from;
  }
  mutable std::mutex mutex_;
  std::vector<hold> holds_;
};

}  // namespace headrace::cli
