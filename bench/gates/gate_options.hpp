#pragma once

#include "base/result.hpp"
#include "bench/gates/gate_report.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace headrace::bench {

/// What the benches of the gates were asked for; each reads what applies to it (cli/verb_bench.cpp
/// says which flags those are, and with which defaults).
struct gate_options {
  std::filesystem::path dir = std::filesystem::temp_directory_path();  // of files, removed
  std::uint32_t rounds = 3;
  double seconds = 2;              // timed part of a point
  double sustained_seconds = 120;  // of `durable`
  std::uint64_t rows = 1'000'000;  // rows in the table
  std::uint64_t tail_rows = 2'000'000;
  std::uint32_t dim = 64;
  double share = 0.05;  // of the rows, in DRAM
  bool json = false;
  bool inside = false;  // hidden: this is the measuring process, `dir` is the run's own folder
  std::string command;  // hidden: as typed, for the result
};

/// Runs one bench of the gates: in a session of its own with a raised scheduler weight where that
/// is permitted, over a folder of its own below `options.dir`, which has at least `bytes` free, and
/// which is removed whatever happens. Prints the report. Returns the exit status: 0, 1 when it
/// failed (one line on standard error), 130 after a signal. A missed gate is no failure: it is
/// printed.
int run_gate_bench(const gate_options& options,
                   std::uintmax_t bytes,
                   const std::function<result<gate_report>(const gate_options&)>& measure,
                   const std::function<bool(std::chrono::milliseconds)>& stop);

// Each is explained beside its code, and in bench/baselines/README.md.
result<gate_report> measure_durable(const gate_options& options);
result<gate_report> measure_log(const gate_options& options);
result<gate_report> measure_inproc(const gate_options& options);
result<gate_report> measure_memory(const gate_options& options);
result<gate_report> measure_replay(const gate_options& options);
result<gate_report> measure_restart(const gate_options& options);
result<gate_report> measure_tier(const gate_options& options);

}  // namespace headrace::bench
