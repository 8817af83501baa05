#include "actors/supervisor.hpp"

#include "actors/errors.hpp"
#include "base/log.hpp"

#include <caf/actor_clock.hpp>
#include <caf/actor_system.hpp>
#include <caf/event_based_actor.hpp>
#include <caf/exit_reason.hpp>
#include <caf/send.hpp>

#include <chrono>
#include <optional>
#include <utility>
#include <vector>

namespace headrace::actors {

namespace {

class supervisor : public caf::event_based_actor {
 public:
  supervisor(caf::actor_config& config, supervisor_options options, routing_table routes)
      : caf::event_based_actor(config), options_(std::move(options)), routes_(std::move(routes)) {
    for (std::uint32_t i = 0; i < options_.shards; ++i) {
      policies_.emplace_back(options_.restarts, i);
    }
  }

  caf::behavior make_behavior() override {
    set_exception_handler([this](std::exception_ptr& thrown) {
      const error why = from_exception(thrown);
      if (options_.on_failure) options_.on_failure(why);
      return to_caf(why);
    });
    set_down_handler([this](caf::down_msg& down) { ended(down); });
    set_exit_handler([this](caf::exit_msg& message) { stop(std::move(message.reason)); });
    for (std::uint32_t i = 0; i < options_.shards; ++i) start(shard_id{i});
    return {[this](restart_atom, std::uint32_t shard) {
      if (!stopping_) start(shard_id{shard});
    }};
  }
  const char* name() const override { return "supervisor"; }

 private:
  void start(shard_id id) {
    auto owner = spawn<shard_actor, caf::monitored>(
        options_.opener(id), options_.flush_interval_ms, options_.pool, options_.on_failure);
    routes_.replace(id, owner);
  }

  void ended(const caf::down_msg& down) {
    for (std::uint32_t i = 0; i < options_.shards; ++i) {
      const shard_handle owner = routes_.find(shard_id{i});
      if (!owner || caf::actor_addr(owner.address()) != down.source) continue;
      routes_.replace(shard_id{i}, shard_handle{});
      const error why = from_caf(down.reason);
      if (!stopping_) return restart_later(i, why);
      const bool orderly = down.reason == caf::exit_reason::user_shutdown;
      if (!orderly && options_.on_failure) options_.on_failure(why);
      if (--alive_ == 0) quit(reason_);
      return;
    }
  }

  void restart_later(std::uint32_t shard, const error& why) {
    const auto wait = why.code == errc::corrupt ? std::nullopt : policies_[shard].failed(now_ms());
    if (!wait) {
      log_error("shard.given_up", {{"shard", shard}, {"error", describe(why)}});
      if (options_.on_failure) options_.on_failure(why);
      return;
    }
    if (options_.on_restart) options_.on_restart(shard_id{shard});
    log_error("shard.restart",
              {{"shard", shard},
               {"attempt", policies_[shard].failures()},
               {"wait_ms", *wait},
               {"error", describe(why)}});
    delayed_send(this, std::chrono::milliseconds(*wait), restart_atom_v, shard);
  }

  /// Of the scheduler's clock, which tests move.
  std::uint64_t now_ms() {
    return static_cast<std::uint64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(clock().now().time_since_epoch())
            .count());
  }

  void stop(caf::error reason) {
    stopping_ = true;
    reason_ = std::move(reason);
    for (std::uint32_t i = 0; i < options_.shards; ++i) {
      if (const shard_handle owner = routes_.find(shard_id{i})) {
        ++alive_;
        send_exit(owner, caf::exit_reason::user_shutdown);
      }
    }
    if (alive_ == 0) quit(reason_);
  }

  supervisor_options options_;
  routing_table routes_;
  std::vector<restart_policy> policies_;  // of each shard
  bool stopping_ = false;
  std::uint32_t alive_ = 0;
  caf::error reason_;
};

}  // namespace

caf::actor spawn_supervisor(caf::actor_system& system,
                            supervisor_options options,
                            routing_table routes) {
  return system.spawn<supervisor>(std::move(options), std::move(routes));
}

}  // namespace headrace::actors
