#include "storage/log_follower.hpp"

#include "storage/file_io.hpp"
#include "storage/segment_cursor.hpp"

#include <algorithm>
#include <fcntl.h>
#include <optional>
#include <utility>
#include <vector>

namespace headrace::storage {
namespace {

constexpr int tries_max = 8;  // while retention removes files, or a writer cuts off its last write

// A file may go between the listing and its opening.
result<segment_files> open_files(const std::filesystem::path& folder) {
  segment_files::options how;
  how.folder = folder;
  how.read_only = true;
  how.check = segment_check::newest;
  auto files = segment_files::open(how);
  for (int i = 1; i < tries_max && !files && std::filesystem::exists(folder); ++i)
    files = segment_files::open(how);
  return files;
}

}  // namespace

result<log_follower> log_follower::open(std::filesystem::path folder, lsn from) {
  log_follower made(std::move(folder), std::max(from, lsn{1}));
  if (auto located = made.locate(); !located) return located.error();
  return made;
}

result<void> log_follower::locate() {
  auto files = open_files(folder_);
  if (!files) return files.error();
  const auto extent = files->extent();
  if (found_.last == lsn{}) found_ = extent;
  at_ = {};
  if (extent.first == lsn{}) return {};
  // A writer that cut its end off goes on there.
  next_ = std::max(next_, extent.first);
  at_ = files->stretches(std::min(next_, extent.last)).front();
  return {};
}

result<void> log_follower::read(const ordered_log::visitor& visit) {
  for (int lost = 0;;) {
    if (at_.path.empty()) {
      if (auto located = locate(); !located) return located;
      if (at_.path.empty()) return {};
    }
    const lsn before = next_;
    auto made = read_file(visit);
    if (made && *made == step::done) return {};
    if (made && *made == step::again) continue;
    lost = before == next_ ? lost + 1 : 1;
    if (lost == tries_max) {
      if (!made) return made.error();
      return error{errc::io_error, "'" + at_.path.string() + "' changes while it is read"};
    }
    at_ = {};
  }
}

// `lost`, or a failure that another look may not have: it is to be located anew.
result<log_follower::step> log_follower::read_file(const ordered_log::visitor& visit) {
  auto file = open_file(at_.path, O_RDONLY);
  if (!file && file.error().code == errc::not_found) return step::lost;
  if (!file) return file.error();
  const auto size = file_size(*file, at_.path);
  if (!size) return size.error();
  if (*size < at_.offset) return step::lost;
  auto cursor = segment_cursor::open(at_.path, at_.offset, *size, at_.next, at_.chain);
  if (!cursor && cursor.error().code == errc::not_found) return step::lost;
  if (!cursor) return cursor.error();
  log_record record;
  while (true) {
    const auto found = cursor->next(record);
    if (!found) return found.error();
    if (*found != segment_cursor::found::record) return next_file();
    at_.offset = cursor->offset();
    at_.chain = cursor->chain();
    at_.next = lsn{record.lsn.value + 1};
    if (record.lsn < next_) continue;
    next_ = at_.next;
    if (!visit(record)) return step::done;
  }
}

// The newest file is as far as it goes; an older one has one behind it.
result<log_follower::step> log_follower::next_file() {
  const auto path = folder_ / segment_name(at_.next);
  if (path == at_.path) return step::done;
  auto file = open_file(path, O_RDONLY);
  if (!file && file.error().code == errc::not_found) return step::done;
  if (!file) return file.error();
  header_bytes bytes{};
  const auto got = read_at(*file, path, bytes, 0);
  if (!got) return got.error();
  if (*got < bytes.size()) return step::done;  // it is being begun
  const auto header = decode_segment_header(bytes);
  if (!header) return log_damage(path, 0, at_.next, header.error().detail);
  if (header->first != at_.next || header->prev_hash != at_.chain)
    return log_damage(path, 0, at_.next, "it does not follow the file before it (prev_hash)");
  at_.path = path;
  at_.offset = segment_header_bytes;
  return step::again;
}

result<lsn> first_record_at(const std::filesystem::path& folder, std::uint64_t ms) {
  const auto files = open_files(folder);
  if (!files) return files.error();
  // Stamps never decrease: the file to look in is the last that begins before `ms`.
  const auto all = files->stretches(lsn{1});
  std::optional<error> failed;
  const auto begins_before = [&](const segment_files::stretch& one) {
    std::uint64_t stamp_ms = 0;
    auto read = segment_files::read(one, one.next, [&](const log_record& record) {
      stamp_ms = record.stamp_ms;
      return false;
    });
    if (!read) failed = read.error();
    return stamp_ms < ms;
  };
  auto file = std::partition_point(all.begin(), all.end(), begins_before);
  if (failed) return *failed;
  if (file != all.begin()) --file;
  lsn first{files->last().value + 1};
  for (; file != all.end(); ++file) {
    const auto more = segment_files::read(*file, file->next, [&](const log_record& record) {
      if (record.stamp_ms < ms) return true;
      first = record.lsn;
      return false;
    });
    if (!more) return more.error();
    if (!*more) break;
  }
  return first;
}

}  // namespace headrace::storage
