#pragma once

#include "actors/control_client.hpp"
#include "actors/progress_board.hpp"
#include "actors/transport/context.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "cli/job/job_file.hpp"
#include "cli/live_stream.hpp"
#include "cli/telemetry/job_metrics.hpp"
#include "storage/job_folder.hpp"
#include "worker/batch/batch_stream.hpp"
#include "worker/batch/durable_mark.hpp"

#include <caf/fwd.hpp>

#include <atomic>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace headrace::actors {
struct worker_parts;
}

namespace headrace::cli {

/// The training half of a job in this process: source, sample log, worker and ingest actors,
/// connected to the server node at one endpoint; or, where another process is ingest, without
/// source and sample log. Goes on by itself where an earlier run of the state folder ended.
class job_worker {
 public:
  struct options {
    std::string endpoint;
    std::filesystem::path state;
    std::optional<std::filesystem::path> predictions = std::nullopt;  // file for `--predictions`
    std::string ingest = {};  // where another process seals the samples; empty: here
    std::shared_ptr<job_metrics> metrics = std::make_shared<job_metrics>();  // of this process
  };
  /// Fails: unavailable (no server, no ingest), wrong_job, in_use, corrupt, not_found, bad_config,
  /// bad_input, io_error; in one line.
  static result<std::unique_ptr<job_worker>> start(caf::actor_system& system,
                                                   actors::transport_context& context,
                                                   const job& job,
                                                   options how,
                                                   const clock& time);
  ~job_worker();

  /// An earlier run had trained every batch of the source: nothing was started.
  bool nothing_new() const { return nothing_new_; }
  bool resumed() const { return resumed_; }
  /// Figures as of the start of this run, to tell what it added.
  const actors::progress& before() const { return before_; }
  actors::progress_board& board() { return *board_; }
  const storage::job_folder& folder() const { return *folder_; }
  std::uint64_t records() const { return records_; }
  /// Of a job whose events come live; else null.
  const live_stream* live() const { return live_.get(); }
  /// Empty while it trains and takes events, else why not. Any thread.
  std::string not_ready() const;
  /// The source has so many passes; 1 unless the job replays it.
  std::uint32_t passes() const { return job_.replay.passes; }

  /// How all shards are doing, asked from the server. Fails: unavailable.
  result<std::vector<schemas::status_reply>> ask_shards(std::chrono::milliseconds patience);

  /// Where another process is ingest: what it need not keep any more is told to it. Asks the server
  /// every few seconds; call it once a second.
  void look_at_rows(const clock& time, std::chrono::milliseconds patience);

  /// Rows of a shard as of now: an encoded pull section, answered by an encoded reply, of status
  /// unavailable where the server doesn't answer within `patience`.
  frame pull(shard_id shard, const frame& section, std::chrono::milliseconds patience);

  /// After a halt between two passes: on with the next.
  void go_on();
  /// Lets no more events in, learns what was acknowledged, seals what is held and reads no more;
  /// the board ends when everything in flight was acknowledged.
  void finish_early();
  /// Ends the actors, however far they are. Idempotent; called by the destructor.
  void stop();

 private:
  struct actors_held;
  job_worker() = default;
  result<void> begin(caf::actor_system& system,
                     actors::transport_context& context,
                     const options& how,
                     const clock& time);
  /// What is trained on, and the batches that earlier runs were, for what has to see them again.
  struct samples {
    std::unique_ptr<worker::batch_stream> stream;
    std::function<result<void>(const std::function<void(const schemas::sample_batch&)>&)>
        visit_earlier;
  };
  result<samples> open_here(const clock& time);
  result<samples> open_there(actors::transport_context& context,
                             const options& how,
                             const clock& time);
  result<batch_number> ask_where_to_begin();
  result<actors::worker_parts> load_parts(const samples& from) const;

  job job_;
  std::unique_ptr<storage::job_folder> folder_;
  std::unique_ptr<storage::job_folder> ingest_folder_;  // the lock, where this process is ingest
  std::unique_ptr<live_stream> live_;  // of a job whose events come live; outlives the actors
  std::unique_ptr<actors::control_client> control_;
  std::shared_ptr<actors::progress_board> board_;
  std::unique_ptr<actors_held> held_;
  std::vector<batch_number> watermarks_;        // of each shard, lane rows
  std::vector<batch_number> dense_watermarks_;  // empty: no network
  actors::progress before_;
  std::uint64_t records_ = 0;
  std::shared_ptr<std::atomic<std::uint64_t>> covered_;  // where another process is ingest
  worker::durable_mark durable_;
  std::uint64_t looked_ns_ = 0;
  bool nothing_new_ = false;
  bool resumed_ = false;
};

}  // namespace headrace::cli
