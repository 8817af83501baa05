#include "cli/state_restore.hpp"

#include "storage/file_io.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <string_view>
#include <system_error>
#include <vector>

namespace headrace::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view arriving = ".restoring";
constexpr std::array<std::string_view, 5> parts{"CHECKPOINT", "job.toml", "log", "rows", "samples"};

result<void> move(const fs::path& from, const fs::path& to) {
  if (std::rename(from.c_str(), to.c_str()) == 0) return {};
  return storage::file_error("move", from, errno);
}

// What an earlier attempt had moved goes back, so that all of it is checked again.
result<void> gather(const fs::path& state) {
  std::error_code failure;
  std::vector<fs::path> there;
  for (fs::directory_iterator at(state, failure), end; !failure && at != end; at.increment(failure))
    there.push_back(at->path());
  if (failure) return storage::file_error("list", state, failure.value());
  const fs::path inside = state / arriving;
  const bool begun = fs::exists(inside, failure);
  std::vector<fs::path> moved_before;
  for (const fs::path& path : there) {  // all are looked at before one is touched
    const std::string name = path.filename().string();
    if (name == arriving || name.starts_with("LOCK.")) continue;
    const bool ours = begun && std::find(parts.begin(), parts.end(), name) != parts.end();
    if (!ours) {
      return error{errc::bad_input,
                   "'" + state.string() + "' holds '" + name +
                       "': restore into an empty or new folder (--state)"};
    }
    moved_before.push_back(path);
  }
  for (const fs::path& path : moved_before) {
    if (auto moved = move(path, inside / path.filename()); !moved) return moved;
  }
  return {};
}

}  // namespace

result<std::string> checkpoint_or_newest(storage::checkpoint_archive& archive, std::string id) {
  if (!id.empty()) return id;
  const auto ids = archive.ids();
  if (!ids) return ids.error();
  if (!ids->empty()) return ids->front();
  return error{errc::not_found, "no checkpoint in " + archive.store().uri()};
}

result<void> check_is_of(const storage::archived_checkpoint& checkpoint,
                         const storage::job_identity& job) {
  if (checkpoint.job == job.name && checkpoint.fingerprint == job.fingerprint) return {};
  return error{errc::wrong_job,
               "checkpoint " + checkpoint.id + " is of job '" + checkpoint.job + "'" +
                   (checkpoint.job == job.name
                        ? ", whose tables, model or shards were different; give its job file"
                        : ", not of '" + job.name + "'")};
}

result<storage::archived_checkpoint> restore_state(storage::checkpoint_archive& archive,
                                                   std::string id,
                                                   const storage::job_identity& job,
                                                   const fs::path& state) {
  const auto wanted = checkpoint_or_newest(archive, std::move(id));
  if (!wanted) return wanted.error();
  const auto about = archive.read(*wanted);
  if (!about) return about.error();
  if (auto right = check_is_of(*about, job); !right) return right.error();
  if (auto made = storage::make_folder(state); !made) return made.error();
  if (auto ready = gather(state); !ready) return ready.error();
  const fs::path inside = state / arriving;
  auto restored = archive.download(*wanted, inside);
  if (!restored) return restored;
  for (const std::string_view part : parts) {
    std::error_code absent;
    if (!fs::exists(inside / part, absent)) continue;
    if (auto moved = move(inside / part, state / part); !moved) return moved.error();
  }
  if (auto synced = storage::sync_folder(state); !synced) return synced.error();
  if (auto moved = move(inside / "JOB", state / "JOB"); !moved) return moved.error();
  if (auto synced = storage::sync_folder(state); !synced) return synced.error();
  std::error_code ignored;
  fs::remove_all(inside, ignored);
  return restored;
}

}  // namespace headrace::cli
