#include "storage/checkpoint_archive.hpp"

#include "base/check.hpp"
#include "storage/file_io.hpp"
#include "storage/partial_file.hpp"

#include <algorithm>
#include <map>

namespace headrace::storage {
namespace {

namespace fs = std::filesystem;
using file = archived_checkpoint::file;

constexpr std::string_view objects = "objects/";
constexpr std::string_view manifests = "checkpoints/";
constexpr std::string_view manifest_ending = ".toml";

std::string object_name(const std::string& sha256) { return std::string(objects) + sha256; }
std::string manifest_name(const std::string& id) {
  return std::string(manifests) + id + std::string(manifest_ending);
}

// "20240131T120000.123Z-movielens" → "movielens".
std::string_view job_part(std::string_view id) { return id.substr(id.find('-') + 1); }

result<void> check_one_job(const std::vector<std::string>& ids, const std::string& uri) {
  for (const auto& id : ids) {
    if (job_part(id) == job_part(ids.front())) continue;
    return error{errc::wrong_job,
                 uri + " holds checkpoints of two jobs, " + ids.front() + " and " + id +
                     ": move one job's elsewhere; nothing was removed"};
  }
  return {};
}

// The same failure, saying first whose it is.
error in_context(const std::string& what, const error& failure) {
  return error{failure.code, what + ": " + failure.detail};
}

// Regular files below `folder` as paths in it, by name. Anything but files and folders is refused.
result<std::vector<std::string>> files_below(const fs::path& folder) {
  std::vector<std::string> paths;
  std::error_code failure;
  for (fs::recursive_directory_iterator entry(folder, failure), end; !failure && entry != end;
       entry.increment(failure)) {
    const auto type = entry->symlink_status(failure).type();
    if (type == fs::file_type::directory) continue;
    if (type != fs::file_type::regular)
      return error{errc::bad_input, "'" + entry->path().string() + "' is not a regular file"};
    paths.push_back(entry->path().lexically_relative(folder).generic_string());
  }
  if (failure) return file_error("list", folder, failure.value());
  std::sort(paths.begin(), paths.end());
  return paths;
}

// What stands in the way of a download: nothing, or files of the same checkpoint.
result<void> check_target(const fs::path& folder, const archived_checkpoint& checkpoint) {
  std::error_code failure;
  if (!fs::exists(folder, failure)) return make_folder(folder);
  const auto there = files_below(folder);
  if (!there) return there.error();
  std::set<std::string> own;
  for (const auto& one : checkpoint.files) {
    own.insert(one.path);
    own.insert(one.path + std::string(partial_suffix));
  }
  for (const auto& path : *there) {
    if (own.contains(path)) continue;
    return error{errc::bad_input,
                 "'" + folder.string() + "' holds '" + path + "', which is not of checkpoint " +
                     checkpoint.id + ": download into an empty folder"};
  }
  return {};
}

// A file of an earlier attempt that needs no download.
result<bool> already_there(const fs::path& path, const file& wanted) {
  std::error_code failure;
  if (!fs::exists(path, failure)) return false;
  const auto size = fs::file_size(path, failure);
  if (failure) return file_error("look at", path, failure.value());
  if (size != wanted.bytes) return false;
  const auto sha256 = sha256_of_file(path);
  if (!sha256) return sha256.error();
  return *sha256 == wanted.sha256;
}

}  // namespace

checkpoint_archive::checkpoint_archive(std::unique_ptr<object_store> store,
                                       const clock& time,
                                       options how)
    : store_(std::move(store)), time_(time), how_(std::move(how)) {
  if (!how_.hash_cache.empty()) hashes_ = file_hash_cache::load(how_.hash_cache);
}

result<void> checkpoint_archive::stop_asked() const {
  if (how_.cancelled && how_.cancelled())
    return error{errc::cancelled, "stopped before the checkpoint was whole; begin it again"};
  return {};
}

result<std::vector<file>> checkpoint_archive::hashed_files(const fs::path& folder) {
  const auto paths = files_below(folder);
  if (!paths) return paths.error();
  std::vector<file> files;
  for (const auto& path : *paths) {
    if (auto stop = stop_asked(); !stop) return stop.error();
    const auto hashed = hashes_.hash(folder / path);
    if (!hashed) return hashed.error();
    files.push_back({path, hashed->bytes, hashed->sha256});
  }
  return files;
}

result<void> checkpoint_archive::upload_files(const fs::path& folder,
                                              const std::vector<file>& files,
                                              uploaded& sums) {
  const auto stored = store_->list(std::string(objects));
  if (!stored) return stored.error();
  std::map<std::string, std::uint64_t> sizes;
  for (const auto& entry : *stored) sizes[entry.name] = entry.bytes;
  for (const auto& one : files) {
    if (auto stop = stop_asked(); !stop) return stop;
    const std::string name = object_name(one.sha256);
    const auto found = sizes.find(name);
    if (found != sizes.end() && found->second == one.bytes) {
      ++sums.files_reused;
      sums.bytes_reused += one.bytes;
      continue;
    }
    if (auto put = store_->put_file(name, folder / one.path, one.sha256); !put)
      return in_context("file '" + one.path + "'", put.error());
    sizes[name] = one.bytes;
    ++sums.files_uploaded;
    sums.bytes_uploaded += one.bytes;
  }
  return {};
}

result<checkpoint_archive::uploaded> checkpoint_archive::upload(const fs::path& folder,
                                                                archived_checkpoint about) {
  CHECK(!about.job.empty());
  const auto before = ids();
  if (!before) return before.error();
  std::uint64_t newest_ms = 0;
  if (!before->empty()) {
    if (job_part(before->front()) != job_part(checkpoint_id(0, about.job))) {
      return error{errc::wrong_job,
                   store_->uri() + " holds checkpoint " + before->front() + ", not of job '" +
                       about.job + "': give each job a prefix of its own"};
    }
    newest_ms = checkpoint_time_ms(before->front()).value_or(0);
  }
  // Later than the newest one even where the clock went back, so that order by id is order by age.
  about.written_ms = std::max(time_.now_ms(), newest_ms + 1);
  about.id = checkpoint_id(about.written_ms, about.job);
  auto files = hashed_files(folder);
  if (!files) return files.error();
  about.files = std::move(*files);
  uploaded sums;
  sums.id = about.id;
  if (auto put = upload_files(folder, about.files, sums); !put) return put.error();
  if (auto put = store_->put(manifest_name(about.id), format_archived(about)); !put)
    return put.error();
  hashes_.forget_unused();
  // Without the cache's file the next process reads all files once: no reason to fail.
  if (!how_.hash_cache.empty()) (void)hashes_.save(how_.hash_cache);
  return sums;
}

result<std::vector<std::string>> checkpoint_archive::ids() {
  const auto stored = store_->list(std::string(manifests));
  if (!stored) return stored.error();
  std::vector<std::string> found;
  for (const auto& entry : *stored) {
    std::string id = entry.name.substr(manifests.size());
    const bool ends = id.ends_with(manifest_ending);
    if (ends) id.resize(id.size() - manifest_ending.size());
    if (!ends || !checkpoint_time_ms(id)) {
      return error{errc::bad_input,
                   "'" + entry.name + "' of " + store_->uri() +
                       " is not named as a checkpoint: move it elsewhere"};
    }
    found.push_back(std::move(id));
  }
  std::sort(found.rbegin(), found.rend());
  return found;
}

result<archived_checkpoint> checkpoint_archive::read(const std::string& id) {
  const std::string name = manifest_name(id);
  const std::string origin = store_->uri() + "/" + name;
  const auto bytes = store_->get(name);
  if (!bytes) return bytes.error();
  auto checkpoint = parse_archived(
      std::string_view(reinterpret_cast<const char*>(bytes->data()), bytes->size()), origin);
  if (checkpoint && checkpoint->id != id) {
    return error{errc::corrupt,
                 "'" + origin + "' says that it is checkpoint '" + checkpoint->id +
                     "': it was renamed or replaced; restore another checkpoint"};
  }
  return checkpoint;
}

result<checkpoint_archive::listing> checkpoint_archive::list() {
  const auto all = ids();
  if (!all) return all.error();
  listing found;
  for (const auto& id : *all) {
    auto checkpoint = read(id);
    if (checkpoint) {
      found.checkpoints.push_back(std::move(*checkpoint));
    } else if (const auto code = checkpoint.error().code;
               code == errc::corrupt || code == errc::bad_protocol || code == errc::too_large) {
      found.damaged.push_back(checkpoint.error());
    } else {
      return checkpoint.error();
    }
  }
  return found;
}

result<void> checkpoint_archive::download_file(const archived_checkpoint& from,
                                               const file& wanted,
                                               const fs::path& folder) {
  const std::string what = "checkpoint " + from.id + ", file '" + wanted.path + "'";
  const fs::path path = folder / wanted.path;
  const auto there = already_there(path, wanted);
  if (!there) return there.error();
  if (*there) return {};
  if (auto made = make_folder(path.parent_path()); !made) return made;
  const auto sha256 = store_->get_to(object_name(wanted.sha256), path);
  if (!sha256) return in_context(what, sha256.error());
  if (*sha256 == wanted.sha256) return {};
  std::error_code ignored;
  fs::remove(path, ignored);
  return error{errc::corrupt,
               what + ": the object of its name has the hash " + *sha256 + ", not " +
                   wanted.sha256 + "; restore another checkpoint"};
}

result<archived_checkpoint> checkpoint_archive::download(const std::string& id,
                                                         const fs::path& folder) {
  auto checkpoint = read(id);
  if (!checkpoint) return checkpoint;
  if (auto good = check_target(folder, *checkpoint); !good) return good.error();
  for (const auto& one : checkpoint->files) {
    if (auto stop = stop_asked(); !stop) return stop.error();
    if (auto got = download_file(*checkpoint, one, folder); !got) return got.error();
  }
  return checkpoint;
}

result<checkpoint_archive::retained> checkpoint_archive::retain(std::size_t keep_newest,
                                                                std::uint64_t keep_for_ms) {
  const auto all = ids();
  if (!all) return all.error();
  if (auto one = check_one_job(*all, store_->uri()); !one) return one.error();
  const std::uint64_t now = time_.now_ms();
  std::set<std::string> referenced;
  std::vector<std::string> old;
  retained sums;
  for (std::size_t i = 0; i < all->size(); ++i) {
    const auto& id = (*all)[i];
    const std::uint64_t written = checkpoint_time_ms(id).value_or(0);
    const bool young = written > now || now - written < keep_for_ms;
    if (i >= std::max<std::size_t>(keep_newest, 1) && !young) {
      old.push_back(id);
      continue;
    }
    const auto kept = read(id);
    if (!kept) return in_context("nothing was removed", kept.error());
    for (const auto& one : kept->files) referenced.insert(object_name(one.sha256));
    ++sums.checkpoints_kept;
  }
  // The oldest first: killed at any moment, what is left is the newest.
  for (auto id = old.rbegin(); id != old.rend(); ++id) {
    if (auto removed = store_->remove(manifest_name(*id)); !removed) return removed.error();
    ++sums.checkpoints_removed;
  }
  if (auto swept = remove_unreferenced(referenced, sums); !swept) return swept.error();
  return sums;
}

result<void> checkpoint_archive::remove_unreferenced(const std::set<std::string>& referenced,
                                                     retained& sums) {
  const auto stored = store_->list(std::string(objects));
  if (!stored) return stored.error();
  for (const auto& entry : *stored) {
    if (referenced.contains(entry.name)) continue;
    if (auto removed = store_->remove(entry.name); !removed) return removed;
    ++sums.objects_removed;
    sums.bytes_removed += entry.bytes;
  }
  return {};
}

}  // namespace headrace::storage
