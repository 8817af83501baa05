#pragma once

#include "bench/rows64/summary.hpp"

#include <string>
#include <vector>

/// What a bench of the gates (design §12) found, in one form for all of them.
namespace headrace::bench {

/// What a gate bounds: the figure itself, its ratio to what stands beside it, or nothing.
enum class gate_kind { none, at_least, at_most, ratio_at_least, ratio_at_most };

/// One figure, what stands beside it, and the bound it must keep.
struct gate_point {
  std::string what;                 // "pull, fp32"
  std::string unit;                 // "rows/s", "s", "bytes"
  std::vector<double> ours = {};    // by round
  std::string beside = {};          // peer or limit of the same run; empty: none
  std::vector<double> others = {};  // by round
  gate_kind kind = gate_kind::none;
  double gate = 0;
  std::string note = {};

  /// True where there is no gate.
  bool met() const;
};

struct gate_report {
  std::string bench;
  std::string workload;  // in words: sizes, shards, mode
  std::vector<gate_point> points;
  std::string weight;  // what came of raising the scheduler weight
  std::string command;
};

/// One JSON object on one line, with commit, machine and load.
std::string to_json(const gate_report& report);
/// The same for people.
std::string to_table(const gate_report& report);

}  // namespace headrace::bench
