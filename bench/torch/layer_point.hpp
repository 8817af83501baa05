#pragma once

#include "base/json_line.hpp"
#include "bench/torch/layer.hpp"

#include <string>
#include <utility>
#include <vector>

namespace headrace::bench {

/// PyTorch with so many threads: seconds of a step, the median of each round.
struct peer_times {
  unsigned threads = 1;
  std::vector<double> seconds = {};
};

/// What was found of a layer beside PyTorch, the better one of each round.
struct layer_point {
  layer_case what;
  unsigned threads = 1;             // of ours
  std::vector<double> ours;         // seconds of a step, the median of each round
  std::vector<double> limit = {};   // the same of the limit; empty: the case names none
  std::vector<peer_times> pytorch;  // empty: it was not there
  std::string peer;                 // its version, or why it was not there
  double gemm_flops = 0;            // a second, of our products with as many threads: the limit
  double pytorch_gemm_flops = 0;
  /// By output: ‖ours − PyTorch's‖ / ‖PyTorch's‖.
  std::vector<std::pair<std::string, double>> differences = {};
};

/// The least of each round.
std::vector<double> best_of(const std::vector<peer_times>& peers);

/// Which run this was.
struct run_facts {
  std::string weight;  // what came of raising the scheduler weight
  std::string command;
};

/// Machine, load, commit and run at the end of a line.
void add_facts(json_line& line, const run_facts& run);
/// Median of `values` times `factor`, and its extremes under `key`_spread, at four digits.
void add_spread(json_line& line, std::string_view key, std::vector<double> values);

/// One JSON object on one line.
std::string to_json(const layer_point& point, const run_facts& run);
/// The same for people.
std::string to_table(const layer_point& point);
/// One line: cores, processor, load and weight.
std::string to_table(const run_facts& run);

}  // namespace headrace::bench
