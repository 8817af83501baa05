#pragma once

#include "actors/contracts.hpp"
#include "actors/progress_board.hpp"
#include "base/clock.hpp"
#include "schemas/samples.hpp"
#include "worker/batch/sample_shelf.hpp"
#include "worker/batch/sealed_stream.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>

namespace headrace::actors {

/// What the actor of an ingest process tells others. Each value stands alone, so relaxed order is
/// enough.
struct samples_progress {
  std::atomic<std::uint64_t> newest{0};    // batch: sealed
  std::atomic<std::uint64_t> learned{0};   // through this batch, as the worker says
  std::atomic<std::uint64_t> covered{0};   // through this batch rows on the servers' disks hold it
  std::atomic<std::uint64_t> heard_ns{0};  // steady clock: newest good request; 0 = none
  std::atomic<bool> sealed_all{false};     // it was told to stop, and nothing is left to seal
};

/// The shell around a sealed_stream and a sample_shelf: seals as events come and answers who asks
/// for batches. Detached, because sealing and reading block on the disk. A full disk pauses
/// sealing; any other failure of it ends the board.
class samples_actor : public samples_handle::base {
 public:
  /// `stream` is positioned behind its newest batch.
  samples_actor(caf::actor_config& config,
                std::unique_ptr<worker::sealed_stream> stream,
                worker::sample_shelf::settings how,
                const headrace::clock& time,
                std::shared_ptr<progress_board> board,
                std::shared_ptr<samples_progress> progress);

  behavior_type make_behavior() override;
  void on_exit() override;
  const char* name() const override { return "samples_actor"; }

 private:
  /// A request that waits for a batch.
  struct waiting {
    section_job_ptr job;
    schemas::samples_request asks;
    std::uint64_t until_ns = 0;
  };
  void serve(const section_job_ptr& job);
  bool answer(const section_job& job, const schemas::samples_request& asks, bool waited);
  void answer_waiting();
  void seal();
  void seal_some();
  void wake_at(std::uint64_t steady_ns);
  void publish();

  std::unique_ptr<worker::sealed_stream> stream_;
  const headrace::clock& time_;
  std::shared_ptr<progress_board> board_;
  std::shared_ptr<samples_progress> progress_;
  worker::sample_shelf shelf_;
  std::deque<waiting> waiting_;
  std::uint64_t wake_ns_ = worker::batch_stream::never;  // of the tick on its way
  std::uint64_t samples_ = 0;                            // sealed by this process
  std::uint64_t history_ = 0;                            // mixed in beside them
  bool stopping_ = false;
  bool failed_ = false;
  bool paused_ = false;         // the disk is full, or the log's broker away
  std::uint64_t retry_ns_ = 0;  // then: when the batch is offered again
  /// An arrival is in the mailbox: one is enough, however much arrives meanwhile.
  std::shared_ptr<std::atomic<bool>> told_ = std::make_shared<std::atomic<bool>>(false);
};

}  // namespace headrace::actors
