#pragma once

#include "actors/progress_board.hpp"
#include "cli/pass_figures.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace headrace::cli {

/// What a run ends with: the object of `--json`, the summary on the terminal and the head of the
/// report. Figures cover every run of the state folder, resumed ones included.
struct run_result {
  actors::progress figures;
  std::string job;
  std::string data;        // where the events came from
  std::string state;       // folder
  std::string report;      // file, empty when none was written
  std::string log_mode;    // none, os, fsync
  double freeze_at = 0.5;  // share of the stream
  double seconds = 0;      // of this run, first batch to last acknowledgement
  std::uint64_t samples_this_run = 0;
  std::uint64_t push_bytes_this_run = 0;
  bool paced = false;  // events came at the rate of `source.duration`
  bool interrupted = false;
  bool resumed = false;
  std::uint64_t rows = 0;            // in the shards' tables
  std::uint64_t table_bytes = 0;     // memory they hold, index included
  std::uint64_t memory_bytes = 0;    // resident, of this process
  std::vector<pass_figures> passes;  // that were validated, of a replayed job
  std::vector<std::string> notes;    // what a reader must know, one line each

  /// Of this run; nothing when it learned nothing.
  std::optional<double> samples_per_second() const;
  std::optional<double> push_bytes_per_sample() const;
  /// How full the experts of the model were, of their room, and how much of what was sent to them
  /// found none; nothing where it has no experts.
  std::optional<double> expert_utilisation() const;
  std::optional<double> expert_dropped_share() const;
};

/// One line of JSON; an unmeasured value is null and its reason is in `notes`.
std::string to_json(const run_result& result);
/// A few lines for people.
std::string to_summary(const run_result& result);
/// Resident memory of this process in bytes; 0 where /proc is not there.
std::uint64_t resident_bytes();

}  // namespace headrace::cli
