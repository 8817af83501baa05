#include "storage/file_hash_cache.hpp"

#include "storage/manifest_text.hpp"
#include "storage/partial_file.hpp"

#include <cerrno>
#include <sys/stat.h>
#include <time.h>

namespace headrace::storage {
namespace {

constexpr std::string_view title =
    "# Headrace: hashes of files of the last checkpoint. May be removed; files are then read "
    "again.\n";
constexpr std::uint64_t settled_ns = 2'000'000'000;

std::uint64_t nanoseconds(const ::timespec& time) {
  return static_cast<std::uint64_t>(time.tv_sec) * 1'000'000'000 +
         static_cast<std::uint64_t>(time.tv_nsec);
}

// Of the clock that stamps files.
std::uint64_t now_ns() {
  ::timespec now{};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return nanoseconds(now);
}

}  // namespace

result<file_hash_cache::hashed> file_hash_cache::hash(const std::filesystem::path& path) {
  struct ::stat about {};
  if (::lstat(path.c_str(), &about) != 0) return file_error("look at", path, errno);
  if (!S_ISREG(about.st_mode))
    return error{errc::bad_input, "'" + path.string() + "' is not a regular file"};
  const auto bytes = static_cast<std::uint64_t>(about.st_size);
  const std::uint64_t written = nanoseconds(about.st_mtim);
  const identity who{about.st_dev, about.st_ino, bytes, written};
  if (const auto found = files_.find(who); found != files_.end()) {
    found->second.used = true;
    return hashed{found->second.sha256, bytes, false};
  }
  const std::uint64_t before = now_ns();
  const auto sha256 = sha256_of_file(path);
  if (!sha256) return sha256.error();
  if (written + settled_ns < before) files_[who] = {*sha256, true};
  return hashed{*sha256, bytes, true};
}

void file_hash_cache::forget_unused() {
  std::erase_if(files_, [](const auto& entry) { return !entry.second.used; });
  for (auto& [who, what] : files_) what.used = false;
}

result<void> file_hash_cache::save(const std::filesystem::path& path) const {
  manifest_writer text(title);
  for (const auto& [who, what] : files_) {
    text.section("file");
    text.line("device", std::get<0>(who));
    text.line("inode", std::get<1>(who));
    text.line("bytes", std::get<2>(who));
    text.line("written_ns", std::get<3>(who));
    text.line("sha256", what.sha256);
  }
  return replace_file(path, text.finish());
}

file_hash_cache file_hash_cache::load(const std::filesystem::path& path) {
  file_hash_cache cache;
  const auto text = read_text(path);
  if (!text) return cache;
  const std::string origin = path.string();
  const auto body = checked_body(*text, origin, "");
  if (!body) return cache;
  manifest_reader read(*body, origin, "");
  read.skip(title);
  while (read.section("file")) {
    const auto device = read.number<std::uint64_t>("device");
    const auto inode = read.number<std::uint64_t>("inode");
    const auto bytes = read.number<std::uint64_t>("bytes");
    const auto written = read.number<std::uint64_t>("written_ns");
    cache.files_[identity{device, inode, bytes, written}] = {read.string("sha256"), false};
  }
  read.end();
  return read.failure() ? file_hash_cache() : cache;
}

}  // namespace headrace::storage
