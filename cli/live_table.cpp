#include "cli/live_table.hpp"

#include <cstdio>

namespace headrace::cli {
namespace {

std::string or_dash(const std::optional<double>& value) {
  if (!value) return "-";
  char text[16];
  std::snprintf(text, sizeof text, "%.4f", *value);
  return text;
}

}  // namespace

std::string live_head() {
  return "   time   samples  samples/s     AUC  last 10k  logloss  since freeze: AUC  frozen  "
         "stale     rows  "
         "push B/sample   MB\n";
}

std::string live_line(const series_point& p) {
  char text[200];
  std::snprintf(
      text,
      sizeof text,
      "%6.1fs %9llu %10.0f  %.4f    %.4f   %.4f             %6s  %6s %6llu %8llu %14.0f %4.0f\n",
      p.seconds,
      static_cast<unsigned long long>(p.samples),
      p.samples_per_second,
      p.auc,
      p.auc_recent,
      p.logloss,
      or_dash(p.auc_tail).c_str(),
      or_dash(p.auc_frozen).c_str(),
      static_cast<unsigned long long>(p.staleness),
      static_cast<unsigned long long>(p.rows),
      p.push_bytes_per_sample,
      static_cast<double>(p.memory_bytes) / 1e6);
  return text;
}

}  // namespace headrace::cli
