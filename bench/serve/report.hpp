#pragma once

#include "bench/serve/http_load.hpp"
#include "bench/serve/options.hpp"
#include "bench/serve/times.hpp"

#include <string>

namespace headrace::bench {

/// What must hold of predictions (issue 7).
constexpr double predict_p50_ms_max = 1.5;
constexpr double predict_p99_ms_max = 6;
constexpr double lookup_p99_ms_max = 2;
constexpr double freshness_p50_seconds_max = 0.120;
constexpr double freshness_p99_seconds_max = 0.300;

struct serve_points {
  http_figures predict;  // at the rate
  http_figures lookup;   // at the rate
  http_figures bare;     // at the rate: answers of the same bytes, and nothing behind them
  http_figures most;     // predictions, as fast as they are answered
  http_figures bare_most;
  std::uint64_t rows = 0;         // of the replica
  std::size_t request_bytes = 0;  // of a prediction's body
  std::string weight;
};
bool is_within_limits(const serve_points& points);
bool is_within_limits(const freshness_figures& figures);

/// One JSON object.
std::string to_json(const serve_options& options, const serve_points& points);
std::string to_json(const freshness_options& options,
                    const freshness_figures& figures,
                    const std::string& weight);
/// The same for people.
std::string to_table(const serve_options& options, const serve_points& points);
std::string to_table(const freshness_options& options, const freshness_figures& figures);

}  // namespace headrace::bench
