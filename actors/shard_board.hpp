#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/control.hpp"

#include <cstddef>
#include <cstdint>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace headrace::actors {

/// One shard, as it said last.
struct shard_figures {
  schemas::status_reply status;
  std::map<errc, std::uint64_t> refused = {};  // pushes, by this incarnation
  std::uint64_t quarantined = 0;               // sources
  std::uint64_t heard_ns = 0;                  // steady clock: when it said so; 0: not yet
  std::uint64_t restarts = 0;
  bool is_up = true;  // else it is being started again
  bool log_refuses = false;
  bool rows_not_written = false;
  bool log_not_cut = false;
};

/// Where shards say how they are, and others read it. The mutex guards every field; it is held for
/// one copy.
class shard_board {
 public:
  explicit shard_board(std::size_t shards) : shards_(shards) {
    for (std::size_t i = 0; i < shards; ++i)
      shards_[i].status.shard = shard_id{static_cast<std::uint32_t>(i)};
  }
  /// What the board itself knows of the shard stays.
  void tell(shard_figures now) {
    const std::lock_guard lock(mutex_);
    shard_figures& kept = shards_[now.status.shard.value];
    now.restarts = kept.restarts;
    kept = std::move(now);
  }
  void away(shard_id shard) {
    const std::lock_guard lock(mutex_);
    shards_[shard.value].is_up = false;
  }
  void restarted(shard_id shard) {
    const std::lock_guard lock(mutex_);
    ++shards_[shard.value].restarts;
  }
  std::vector<shard_figures> read() const {
    const std::lock_guard lock(mutex_);
    return shards_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<shard_figures> shards_;
};

}  // namespace headrace::actors
