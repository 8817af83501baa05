#pragma once

#include "base/ids.hpp"

#include <cstddef>
#include <optional>
#include <span>
#include <utility>
#include <vector>

namespace headrace::worker {

/// Through which batch rows on the servers' disks hold what was learned, from looks at the shards:
/// what was acknowledged before a shard had applied record L is in its rows once those hold L. No
/// restart of a server asks for such a batch again, whatever its logs lose.
class durable_mark {
 public:
  struct position {
    lsn applied;  // last record applied
    lsn flushed;  // rows in the store hold every record through this
  };
  /// `acknowledged`: through which batch every shard had everything, asked for before `shards`.
  void look(batch_number acknowledged, std::span<const position> shards) {
    if (waiting_ && waiting_->applied.size() == shards.size() && holds(shards)) {
      covered_ = waiting_->acknowledged;
      waiting_.reset();
    }
    if (waiting_ && waiting_->applied.size() == shards.size()) return;
    waiting_.emplace();
    waiting_->acknowledged = acknowledged;
    for (const position& at : shards) waiting_->applied.push_back(at.applied);
  }
  batch_number covered() const { return covered_; }

 private:
  bool holds(std::span<const position> shards) const {
    for (std::size_t i = 0; i < shards.size(); ++i) {
      if (shards[i].flushed < waiting_->applied[i]) return false;
    }
    return true;
  }
  struct look_back {
    batch_number acknowledged;
    std::vector<lsn> applied;
  };
  std::optional<look_back> waiting_;
  batch_number covered_;
};

}  // namespace headrace::worker
