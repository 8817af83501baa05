#pragma once

#include "base/result.hpp"
#include "schemas/push.hpp"
#include "storage/ordered_log.hpp"
#include "storage/segment_files.hpp"

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace headrace::storage {

/// The log as segment files in one folder.
///
/// What `committed` means, by mode:
///  - `none`: in memory; written in pieces of about 4 MiB. A killed process loses the last piece.
///  - `os`: write(2) returned before `done` ran, inside `append`. Survives kill -9, not a power
///  cut.
///  - `fsync`: written and fdatasync returned, by a thread of the log's own, which takes what has
///  come meanwhile
///    (at most `group_appends_max` appends) as one group. `done` runs on that thread. A failed
///    fdatasync ends the process: what the disk holds is then unknown, and asking again is answered
///    wrongly by kernels.
///
/// A write that fails (disk full, file size limit, I/O error) is cut off again and answered
/// `refused`; every append that was made behind it is refused too, and the log accepts again as
/// soon as a write succeeds. If it can't be cut off, the answer is `unknown`, and everything after
/// it is refused: open the log anew.
///
/// Opening checks every record (`check`). A record that the end of the last file cuts short is a
/// torn tail, which is normal after a crash, and is cut off. Anything else is damage: `corrupt`,
/// naming file, offset and the way out.
///
/// Thread: one owner, as ordered_log says; `read_from`, `truncate_before` and `last` may be called
/// by others meanwhile, until `close`. The visitor of `read_from` must not call the log.
/// Locking the folder against other processes is storage/job_folder.hpp's business.
class segment_log final : public ordered_log {
 public:
  struct options {
    std::filesystem::path folder;  // created if absent
    schemas::log_mode mode = schemas::log_mode::fsync;
    std::uint64_t segment_bytes = std::uint64_t{64}
                                  << 20;  // a new file is begun before this is exceeded
    /// Changes nothing on disk, not even a torn tail, and sees what was there when it was opened.
    /// For `inspect`.
    bool read_only = false;
    /// Rows hold everything through this position. A log that ends earlier (a power cut in mode
    /// `os`) is begun anew behind it, since nothing in it is needed; 0 = never.
    lsn continue_after;
    segment_check check = segment_check::everything;
    std::size_t group_appends_max = 64;               // design §5
    std::size_t buffer_bytes = std::size_t{4} << 20;  // mode `none`: size of a piece
    std::size_t queue_bytes_max = std::size_t{256}
                                  << 20;      // mode `fsync`: more is refused as `overloaded`
    std::function<int(int descriptor)> sync;  // for tests; empty = fdatasync
    std::function<int(int descriptor, std::uint64_t bytes)> cut;  // for tests; empty = ftruncate
  };

  /// Fails: corrupt, io_error, disk_full, not_found (read_only and no such folder).
  static result<std::unique_ptr<segment_log>> open(options how);
  ~segment_log() override;

  void append(std::span<const log_record> group, lsn expected, on_outcome done) override;
  result<void> read_from(lsn from, const visitor& visit) override;
  result<void> truncate_before(lsn keep_from) override;
  extent last() const override;
  result<void> close() override;

  /// Bytes in segment files.
  std::uint64_t bytes() const;
  /// Bytes of a torn tail found when this log was opened; cut off unless `read_only`.
  std::uint64_t torn_bytes() const { return torn_bytes_; }

 private:
  struct queued {
    std::vector<log_record> group;
    headrace::lsn expected;
    on_outcome done;
    std::uint64_t bytes = 0;
    bool over_limit = false;
  };
  segment_log(options how, segment_files files);
  append_outcome write(std::span<const log_record> group, lsn expected);
  append_outcome write_buffered();
  append_outcome buffer(std::span<const log_record> group);
  void enqueue(std::span<const log_record> group, lsn expected, on_outcome done);
  void commit_groups();
  void settle(std::vector<queued> group);
  append_outcome write_queued(const queued& one);
  std::size_t run_length(std::span<const queued> rest) const;
  bool write_run(std::span<const queued> run, std::vector<append_outcome>& outcomes);
  lsn tail() const;
  void publish();

  options options_;
  std::uint64_t torn_bytes_ = 0;
  // Held while files are removed: a later one must not go before an earlier one.
  std::mutex removal_mutex_;
  // `files_mutex_` guards the files and what is buffered: in mode `fsync` two threads come here,
  // else one.
  mutable std::mutex files_mutex_;
  segment_files files_;
  std::vector<log_record> buffered_;  // mode `none`
  std::uint64_t buffered_bytes_ = 0;
  append_outcome refusal_;  // the newest failure: told to what rode on it
  bool failed_ = false;     // an outcome was unknown
  // `queue_mutex_` guards what owner and log thread hand over; never held during I/O.
  mutable std::mutex queue_mutex_;
  std::condition_variable work_;
  std::deque<queued> queue_;
  std::uint64_t queue_bytes_ = 0;
  extent extent_;
  bool stopping_ = false;
  bool closed_ = false;
  std::thread thread_;
};

}  // namespace headrace::storage
