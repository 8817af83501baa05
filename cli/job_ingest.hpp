#pragma once

#include "actors/progress_board.hpp"
#include "actors/samples_actor.hpp"
#include "actors/transport/context.hpp"
#include "actors/transport/router.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "cli/job/job_file.hpp"
#include "cli/live_stream.hpp"
#include "cli/telemetry/job_metrics.hpp"
#include "storage/job_folder.hpp"

#include <caf/fwd.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace headrace::cli {

/// The ingest of a job in this process: takes events as its [source] says, joins and seals them
/// into the sample log, and gives the sealed batches to the worker that asks for them
/// (actors/samples_actor.hpp). Goes on by itself where an earlier run of the state folder ended.
class job_ingest {
 public:
  struct options {
    std::string listen;  // where workers ask
    std::filesystem::path state;
    std::shared_ptr<job_metrics> metrics = std::make_shared<job_metrics>();  // of this process
  };
  /// Fails: in_use, wrong_job, corrupt, not_found, bad_config, bad_input, disk_full, io_error; in
  /// one line.
  static result<std::unique_ptr<job_ingest>> start(caf::actor_system& system,
                                                   actors::transport_context& context,
                                                   const job& job,
                                                   const options& how,
                                                   const clock& time);
  ~job_ingest();

  const std::string& endpoint() const { return router_->endpoints()[0]; }
  actors::progress_board& board() { return *board_; }
  /// Empty while it takes events and seals them, else why not. Any thread.
  std::string not_ready() const;
  std::uint64_t sealed() const { return progress_->newest.load(std::memory_order_relaxed); }

  /// Lets no more events in and seals what was acknowledged; workers are answered as before.
  void finish_early();
  /// After that: everything is sealed and learned, or no worker has asked for two seconds.
  bool drained() const;
  /// Ends everything, however far it is. Idempotent; called by the destructor.
  void stop();

 private:
  job_ingest() = default;
  result<void> begin(caf::actor_system& system,
                     actors::transport_context& context,
                     const options& how);

  job job_;
  const clock* time_ = nullptr;
  caf::actor_system* system_ = nullptr;
  std::unique_ptr<storage::job_folder> folder_;
  std::unique_ptr<live_stream> live_;  // of a job whose events come live; outlives the actor
  std::shared_ptr<actors::progress_board> board_ = std::make_shared<actors::progress_board>();
  std::shared_ptr<actors::samples_progress> progress_ =
      std::make_shared<actors::samples_progress>();
  actors::samples_handle actor_;
  std::shared_ptr<actors::router> router_;
};

}  // namespace headrace::cli
