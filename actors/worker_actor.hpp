#pragma once

#include "actors/contracts.hpp"
#include "actors/progress_board.hpp"
#include "actors/request_path.hpp"
#include "base/clock.hpp"
#include "base/metrics.hpp"
#include "worker/metrics/score_book.hpp"
#include "worker/step/prediction_log.hpp"
#include "worker/step/push_lanes.hpp"
#include "worker/step/trainer.hpp"

#include <caf/typed_event_based_actor.hpp>

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace headrace::actors {

/// Where a worker says how long the parts of a batch's way took, in seconds.
struct batch_durations {
  histogram pull;   // from asking for rows until all are there
  histogram learn;  // forward and backward
  histogram push;   // from its push until every shard has it
};

/// What a worker is made of, ready-made by cli/.
struct worker_parts {
  std::string name;
  std::unique_ptr<worker::trainer> trainer;
  std::unique_ptr<worker::push_lanes> lanes;
  std::unique_ptr<worker::score_book> book;
  std::unique_ptr<worker::prediction_log> predictions;  // may be null
  std::shared_ptr<progress_board> board;
  const clock* time = nullptr;
  std::uint32_t shards = 1;
  std::uint32_t in_flight_max = 1;
  std::uint64_t freeze_row = UINT64_MAX;  // the twin is a copy of the model before this record
  std::uint64_t deadline_ms = 500;        // a pull unanswered for so long is sent again
  /// Keeps the figures on disk every `keep_interval_ms` and at the end, so that an interrupted run
  /// goes on with them; keeps the twin once, when it is frozen. Both run on the actor's thread.
  /// Fail: io_error, disk_full.
  std::function<result<void>(const worker::score_book&)> keep_book;
  std::function<result<void>(const worker::frozen_twin&)> keep_twin;
  std::uint64_t keep_interval_ms = 1'000;
  std::optional<batch_durations> durations;  // none: nobody looks
  /// Connects to the server; the receiver may be called on any thread.
  std::function<result<std::unique_ptr<request_path>>(request_path::receiver)> connect;
};

/// The pipeline of one worker: sealed batch → pull → learn → push → acknowledged by every shard.
/// The arithmetic is in the trainer, the protocol in the push lanes; this class only moves
/// messages.
/// Detached: a step computes for milliseconds, and its figures are kept on disk.
class worker_actor : public worker_handle::base {
 public:
  worker_actor(caf::actor_config& config, worker_parts parts);

  behavior_type make_behavior() override;
  void on_exit() override;
  const char* name() const override { return "worker_actor"; }

 private:
  /// A step whose rows are on their way, or that waits for its turn to learn.
  struct pulling {
    std::unique_ptr<worker::training_step> step;
    std::uint64_t request_id = 0;
    std::uint64_t begun_ns = 0;  // when rows were first asked for
    std::uint64_t sent_ns = 0;   // and last
  };
  struct pushed {
    batch_number batch;
    std::uint64_t at_ns = 0;
  };

  void take(const sample_batch_ptr& batch);
  void answer(const answered_section& answer);
  void tick();
  void drain();

  void pump();
  bool freeze_is_due(const schemas::sample_batch& batch) const;
  void start(sample_batch_ptr batch);
  void ask_for_rows(pulling& step);
  std::uint64_t send_pull(const worker::pull_plan& plan, std::span<const worker::row_set> sets);
  void accept_rows(const schemas::envelope& head, const frame& section);
  void learn_in_order();
  void score(const worker::training_step& step);
  void keep_predictions(const worker::training_step& step);
  void push(worker::training_step& step);
  void accept_ack(const frame& section);
  void give_permits();
  void time_pushes(batch_number completed);
  double seconds_since(std::uint64_t steady_ns) const;
  void send_pushes(const std::vector<worker::outgoing>& sections);

  void freeze();
  void accept_frozen_rows(const frame& section);
  void ask_for_frozen_rows();

  void publish();
  void keep_figures();
  void finish_if_drained();
  void fail(error why);

  worker_parts parts_;
  std::unique_ptr<request_path> path_;
  ingest_handle ingest_;
  std::deque<sample_batch_ptr> queue_;
  std::deque<pulling> steps_;
  std::deque<pushed> pushed_;  // not acknowledged by every shard; only where durations are wanted
  std::uint64_t next_request_ = 1;
  bool draining_ = false;
  bool finished_ = false;

  // While the twin's rows are pulled, chunk by chunk, no batch is under way.
  std::vector<worker::row_set> frozen_chunks_;
  worker::pull_plan frozen_plan_;
  std::uint64_t frozen_request_ = 0;
  std::uint64_t frozen_sent_ns_ = 0;
  bool freezing_ = false;

  batch_number permitted_through_;  // batches whose permits went back to ingest
  std::uint64_t kept_ns_ = 0;
  std::uint64_t push_bytes_ = 0;
};

}  // namespace headrace::actors
