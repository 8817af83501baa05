#pragma once

#include "actors/contracts.hpp"
#include "ps/delta/followers.hpp"
#include "ps/shard/durable_shard.hpp"
#include "storage/io_pool.hpp"

#include <caf/fwd.hpp>
#include <caf/typed_event_based_actor.hpp>

#include <functional>
#include <memory>
#include <string>

namespace headrace::actors {

/// Opens a shard from its log and row store; `deliver` brings outcomes of appends back to the
/// actor, `io` waits for disks. Called on the actor's thread, once for each incarnation.
using open_shard = std::function<result<std::unique_ptr<ps::durable_shard>>(
    ps::durable_shard::delivery deliver, std::unique_ptr<ps::background> io)>;

/// The thin shell around one durable_shard: each handler is one line into it. Ends with an error
/// when the shard can't be opened or the log's outcome is unknown; the supervisor then starts a new
/// one, which reads the log again. Flushes and closes on a normal stop.
class shard_actor : public shard_handle::base {
 public:
  /// Without a pool the actor waits for disks itself. `on_damage` is told when the row store cannot
  /// be trusted any more (a failed sync): a new shard over the same store would not heal it, so the
  /// process must end and start again.
  shard_actor(caf::actor_config& config,
              open_shard open,
              std::uint64_t flush_interval_ms,
              storage::io_pool* pool = nullptr,
              std::function<void(const error&)> on_damage = nullptr);

  behavior_type make_behavior() override;
  void on_exit() override;
  const char* name() const override { return "shard_actor"; }

 private:
  void serve(const section_job& job);
  void forget(const section_job& job);
  void release(const section_job& job);
  void follow(const section_job& job);
  void tell_followers();
  void settle(std::uint64_t at, const storage::append_outcome& outcome);
  void flush();
  void note_refusals();
  void flush_later();
  void check();
  void fail(const error& why);

  open_shard open_;
  std::uint64_t flush_interval_ms_;
  storage::io_pool* pool_;
  std::function<void(const error&)> on_damage_;
  std::unique_ptr<ps::durable_shard> shard_;
  std::unique_ptr<ps::followers> followers_;                // once somebody follows
  std::uint64_t followers_wake_ns_ = ps::followers::never;  // of the timer on its way
  std::string refusing_;                                    // as logged last
};

}  // namespace headrace::actors
