#pragma once

#include "actors/contracts.hpp"
#include "base/ids.hpp"

#include <cstddef>
#include <memory>

namespace headrace::actors {

/// Which actor owns which shard right now. The router's thread reads it for every section, the
/// supervisor replaces an entry at a restart.
class routing_table {
 public:
  explicit routing_table(std::size_t shards);
  /// Null while the shard is being restarted: the section is dropped and its worker asks again.
  shard_handle find(shard_id id) const;
  void replace(shard_id id, shard_handle owner);
  void clear();
  std::size_t size() const;

 private:
  struct state;
  std::shared_ptr<state> state_;
};

}  // namespace headrace::actors
