#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/file_io.hpp"

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace headrace::storage {

/// Which part of a job a process runs; each has a lock of its own, so that `headrace server`,
/// `headrace worker` and `headrace ingest` may share one state folder. `run` and `demo` open the
/// folder once for each; a worker that reads its source itself is ingest, too.
enum class job_role : std::uint8_t { server, worker, ingest };

/// Whose state a folder holds.
struct job_identity {
  std::string name;               // one line
  std::uint64_t fingerprint = 0;  // schemas::fingerprint
  friend bool operator==(const job_identity&, const job_identity&) = default;
};

inline constexpr std::uint32_t job_folder_format_version = 1;

/// The state folder of a job: who owns it and where everything lies.
///
///     JOB                       whose folder this is, in words
///     LOCK.server, LOCK.worker, LOCK.ingest  held by flock while a process runs; say which
///     CHECKPOINT                storage/checkpoint_manifest.hpp
///     rows/                     RocksDB, all shards
///     log/shard-0000/           update log of a shard
///     events/<source>/          event log of a live source
///     samples/<source>/         sample log of a source
///     worker/                   what a worker keeps: figures, frozen twin
///     report.html
///
/// The lock is released when this object goes, or when the process dies however it dies.
class job_folder {
 public:
  /// Creates the folder if absent, takes the role's lock, checks that the folder is this job's.
  /// Fails: in_use, wrong_job (also a folder that is not ours and not empty), corrupt, io_error,
  /// disk_full; each in one line with path and what to do.
  static result<std::unique_ptr<job_folder>> open(const std::filesystem::path& root,
                                                  const job_identity& job,
                                                  job_role role);
  /// For `inspect`: takes no lock and changes nothing. Fails: not_found, corrupt, io_error.
  static result<std::unique_ptr<job_folder>> open_read_only(const std::filesystem::path& root);

  const job_identity& job() const { return job_; }
  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path rows() const { return root_ / "rows"; }
  std::filesystem::path shard_log(shard_id shard) const;
  /// `source` is a source's text, such as "movielens#1"; bytes that don't suit a file name are
  /// written %XX.
  std::filesystem::path sample_log(const std::string& source) const;
  std::filesystem::path event_log(const std::string& source) const;
  std::filesystem::path worker() const { return root_ / "worker"; }
  std::filesystem::path checkpoint() const { return root_ / "CHECKPOINT"; }
  std::filesystem::path report() const { return root_ / "report.html"; }
  /// Last figures of a run, so that a finished job can show them again.
  std::filesystem::path figures() const { return worker() / "figures.json"; }

 private:
  job_folder(std::filesystem::path root, job_identity job)
      : root_(std::move(root)), job_(std::move(job)) {}

  std::filesystem::path root_;
  job_identity job_;
  file_handle lock_;
};

}  // namespace headrace::storage
