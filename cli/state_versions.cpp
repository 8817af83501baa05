#include "cli/state_versions.hpp"

#include "base/parse_number.hpp"
#include "cli/job_server.hpp"
#include "cli/moment.hpp"
#include "cli/open_archive.hpp"
#include "cli/state_restore.hpp"
#include "storage/archived_checkpoint.hpp"
#include "storage/file_io.hpp"

#include <cerrno>
#include <stdlib.h>  // mkdtemp
#include <string_view>
#include <system_error>
#include <utility>

namespace headrace::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view record_prefix = "lsn:";

/// A folder for the files of a checkpoint, gone with this object.
class scratch_folder {
 public:
  scratch_folder() = default;
  scratch_folder(const scratch_folder&) = delete;
  scratch_folder& operator=(const scratch_folder&) = delete;
  ~scratch_folder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }
  result<fs::path> make() {
    std::string name = (fs::temp_directory_path() / "headrace-version-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) return storage::file_error("create", name, errno);
    path_ = name;
    return path_;
  }

 private:
  fs::path path_;
};

result<state_version> live(const job_inspection& state, const std::string& name) {
  state_version made{name, {}};
  for (std::uint32_t s = 0; s < state.description().schema.shards; ++s) {
    auto tables = state.live_tables(shard_id{s});
    if (!tables) return tables.error();
    made.shards.push_back(std::move(*tables));
  }
  return made;
}

}  // namespace

std::uint64_t state_version::pushes() const {
  std::uint64_t sum = 0;
  for (const auto& shard : shards) sum += shard->version();
  return sum;
}

std::uint64_t state_version::rows() const {
  std::uint64_t sum = 0;
  for (const auto& shard : shards) sum += shard->counts().rows;
  return sum;
}

result<state_versions> state_versions::open(const fs::path& state, std::string archive) {
  auto inspection = job_inspection::open(state);
  if (!inspection) return inspection.error();
  state_versions made;
  made.state_.emplace(std::move(*inspection));
  made.archive_ = archive.empty() ? made.description().checkpoint.to : std::move(archive);
  return made;
}

result<state_version> state_versions::at(const std::string& name, const clock& time) const {
  if (name == "now") return live(*state_, name);
  if (storage::checkpoint_time_ms(name)) return of_checkpoint(name, time);
  if (name.starts_with(record_prefix)) {
    const auto record =
        parse_number<std::uint64_t>(std::string_view(name).substr(record_prefix.size()));
    if (!record) return error{errc::bad_config, "--at '" + name + "' names no record: write lsn:N"};
    return reached(name, lsn{*record}, 0);
  }
  const auto ms = parse_moment(name, "--at", time.now_ms());
  if (ms) return reached(name, std::nullopt, *ms);
  return error{errc::bad_config,
               "--at '" + name +
                   "': accepted is now, lsn:N, a time as 2026-11-26T10:00:00Z or 15m (ago), or the "
                   "id of a checkpoint"};
}

result<state_version> state_versions::reached(const std::string& name,
                                              std::optional<lsn> record,
                                              std::uint64_t ms) const {
  state_version made{name, {}};
  for (std::uint32_t s = 0; s < description().schema.shards; ++s) {
    const shard_id shard{s};
    const auto through = record ? result<lsn>(*record) : state_->last_until(shard, ms);
    if (!through) return through.error();
    auto tables = state_->live_tables(shard, *through);
    if (!tables && tables.error().code == errc::not_found)
      tables = state_->replayed_tables(shard, *through);
    if (!tables && tables.error().code == errc::not_found) {
      return error{errc::not_found,
                   "--at " + name + " cannot be reached: " + tables.error().detail +
                       "; name a checkpoint by its id, or keep the log (durability.keep_log)"};
    }
    if (!tables) return tables.error();
    made.shards.push_back(std::move(*tables));
  }
  return made;
}

result<state_version> state_versions::of_checkpoint(const std::string& id,
                                                    const clock& time) const {
  if (archive_.empty()) {
    return error{errc::bad_config,
                 "--at " + id + " is a checkpoint: say where it lies with --archive URI"};
  }
  auto archive = open_archive(archive_, time);
  if (!archive) return archive.error();
  const auto about = (*archive)->read(id);
  if (!about) return about.error();
  if (auto ours = check_is_of(*about, identity(description())); !ours) return ours.error();
  scratch_folder scratch;
  const auto folder = scratch.make();
  if (!folder) return folder.error();
  if (auto loaded = (*archive)->download(id, *folder); !loaded) return loaded.error();
  const auto inspection = job_inspection::open(*folder);
  if (!inspection) return inspection.error();
  return live(*inspection, id);
}

}  // namespace headrace::cli
