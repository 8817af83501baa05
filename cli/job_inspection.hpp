#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "cli/job/job_file.hpp"
#include "ps/shard/shard.hpp"
#include "storage/job_folder.hpp"
#include "storage/ordered_log.hpp"
#include "storage/row_store.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>

namespace headrace::cli {

/// What a state folder holds, read without changing it: the audit behind `headrace inspect`. Works
/// beside a running server, which then is a moment ahead.
class job_inspection {
 public:
  /// Fails: not_found, corrupt, bad_config (job.toml of another version), io_error.
  static result<job_inspection> open(const std::filesystem::path& state);

  const job& description() const { return job_; }
  const storage::job_folder& folder() const { return *folder_; }

  /// Visits the update log of a shard from `from` on; return false to stop. Fails: corrupt,
  /// io_error.
  result<void> read_log(shard_id shard, lsn from, const storage::ordered_log::visitor& visit) const;
  static constexpr lsn all{UINT64_MAX};
  /// The shard as a server would have it after a start: rows, then the log behind them, of that the
  /// records through `through`. Fails: not_found when the rows hold later records.
  result<std::unique_ptr<ps::shard>> live_tables(shard_id shard, lsn through = all) const;
  /// The last record of a shard that was stamped at `ms` or before. Fails: not_found when the log
  /// no longer knows; corrupt, io_error.
  result<lsn> last_until(shard_id shard, std::uint64_t ms) const;
  /// The shard from its log alone. Fails: not_found when the log no longer begins at 1, or was gone
  /// on from rows that were installed.
  result<std::unique_ptr<ps::shard>> replayed_tables(shard_id shard, lsn through = all) const;

  struct digest_report {
    /// Key, weights, optimizer state and count of every row of every shard, in any order.
    std::string tables;
    /// The same after replaying every log from its beginning; nothing where that is not possible.
    std::optional<std::string> replayed;
    std::string why_not_replayed;
    std::string weights;  // key and weights only, of the live tables
    std::uint64_t rows = 0;
    std::uint64_t records = 0;  // in the update logs
    /// Every shard has every batch of every source through this one; summed over sources.
    std::uint64_t batches = 0;
    std::uint64_t dense_batches = 0;  // the same in lane dense; 0 without a network
    /// Batches in the sample log, where a worker keeps one here.
    std::optional<std::uint64_t> sealed;
    std::uint64_t gaps = 0;        // records whose chain does not follow the one before
    std::uint64_t duplicates = 0;  // records of a batch that was there already
    std::uint64_t voids = 0;
  };
  /// Fails: corrupt, io_error.
  result<digest_report> digest() const;

 private:
  job_inspection() = default;
  result<std::unique_ptr<storage::ordered_log>> open_log(const std::filesystem::path& folder) const;
  result<void> redo(shard_id shard, lsn from, lsn through, ps::shard& into) const;
  /// How far a log was audited, and why it alone does not make the tables.
  struct audited {
    lsn through;
    std::string why_not_replayed;
  };
  result<audited> audit(shard_id shard, digest_report& report) const;
  result<std::optional<std::uint64_t>> sealed_batches() const;

  job job_;
  std::unique_ptr<storage::job_folder> folder_;
  std::unique_ptr<storage::row_store> rows_;
};

}  // namespace headrace::cli
