#pragma once

#include "base/frame.hpp"
#include "base/ids.hpp"
#include "base/result.hpp"
#include "schemas/event.hpp"
#include "storage/log_follower.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace headrace::cli {

/// The event log of a live job, read without changing it, also beside the job: behind `tail` and
/// `replay`. One thread.
class event_log_view {
 public:
  /// One batch as it was taken. What it points to is valid during the visit.
  struct record {
    lsn position;
    std::uint64_t arrived_ms = 0;
    std::uint64_t passed_over = 0;  // records before it that retention had taken
    const schemas::event_batch* batch = nullptr;
    const frame* left_out = nullptr;  // see event_gate.hpp
    std::uint64_t log = 0;            // says which log it is
    /// Whether event i was taken into the log.
    bool has(std::size_t i) const;
    /// The event's own id, or for one without the same one each time it is read.
    std::string id_of(std::size_t i) const;
  };

  /// The log of `source` in a state folder; of the only one where the name is empty. Reading
  /// begins at the oldest record. Fails: not_found, bad_config (several sources), corrupt,
  /// io_error.
  static result<event_log_view> open(const std::filesystem::path& state, const std::string& source);

  /// The record that a flag names: by its number, or the first that arrived at a time or later,
  /// which reads as parse_moment says. Fails: bad_config, naming the flag; corrupt, io_error.
  result<lsn> point(const std::string& text, const char* flag, std::uint64_t now_ms) const;

  /// Where the newest `events` begin, `skip` events behind the beginning of record `from`.
  struct place {
    lsn from;
    std::uint64_t skip = 0;
  };
  /// Fails: corrupt, io_error.
  result<place> newest(std::uint64_t events) const;

  /// Goes to record `from`. Fails: corrupt, io_error.
  result<void> begin_at(lsn from);
  /// Returns false to stop. Records in which nothing came are left out.
  using visitor = std::function<result<bool>(const record&)>;
  /// Visits the records that are there now and were not visited yet. Fails: corrupt, io_error, and
  /// what `visit` fails with.
  result<void> read(const visitor& visit);
  /// The record that comes next.
  lsn position() const { return follower_.position(); }
  /// The last record when this was opened; 0 where there was none.
  lsn last() const { return last_; }

 private:
  event_log_view(std::filesystem::path folder, std::uint64_t log, storage::log_follower follower)
      : folder_(std::move(folder)),
        log_(log),
        follower_(std::move(follower)),
        last_(follower_.found().last) {}

  std::filesystem::path folder_;
  std::uint64_t log_ = 0;
  storage::log_follower follower_;
  lsn last_;
  lsn expected_{0};  // 0: anything
  schemas::event_batch batch_;
};

}  // namespace headrace::cli
