#pragma once

#include <caf/fwd.hpp>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "actors/progress_board.hpp"
#include "actors/server_node.hpp"
#include "actors/transport/context.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "cli/job_file.hpp"
#include "storage/job_folder.hpp"
#include "storage/row_store.hpp"

namespace headrace::cli {

/// The shards of a job over its state folder, in this process: folder lock, row store, logs, server node.
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
  const std::filesystem::path& folder() const { return folder_->root(); }
  /// Set when a shard could not be kept running.
  std::optional<error> failure() const;
  /// Stops the shards; rows are written.
  void stop();

 private:
  job_server() = default;
  struct failure_slot;
  std::unique_ptr<storage::job_folder> folder_;
  std::shared_ptr<storage::row_store> rows_;
  std::shared_ptr<failure_slot> failure_;
  std::unique_ptr<actors::server_node> node_;
};

}  // namespace headrace::cli
