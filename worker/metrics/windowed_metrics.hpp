#pragma once

#include "worker/metrics/progressive_metrics.hpp"

#include <cstdint>
#include <vector>

namespace headrace::worker {

/// Figures of scored samples over all of them and over each window of `window` samples, in the
/// order they came; the last window may be shorter.
///
/// A window is closed when it is full: what is held is the figures of closed windows and two
/// histograms (progressive_metrics), whatever the stream's length. Single-threaded.
class windowed_metrics {
 public:
  struct figures {
    std::uint64_t first_row = 0;  // record numbers in the source, both included
    std::uint64_t last_row = 0;
    std::uint64_t samples = 0;
    double auc = 0.5;
    double logloss = 0.0;
    double calibration = 0.0;
    double positive_share = 0.0;
    std::uint64_t not_finite = 0;
  };

  /// `window` 0: no windows.
  explicit windowed_metrics(std::uint64_t window) : window_(window) {}

  /// As progressive_metrics::add; `row` is the sample's record number.
  void add(std::uint64_t row, float label, float probability);

  /// Over all samples.
  figures all() const { return figures_of(all_); }
  /// Closed windows, then the one at work where it has samples.
  std::vector<figures> windows() const;

 private:
  struct part {
    std::uint64_t first_row = 0;
    std::uint64_t last_row = 0;
    progressive_metrics scores;
    void add(std::uint64_t row, float label, float probability);
  };
  static figures figures_of(const part& of);

  std::uint64_t window_;
  part all_;
  part open_;
  std::vector<figures> closed_;
};

}  // namespace headrace::worker
