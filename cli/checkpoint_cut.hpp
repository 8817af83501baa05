#pragma once

#include "actors/server_node.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "cli/job/job_file.hpp"
#include "cli/log_holds.hpp"
#include "storage/archived_checkpoint.hpp"
#include "storage/job_folder.hpp"
#include "storage/rocks_row_store.hpp"

#include <filesystem>
#include <functional>

namespace headrace::cli {

/// A running server, as whoever takes a checkpoint of it sees it.
struct cut_parts {
  actors::server_node* node = nullptr;
  storage::rocks_row_store* rows = nullptr;
  const storage::job_folder* folder = nullptr;
  const job* described = nullptr;
  log_holds* holds = nullptr;
  const clock* time = nullptr;
  std::function<bool()> cancelled;  // asked ten times a second
};

/// Makes `scratch`, which must not exist and lies beside the rows, a state folder as of one record
/// of each shard, while the server goes on: rows as hard links, the records between their positions
/// and the cut, what is left to learn of the sample logs here, JOB, job.toml, CHECKPOINT. It is
/// opened once, as a server would, before this returns, and its digest taken.
///
/// Blocks for as long as disks take; all shards hold their logs meanwhile, also where this fails.
/// Fails: unavailable (a shard is being started again), cancelled, corrupt, io_error, disk_full.
result<storage::archived_checkpoint> cut_checkpoint(const cut_parts& of,
                                                    const std::filesystem::path& scratch);

}  // namespace headrace::cli
