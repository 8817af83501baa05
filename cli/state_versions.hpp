#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "cli/job_inspection.hpp"

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace headrace::cli {

/// What a state folder learned, as of one moment: its shards, ready to be pulled from.
struct state_version {
  std::string name;  // as it was asked for
  std::vector<std::unique_ptr<ps::shard>> shards;

  std::uint64_t pushes() const;  // applied, over all shards
  std::uint64_t rows() const;
};

/// Versions of a state by the names that `rewind` and `checkpoint` have for them, read without
/// changing anything: "now"; "lsn:N", record N of each shard, or its last; a time,
/// "2026-11-26T10:00:00Z" or "15m" (ago); the id of a checkpoint in the archive. All rows of a
/// version lie in memory.
///
/// A record or a time is reached from the rows on disk where they are old enough, else by a replay
/// of the whole log (durability.keep_log = "all"). Beside a running server "now" is a moment ago.
class state_versions {
 public:
  /// `archive`: URI of the checkpoints; empty: `checkpoint.to` of the job. Fails: as
  /// job_inspection::open.
  static result<state_versions> open(const std::filesystem::path& state, std::string archive);

  const job& description() const { return state_->description(); }
  /// Fails: bad_config (no such name), not_found (it cannot be reached, and why), wrong_job,
  /// corrupt, io_error, and as the archive.
  result<state_version> at(const std::string& name, const clock& time) const;

 private:
  state_versions() = default;
  result<state_version> reached(const std::string& name,
                                std::optional<lsn> record,
                                std::uint64_t ms) const;
  result<state_version> of_checkpoint(const std::string& id, const clock& time) const;

  std::optional<job_inspection> state_;
  std::string archive_;
};

}  // namespace headrace::cli
