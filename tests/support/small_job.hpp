#pragma once

#include "tests/support/child_process.hpp"

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

namespace headrace::tests {

/// A job of a few thousand generated events. `arch` "count" adds whole numbers only, so that sums
/// are exact and two runs that learned the same events have the same weights in any order.
struct small_job {
  std::string name = "counts";
  std::string arch = "count";
  std::uint64_t rows = 24'000;
  std::chrono::seconds duration{10};  // of the stream; `calm_run` ignores it
  std::string log = "os";
  std::string flush_interval = "300ms";
  std::string events;  // a CSV file of `write_zipf_events` in place of the generated stream
  std::string train;   // further lines of [train]
  std::string more;    // further lines of TOML at the end

  /// Writes the job file and returns its path.
  std::string write(const temporary_folder& folder) const;
};

/// Writes `rows` events of four ids, each Zipf over 1,000: all of them are met soon, so that tables
/// stop growing.
void write_zipf_events(const std::string& file, std::uint64_t rows, std::uint64_t seed);

/// The whole source at full speed in one process that nothing happens to.
finished calm_run(const std::string& job, const std::string& state);

/// `headrace worker` against `endpoint`.
std::vector<std::string> worker_command(const std::string& job,
                                        const std::string& state,
                                        const std::string& endpoint);

/// Output of `inspect digest` for a state folder nobody runs on; empty when it found anything
/// wrong, a gap or a duplicate in a log, or tables that differ from a replay (`why` says what).
std::string audited(const std::string& state, std::string& why);

/// Records that the rows on disk hold by the state folder's CHECKPOINT, over all shards; 0 while
/// there is none.
std::uint64_t records_in_rows(const std::string& state);

/// `small` on every run, `large` where HEADRACE_HEAVY is set (CI).
int by_weight(int small, int large);

}  // namespace headrace::tests
