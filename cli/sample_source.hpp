#pragma once

#include "base/clock.hpp"
#include "base/result.hpp"
#include "cli/job/job_file.hpp"
#include "cli/live_stream.hpp"
#include "storage/job_folder.hpp"
#include "storage/ordered_log.hpp"
#include "worker/batch/sealed_stream.hpp"
#include "worker/ingest/event_source.hpp"

#include <cstdint>
#include <functional>
#include <memory>

namespace headrace::cli {

/// What makes samples of a job's events: features, labels, join, passes. Two jobs with one number
/// make the same samples of the same events.
std::uint64_t made_by(const job& job);

/// The front half of a job in this process: its source, live or not, sealed into the sample log of
/// the state folder.
class sample_source {
 public:
  /// Opens the source where an earlier run ended; nothing comes in yet. Fails: corrupt, in_use,
  /// not_found, bad_config, bad_input, disk_full, io_error.
  static result<sample_source> open(const job& job,
                                    const storage::job_folder& folder,
                                    const clock& time);

  std::uint64_t records() const { return records_; }
  /// Of a job whose events come live; else null. Outlives the stream.
  std::unique_ptr<live_stream> take_live() { return std::move(live_); }
  /// Seals into `log`, from the batch `first` on; once. `covered`: see sample_retention; empty: as
  /// the server beside it in the folder says. Fails: as sealed_stream::open, sample_retention_of.
  result<std::unique_ptr<worker::sealed_stream>> seal(
      std::unique_ptr<storage::ordered_log> log,
      batch_number first,
      const std::function<batch_number()>& covered = nullptr);

 private:
  sample_source(const job& described, const storage::job_folder& folder, const clock& time)
      : job_(&described), folder_(&folder), time_(&time) {}
  result<std::unique_ptr<worker::event_source>> open_events();

  const job* job_;
  const storage::job_folder* folder_;
  const clock* time_;
  std::unique_ptr<live_stream> live_;
  std::unique_ptr<worker::event_source> source_;
  std::uint64_t records_ = 0;
  std::uint64_t pass_records_ = 0;  // between two halts; 0: none
};

}  // namespace headrace::cli
