#pragma once

#include "tests/simulation/simulated_server.hpp"
#include "worker/step/push_window.hpp"

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

namespace headrace::simulation {

/// One worker process of one source, from asking for watermarks to the last advance. It may die, or
/// stand still and come back after its successor has begun. Owned by shared pointers: its events
/// keep it.
class simulated_worker : public std::enable_shared_from_this<simulated_worker> {
 public:
  simulated_worker(
      scene& stage, simulated_server& server, variant kind, std::uint32_t source, std::uint64_t id);

  void start();
  void kill() { alive_ = false; }
  /// Nothing reaches it and it does nothing for so long; then everything comes at once.
  void pause(std::uint64_t us);
  /// New batches may be in the sample log.
  void pump();

  bool drained() const {
    return window_ && next_ > stage_.p.batches && learning_.empty() && window_->drained();
  }
  std::uint64_t resent() const { return window_ ? window_->resent() : 0; }

 private:
  struct learning {
    batch_number batch;
    bool ready = false;
  };
  /// Runs `act` now, or when the pause ends; never after death.
  void when_awake(event_queue::action act);
  void ask_for_watermarks();
  void take_watermark(shard_id shard, batch_number watermark);
  void tick();
  void learned(batch_number batch);
  frame section_of(batch_number batch, shard_id shard);
  void submit(batch_number batch);
  void send(const std::vector<worker::outgoing>& sections);
  void take_ack(const frame& ack);
  std::uint64_t link(shard_id shard, bool back) const {
    return (id_ * 16 + shard.value) * 2 + (back ? 1 : 0);
  }

  scene& stage_;
  simulated_server& server_;
  variant kind_;
  std::uint32_t source_;
  std::uint64_t id_;
  bool alive_ = true;
  std::uint64_t awake_us_ = 0;
  std::vector<std::optional<batch_number>> watermarks_;
  std::optional<worker::push_window> window_;
  std::uint64_t next_ = 0;  // batch to start
  std::deque<learning> learning_;
};

}  // namespace headrace::simulation
