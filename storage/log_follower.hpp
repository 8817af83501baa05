#pragma once

#include "base/ids.hpp"
#include "base/result.hpp"
#include "storage/ordered_log.hpp"
#include "storage/segment_files.hpp"

#include <cstdint>
#include <filesystem>

namespace headrace::storage {

/// Reads a segment log in order while another process writes it, and changes nothing.
///
///     auto log = log_follower::open(folder, lsn{1});
///     while (…) log->read([](const log_record& record) { …; return true; });  // what is new
///
/// It sees what lies in the files: in mode `none` that is behind what the writer was told; else a
/// record may be seen before it is acknowledged, and one that was refused and cut off again may
/// have been seen too. Each position is visited once. Records that retention took before they were
/// read are passed over. Reading costs what is new: older files are opened once. One thread.
class log_follower {
 public:
  /// In front of record `from`, or of the oldest that is kept behind it. Fails: not_found (no such
  /// folder), corrupt, io_error.
  static result<log_follower> open(std::filesystem::path folder, lsn from);

  /// Visits the whole records from `position` on; return false to stop behind one. Fails: corrupt,
  /// io_error.
  result<void> read(const ordered_log::visitor& visit);
  /// Of the record to be visited next, as far as known.
  lsn position() const { return next_; }
  /// What the log held when this was opened.
  const ordered_log::extent& found() const { return found_; }

 private:
  log_follower(std::filesystem::path folder, lsn from) : folder_(std::move(folder)), next_(from) {}
  enum class step : std::uint8_t { done, again, lost };
  result<void> locate();
  result<step> read_file(const ordered_log::visitor& visit);
  result<step> next_file();

  std::filesystem::path folder_;
  lsn next_;
  ordered_log::extent found_;
  segment_files::stretch at_;  // where to read; no path: nothing is there yet
};

/// The first record that was stamped at `ms` or later; the one behind the last where none was.
/// Fails as log_follower does.
result<lsn> first_record_at(const std::filesystem::path& folder, std::uint64_t ms);

}  // namespace headrace::storage
