#pragma once

#include "base/result.hpp"
#include "cli/job/job_file.hpp"
#include "cli/state_versions.hpp"
#include "worker/metrics/ranking_metrics.hpp"
#include "worker/metrics/windowed_metrics.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace headrace::cli {

/// What is asked of a version of a state.
struct eval_order {
  worker::source_spec source;     // of the events to score
  std::uint64_t from = 0;         // the first record of the source
  std::uint64_t to = UINT64_MAX;  // and the one behind the last
  std::uint64_t window = 10'000;  // samples; 0 = none
  struct ranking {
    std::string feature;        // whose values are ranked; empty: what comes next in a list
    std::string by;             // leave-one-out by this one; empty: every row with label 1
    std::size_t held_out = 1;   // of what comes next: which id of a list, counted from its end
    std::size_t cases_max = 0;  // 0: 1,000; all of what comes next
    std::vector<std::size_t> cutoffs;
  };
  std::optional<ranking> rank;
  std::function<bool()> stopped;  // asked now and then; true ends it with `cancelled`
};

/// How well it predicts events that it does not learn from.
struct evaluation {
  std::string version;
  std::uint64_t pushes = 0;
  std::uint64_t rows = 0;
  std::uint64_t bad_rows = 0;
  struct head {
    std::string name;
    worker::windowed_metrics::figures all;
    std::vector<worker::windowed_metrics::figures> windows;
  };
  std::vector<head> heads;  // of the model, at least one
  std::size_t candidates = 0;
  std::optional<worker::ranking_metrics> ranking;
};

/// Checks what can be known before a state is read. Fails: bad_config in one line.
result<void> check_order(const job& described, const eval_order& order);

/// Reads the source from `from` to `to` and scores each event with the version's rows. Fails: as
/// the source, bad_input (no event there), cancelled.
result<evaluation> evaluate(const job& described,
                            const state_version& version,
                            const eval_order& order);

}  // namespace headrace::cli
