#pragma once

#include "actors/contracts.hpp"
#include "actors/progress_board.hpp"
#include "base/clock.hpp"
#include "worker/batch/batch_stream.hpp"
#include "worker/metrics/latency_histogram.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

namespace headrace::actors {

/// The shell around a batch_stream: gives the worker as many batches as it has permits for.
/// Detached, because sealing blocks on the disk. Starts with `permits`, and gets one back for each
/// completed batch. A full disk pauses it; any other failure ends the run. Where the stream halts
/// between passes, the board's `passes` say so once all permits are back, and it waits. A live
/// source wakes it.
class ingest_actor : public ingest_handle::base {
 public:
  ingest_actor(caf::actor_config& config,
               std::unique_ptr<worker::batch_stream> stream,
               worker_handle worker,
               const headrace::clock& time,
               std::shared_ptr<progress_board> board,
               std::uint32_t permits);

  behavior_type make_behavior() override;
  void on_exit() override;
  const char* name() const override { return "ingest_actor"; }

 private:
  void pump();
  void wake_at(std::uint64_t steady_ns);
  void listen();
  void halt();
  void publish_bad_rows();
  void measure(const schemas::sample_batch& batch);
  void end(std::optional<error> failure = std::nullopt);

  std::unique_ptr<worker::batch_stream> stream_;
  worker_handle worker_;
  const headrace::clock& time_;
  std::shared_ptr<progress_board> board_;
  const std::uint32_t permits_all_;
  std::uint32_t permits_;
  worker::latency_histogram available_;
  std::uint64_t history_ = 0;  // samples of older batches in those that were given out
  std::uint64_t wake_ns_ = worker::batch_stream::never;  // of the tick on its way
  bool paused_ = false;                                  // the disk is full
  /// An arrival is in the mailbox: one is enough, however much arrives meanwhile.
  std::shared_ptr<std::atomic<bool>> told_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace headrace::actors
