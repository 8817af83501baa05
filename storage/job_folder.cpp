#include "storage/job_folder.hpp"

#include "base/parse_number.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <fcntl.h>
#include <optional>
#include <span>
#include <string_view>
#include <sys/file.h>
#include <system_error>
#include <unistd.h>

namespace headrace::storage {
namespace {

constexpr std::string_view first_line = "# State of a headrace job. Written once; do not edit.";
constexpr std::string_view manifest_name = "JOB";

std::string_view name_of(job_role role) {
  if (role == job_role::ingest) return "ingest";
  return role == job_role::server ? "server" : "worker";
}

std::string hex(std::uint64_t number) {
  std::string digits(16, '0');
  for (std::size_t i = 0; i < digits.size(); ++i)
    digits[i] = "0123456789abcdef"[(number >> (60 - 4 * i)) & 15];
  return digits;
}

std::string manifest_text(const job_identity& job) {
  return std::string(first_line) + "\nformat " + std::to_string(job_folder_format_version) +
         "\njob " + job.name + "\nfingerprint " + hex(job.fingerprint) + "\n";
}

// The rest of the next line of `text` behind `word` and a space.
std::optional<std::string_view> field(std::string_view& text, std::string_view word) {
  const auto end = text.find('\n');
  if (end == std::string_view::npos) return std::nullopt;
  std::string_view line = text.substr(0, end);
  text.remove_prefix(end + 1);
  if (!line.starts_with(word)) return std::nullopt;
  line.remove_prefix(word.size());
  return line;
}

result<job_identity> parse_manifest(std::string_view text, const std::filesystem::path& path) {
  const error damaged{
      errc::corrupt,
      "'" + path.string() + "' is damaged; restore it, or take another state folder (--state)"};
  if (!field(text, first_line)) return damaged;
  const auto format = field(text, "format ");
  if (!format) return damaged;
  if (*format != std::to_string(job_folder_format_version)) {
    return error{errc::corrupt,
                 "'" + path.string() + "' has format " + std::string(*format) +
                     ", this headrace reads " + std::to_string(job_folder_format_version) +
                     ": use the headrace that wrote it"};
  }
  const auto name = field(text, "job ");
  const auto print = field(text, "fingerprint ");
  if (!name || !print || !text.empty() || print->size() != 16) return damaged;
  const auto fingerprint = parse_hex<std::uint64_t>(*print);
  if (!fingerprint) return damaged;
  return job_identity{std::string(*name), *fingerprint};
}

// A folder that is neither ours nor empty is somebody's: nothing is put in it.
result<void> check_is_ours_or_empty(const std::filesystem::path& root) {
  std::error_code failure;
  if (std::filesystem::exists(root / manifest_name, failure)) return {};
  for (std::filesystem::directory_iterator at(root, failure), end; !failure && at != end;
       at.increment(failure)) {
    const std::string name = at->path().filename().string();
    if (name.starts_with("LOCK.") || name.starts_with(manifest_name)) continue;
    return error{errc::wrong_job,
                 "'" + root.string() + "' is not a headrace state folder and not empty ('" + name +
                     "'); give --state an empty or new folder"};
  }
  if (failure) return file_error("list", root, failure.value());
  return {};
}

std::string holder(const file_handle& lock, const std::filesystem::path& path) {
  std::array<std::byte, 32> text{};
  const auto got = read_at(lock, path, text, 0);
  std::string digits;
  for (std::size_t i = 0; got && i < *got; ++i) {
    const char c = static_cast<char>(text[i]);
    if (c < '0' || c > '9') break;
    digits += c;
  }
  return digits.empty() ? "another process" : "process " + digits;
}

result<file_handle> take_lock(const std::filesystem::path& root, job_role role) {
  const std::filesystem::path path = root / ("LOCK." + std::string(name_of(role)));
  auto lock = open_file(path, O_RDWR | O_CREAT);
  if (!lock) return lock;
  if (::flock(lock->get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return file_error("lock", path, errno);
    const std::string who = holder(*lock, path);
    return error{errc::in_use,
                 "state folder '" + root.string() + "' is in use by " + who + " as " +
                     std::string(name_of(role)) +
                     "; stop it first or take another folder (--state)"};
  }
  std::string pid = std::to_string(::getpid()) + "\n";
  ::iovec piece{pid.data(), pid.size()};
  // Only for the message above: a full disk must not keep a job from starting.
  if (::ftruncate(lock->get(), 0) == 0)
    static_cast<void>(write_at(lock->get(), std::span(&piece, 1), 0));
  return lock;
}

// Server and worker may come at the same moment, even for two jobs: the first link(2) wins.
result<void> write_manifest_once(const std::filesystem::path& path, const job_identity& job) {
  const std::filesystem::path mine = path.string() + "." + std::to_string(::getpid());
  if (auto written = replace_file(mine, manifest_text(job)); !written) return written;
  const int code = ::link(mine.c_str(), path.c_str()) == 0 ? 0 : errno;
  ::unlink(mine.c_str());
  if (code != 0 && code != EEXIST) return file_error("write", path, code);
  return sync_folder(path.parent_path());
}

result<job_identity> read_manifest(const std::filesystem::path& path) {
  const auto text = read_text(path);
  if (!text) return text.error();
  return parse_manifest(*text, path);
}

// Bytes that don't suit a file name as %XX.
std::string file_name_of(const std::string& source) {
  std::string name;
  for (const char c : source) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '_' || c == '-' || c == '#' || (c == '.' && !name.empty());
    if (plain) {
      name += c;
    } else {
      const auto code = static_cast<unsigned char>(c);
      name += '%';
      name += "0123456789abcdef"[code >> 4];
      name += "0123456789abcdef"[code & 15];
    }
  }
  return name.empty() ? "%" : name;
}

}  // namespace

result<std::unique_ptr<job_folder>> job_folder::open(const std::filesystem::path& root,
                                                     const job_identity& job,
                                                     job_role role) {
  if (job.name.find('\n') != std::string::npos)
    return error{errc::bad_config, "a job's name must be one line"};
  if (auto made = make_folder(root); !made) return made.error();
  if (auto ours = check_is_ours_or_empty(root); !ours) return ours.error();
  auto lock = take_lock(root, role);
  if (!lock) return lock.error();
  const std::filesystem::path manifest = root / manifest_name;
  auto found = read_manifest(manifest);
  if (!found && found.error().code == errc::not_found) {
    if (auto written = write_manifest_once(manifest, job); !written) return written.error();
    found = read_manifest(manifest);
  }
  if (!found) return found.error();
  if (*found != job) {
    const bool same_name = found->name == job.name;
    return error{errc::wrong_job,
                 "state folder '" + root.string() + "' belongs to job '" + found->name +
                     "' (fingerprint " + hex(found->fingerprint) + "), " +
                     (same_name ? "whose tables, model or shards were different"
                                : "not to '" + job.name + "'") +
                     " (now " + hex(job.fingerprint) +
                     "); give back its job file or take another folder (--state)"};
  }
  for (const char* part : {"log", "samples", "worker"}) {
    if (auto made = make_folder(root / part); !made) return made.error();
  }
  std::unique_ptr<job_folder> opened(new job_folder(root, *found));
  opened->lock_ = std::move(*lock);
  return opened;
}

result<std::unique_ptr<job_folder>> job_folder::open_read_only(const std::filesystem::path& root) {
  const auto found = read_manifest(root / manifest_name);
  if (!found && found.error().code == errc::not_found) {
    return error{errc::not_found,
                 "'" + root.string() + "' is not a headrace state folder (it has no file JOB)"};
  }
  if (!found) return found.error();
  return std::unique_ptr<job_folder>(new job_folder(root, *found));
}

std::filesystem::path job_folder::shard_log(shard_id shard) const {
  const std::string digits = std::to_string(shard.value);
  return root_ / "log" /
         ("shard-" + std::string(digits.size() < 4 ? 4 - digits.size() : 0, '0') + digits);
}

std::filesystem::path job_folder::sample_log(const std::string& source) const {
  return root_ / "samples" / file_name_of(source);
}

std::filesystem::path job_folder::event_log(const std::string& source) const {
  return root_ / "events" / file_name_of(source);
}

}  // namespace headrace::storage
