#pragma once

#include "actors/server_node.hpp"
#include "actors/transport/context.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "cli/checkpointer.hpp"
#include "cli/job/job_file.hpp"
#include "cli/log_holds.hpp"
#include "cli/telemetry/job_metrics.hpp"
#include "storage/io_pool.hpp"
#include "storage/job_folder.hpp"
#include "storage/rocks_row_store.hpp"

#include <caf/fwd.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace headrace::cli {

/// The serving half of a job in this process: folder lock, row store, update logs, shards, router.
class job_server {
 public:
  /// Fails: in_use, wrong_job, corrupt, io_error, bad_config; each in one line.
  static result<std::unique_ptr<job_server>> start(caf::actor_system& system,
                                                   actors::transport_context& context,
                                                   const job& job,
                                                   const std::filesystem::path& state,
                                                   std::vector<std::string> endpoints,
                                                   const clock& time);
  ~job_server();

  const std::vector<std::string>& endpoints() const { return node_->endpoints(); }
  const storage::job_folder& folder() const { return *folder_; }
  /// Set when a shard could not be kept running. Any thread.
  std::optional<error> failure() const;
  /// Empty while every shard takes pushes, else what is wrong. Any thread.
  std::string not_ready() const;
  /// Has `metrics` say how shards and checkpoints are, as of the newest `tick`. Nobody asks once
  /// this is destroyed.
  void add_series(job_metrics& metrics);
  /// Asks shards how they are, and writes CHECKPOINT when the flush interval has passed; call it
  /// once a second or more often.
  void tick();
  /// Stops the shards; rows are written, then CHECKPOINT. Idempotent.
  result<void> stop();

 private:
  struct failure_slot;
  job_server() = default;
  result<void> write_checkpoint();

  job job_;
  const clock* time_ = nullptr;
  std::unique_ptr<storage::job_folder> folder_;
  std::unique_ptr<storage::rocks_row_store> rows_;
  std::unique_ptr<storage::io_pool> pool_;  // its last tasks use `rows_`
  std::shared_ptr<failure_slot> failure_;
  std::unique_ptr<log_holds> holds_;
  std::unique_ptr<checkpointer> checkpoints_;  // asked by the node, which ends before it
  std::unique_ptr<actors::server_node> node_;
  std::shared_ptr<actors::shard_board> board_;
  std::uint64_t looked_ns_ = 0;
  std::uint64_t checkpoint_ns_ = 0;
  bool stopped_ = false;
};

/// Who the state folder belongs to.
storage::job_identity identity(const job& job);

}  // namespace headrace::cli
