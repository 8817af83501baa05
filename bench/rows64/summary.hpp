#pragma once

#include <string>
#include <vector>

namespace headrace::bench {

/// Median and extremes over the rounds.
struct summary {
  double median = 0;
  double min = 0;
  double max = 0;
};
summary summarize(std::vector<double> values);
/// Ours over another's, round by round: what moved both is left out, and so is a round where the
/// other is 0.
summary ratio_of(const std::vector<double>& ours, const std::vector<double>& others);

/// Of this machine, for the result.
double load_average();
std::string cpu_model();

}  // namespace headrace::bench
