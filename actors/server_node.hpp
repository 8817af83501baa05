#pragma once

#include "actors/supervisor.hpp"
#include "actors/transport/router.hpp"
#include "base/result.hpp"
#include "schemas/control.hpp"
#include "schemas/schema.hpp"

#include <caf/actor.hpp>
#include <caf/fwd.hpp>

#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace headrace::actors {

/// All shards of a job in this process behind one router: what `headrace server` runs, and what
/// `run` and `demo` run beside their worker.
///
/// Starts the shards, then the router. Answers hello, status and checkpoint itself; everything else
/// goes to the shard it names.
class server_node {
 public:
  struct options {
    std::vector<std::string> endpoints;
    router_options transport;  // credit of peers
    std::uint64_t job_fingerprint = 0;
    schemas::job_schema schema;
    std::uint64_t flush_interval_ms = 60'000;
    std::function<open_shard(shard_id)> opener;
    storage::io_pool* pool = nullptr;  // supervisor_options::pool
    std::function<void(const error&)> on_failure;
    schemas::log_mode mode = schemas::log_mode::os;  // of the shards' logs, for `status`
    /// Takes a checkpoint, or says how far one is; any thread. Empty: this node takes none.
    std::function<schemas::checkpoint_reply(const schemas::checkpoint_request&)> checkpoint;
    /// When the newest checkpoint was taken, 0 = none; any thread.
    std::function<std::uint64_t()> checkpoint_ms;
  };
  /// Fails: bad_config, in_use.
  static result<std::unique_ptr<server_node>> start(caf::actor_system& system,
                                                    transport_context& context,
                                                    options how);
  ~server_node();

  const std::vector<std::string>& endpoints() const { return router_->endpoints(); }
  router::counters count() const { return router_->count(); }

  /// Runs `what` on the shard's own thread, between two messages. False: the shard is being started
  /// again or does not exist. `what` is dropped unrun where the shard ends first. Any thread.
  bool visit(shard_id shard, std::function<void(ps::durable_shard&)> what);

  /// Stops the shards, which write their rows and answer what they hold, then the router, which
  /// sends those answers; returns when all have ended. Idempotent.
  void stop();

 private:
  server_node(caf::actor_system& system, options how);
  void dispatch(section_job job);
  void greet(const section_job& job);
  bool refuse_stranger(const section_job& job) const;
  void tell_status(section_job job);
  void take_checkpoint(const section_job& job);

  caf::actor_system& system_;
  options options_;
  routing_table routes_;
  caf::actor supervisor_;
  std::shared_ptr<router> router_;
  bool stopped_ = false;
};

}  // namespace headrace::actors
