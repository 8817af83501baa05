#pragma once

#include "actors/contracts.hpp"
#include "actors/shard_actor.hpp"

#include <caf/fwd.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <atomic>
#include <functional>
#include <memory>
#include <vector>

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

/// Starts one shard actor for each shard and starts it again when it ends with an error: at most
/// `restarts_max` times for each shard, then the whole node fails with the last error.
struct supervisor_options {
  std::uint32_t shards = 4;
  std::uint32_t restarts_max = 5;
  std::uint64_t flush_interval_ms = 60'000;
  std::function<open_shard(shard_id)> opener;
  std::function<void(const error&)> on_failure;  // restarts used up; any thread
};

caf::actor spawn_supervisor(caf::actor_system& system,
                            supervisor_options options,
                            routing_table routes);

}  // namespace headrace::actors
