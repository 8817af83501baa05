#pragma once

#include "actors/restart_policy.hpp"
#include "actors/routing_table.hpp"
#include "actors/shard_actor.hpp"

#include <caf/fwd.hpp>

#include <cstdint>
#include <functional>

namespace headrace::actors {

/// Starts one shard actor for each shard and starts it again when it ends with an error, later and
/// later and so often as `restarts` allows; then the whole node fails with the last error. Damage
/// (`corrupt`) is never tried again.
struct supervisor_options {
  std::uint32_t shards = 4;
  restart_limits restarts;
  std::uint64_t flush_interval_ms = 60'000;
  std::function<open_shard(shard_id)> opener;
  storage::io_pool* pool = nullptr;              // where shards wait for disks; outlives the node
  std::function<void(const error&)> on_failure;  // given up; any thread
  std::function<void(shard_id)> on_restart;      // one will be started again; any thread
};

caf::actor spawn_supervisor(caf::actor_system& system,
                            supervisor_options options,
                            routing_table routes);

}  // namespace headrace::actors
