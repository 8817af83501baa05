#include "bench/rows64/summary.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <utility>

namespace headrace::bench {

summary summarize(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const std::size_t middle = values.size() / 2;
  const double median =
      values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2.0;
  return {median, values.front(), values.back()};
}

summary ratio_of(const std::vector<double>& ours, const std::vector<double>& others) {
  std::vector<double> ratios;
  for (std::size_t i = 0; i < ours.size() && i < others.size(); ++i) {
    if (others[i] > 0) ratios.push_back(ours[i] / others[i]);
  }
  return summarize(std::move(ratios));
}

double load_average() {
  double load[1] = {0};
  return ::getloadavg(load, 1) == 1 ? load[0] : 0.0;
}

std::string cpu_model() {
  std::ifstream info("/proc/cpuinfo");
  for (std::string line; std::getline(info, line);) {
    if (line.rfind("model name", 0) == 0 && line.find(": ") != std::string::npos)
      return line.substr(line.find(": ") + 2);
  }
  return "unknown";
}

}  // namespace headrace::bench
