#pragma once

#include "base/clock.hpp"
#include "storage/archived_checkpoint.hpp"
#include "storage/file_hash_cache.hpp"
#include "storage/object_store.hpp"

#include <functional>
#include <memory>
#include <set>

namespace headrace::storage {

/// Checkpoints of one job in an object store (docs/checkpoints.md):
///
///   objects/<sha256>        a file, under its hash: stored once however many checkpoints hold it
///   checkpoints/<id>.toml   a checkpoint: the cut and its files; written last, so that it is there
///                           only when all of it is
///
/// An upload or a `retain` that dies halfway leaves whole checkpoints and objects that nothing
/// refers to; the next `retain` removes those. One process at a time writes an archive, and it
/// holds one job: two jobs need two prefixes. Calls block; one thread at a time. Failures of the
/// store come back as they are.
class checkpoint_archive {
 public:
  struct options {
    /// A local file that keeps hashes over restarts; empty: they are kept in memory.
    std::filesystem::path hash_cache;
    /// Asked between files of an upload or download; true ends it with `cancelled`.
    std::function<bool()> cancelled;
  };

  checkpoint_archive(std::unique_ptr<object_store> store, const clock& time, options how);

  struct uploaded {
    std::string id;
    std::uint64_t files_uploaded = 0;
    std::uint64_t bytes_uploaded = 0;
    std::uint64_t files_reused = 0;
    std::uint64_t bytes_reused = 0;
  };
  /// Stores every file of `folder` that the archive does not have yet, then the manifest: `about`
  /// with id, time and files filled in. The files must not change meanwhile. Fails: wrong_job (the
  /// archive is another job's), not_found, bad_input (something that is neither file nor folder),
  /// corrupt (a file that changed), cancelled.
  result<uploaded> upload(const std::filesystem::path& folder, archived_checkpoint about);

  /// Ids of the checkpoints, newest first. Manifests are not read.
  result<std::vector<std::string>> ids();

  struct listing {
    std::vector<archived_checkpoint> checkpoints;  // newest first
    std::vector<error> damaged;                    // manifests that cannot be read, and why
  };
  result<listing> list();

  /// Fails: not_found, corrupt, bad_protocol (written by a later version).
  result<archived_checkpoint> read(const std::string& id);

  /// Puts the checkpoint's files into `folder`, which is made if absent and may hold nothing but
  /// files of an earlier attempt: those are kept where their hash is right. Every file is checked.
  /// Fails: as `read`, bad_input (the folder holds something else), corrupt (names the file),
  /// cancelled.
  result<archived_checkpoint> download(const std::string& id, const std::filesystem::path& folder);

  struct retained {
    std::uint64_t checkpoints_kept = 0;
    std::uint64_t checkpoints_removed = 0;
    std::uint64_t objects_removed = 0;
    std::uint64_t bytes_removed = 0;  // of objects
  };
  /// Keeps the `keep_newest` newest checkpoints (one at least) and those written within the last
  /// `keep_for_ms`; removes the others, then every object that no kept one refers to. Removes
  /// nothing when a kept manifest cannot be read. Fails: as `read`, wrong_job, bad_input (a
  /// manifest that is none of ours).
  result<retained> retain(std::size_t keep_newest, std::uint64_t keep_for_ms);

  const object_store& store() const { return *store_; }

 private:
  result<std::vector<archived_checkpoint::file>> hashed_files(const std::filesystem::path& folder);
  result<void> upload_files(const std::filesystem::path& folder,
                            const std::vector<archived_checkpoint::file>& files,
                            uploaded& sums);
  result<void> download_file(const archived_checkpoint& from,
                             const archived_checkpoint::file& file,
                             const std::filesystem::path& folder);
  result<void> remove_unreferenced(const std::set<std::string>& referenced, retained& sums);
  result<void> stop_asked() const;

  std::unique_ptr<object_store> store_;
  const clock& time_;
  options how_;
  file_hash_cache hashes_;
};

}  // namespace headrace::storage
