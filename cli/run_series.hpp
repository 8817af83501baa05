#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <filesystem>
#include <optional>
#include <vector>

namespace headrace::cli {

/// A run at one moment, once a second: what the live table shows and the report draws.
struct series_point {
  double seconds = 0;  // since the first run of this state folder began, pauses left out
  std::uint64_t samples = 0;
  double samples_per_second = 0;
  double auc = 0.5;         // since the start
  double auc_recent = 0.5;  // last 10,000
  double logloss = 0;
  std::optional<double> auc_tail;    // since the freeze, online
  std::optional<double> auc_frozen;  // since the freeze, twin
  std::uint64_t staleness = 0;
  std::uint64_t rows = 0;
  double push_bytes_per_sample = 0;
  std::uint64_t memory_bytes = 0;
};

/// Points of all runs of a state folder, kept as one JSON object a line so that a resumed run's
/// report shows the whole and anyone can plot them.
class run_series {
 public:
  /// Reads what earlier runs left; a damaged last line (a kill) is dropped. Fails: io_error.
  static result<run_series> open(const std::filesystem::path& file);

  /// Appends to the file and to `points`. A full disk costs the point in the file, nothing else.
  void add(const series_point& point);
  const std::vector<series_point>& points() const { return points_; }

 private:
  std::filesystem::path file_;
  std::vector<series_point> points_;
  bool begun_ = false;  // a line was written by this run
};

}  // namespace headrace::cli
