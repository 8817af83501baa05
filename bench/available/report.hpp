#pragma once

#include "bench/available/options.hpp"
#include "bench/available/times.hpp"

#include <string>
#include <vector>

namespace headrace::bench {

/// Rounds of both jobs.
struct available_points {
  std::vector<available_round> labelled;
  std::vector<available_round> joined;
  double event_bytes_labelled = 0;
  double event_bytes_joined = 0;
  std::string weight;  // what came of raising the scheduler weight
};

/// What must hold of both jobs: p99 from the intake to the worker, median of the rounds.
constexpr double available_ms_max = 50;
bool is_within_limit(const available_points& points);

/// One JSON object a job, a line each; medians over the rounds, the maximum over all of them.
std::string to_json(const available_options& options, const available_points& points);
/// The same for people.
std::string to_table(const available_options& options, const available_points& points);

}  // namespace headrace::bench
