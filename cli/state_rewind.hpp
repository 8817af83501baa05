#pragma once

#include "base/clock.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "cli/job/job_file.hpp"
#include "storage/checkpoint_archive.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace headrace::cli {

/// Which rows a stopped job is to go on with.
struct rewind_order {
  std::optional<lsn> to_lsn;           // of every shard …
  std::optional<std::uint64_t> to_ms;  // … or what was stamped until then; neither: the end
  /// Undo: rows as if this source had never sent what it sent from `from_ms` on (0 = anything).
  std::string without;
  std::uint64_t from_ms = 0;
  bool retrain = false;  // sources go on from the watermarks of then, not from those of now
  bool dry_run = false;  // says what would come of it, and leaves everything as it is
};

struct rewound {
  struct shard {
    shard_id id;
    lsn through;                 // rows are those of the records up to here
    lsn end;                     // what the log held
    std::uint64_t left_out = 0;  // pushes of the source
  };
  std::string base;  // checkpoint; empty: the beginning of the logs
  std::vector<shard> shards;
  std::string digest;
  std::uint64_t rows = 0;
};

/// Puts other rows in place of those of a state folder whose server is stopped: those of a
/// checkpoint or of nothing, then the log behind them up to the target. The logs go on: one record
/// tells of it, positions and versions only grow, and the watermarks stay unless `retrain`.
///
/// What is made lies in `state`/.rewinding until it is whole, and takes the place of rows/ in one
/// step. Cut off before, the folder is as it was, or says at the next start that this must be run
/// again. `archive` may be null: then the logs must reach back to their beginning.
///
/// Fails: in_use (a server runs), wrong_job, bad_input (the target cannot be reached: the detail
/// says why), corrupt, disk_full, io_error, and as the archive.
result<rewound> rewind_state(const job& described,
                             const std::filesystem::path& state,
                             storage::checkpoint_archive* archive,
                             const rewind_order& order,
                             const clock& time);

}  // namespace headrace::cli
