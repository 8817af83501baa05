#pragma once

#include "base/metrics.hpp"

#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace headrace::cli {

/// Where a part of a process says what it counts and measures.
class metrics_page {
 public:
  /// A count of elsewhere becomes a counter's: it grows by what came since it was last told. One
  /// that went back began anew, and all of it came since.
  template <class Number>
  void count(const char* name, const char* help, Number now, const metric_labels& labels = {}) {
    raise(name, help, static_cast<double>(now), labels);
  }
  template <class Number>
  void measure(const char* name, const char* help, Number now, const metric_labels& labels = {}) {
    set(name, help, static_cast<double>(now), labels);
  }

 private:
  friend class job_metrics;
  explicit metrics_page(metrics_registry& series) : series_(&series) {}
  void raise(const char* name, const char* help, double now, const metric_labels& labels);
  void set(const char* name, const char* help, double now, const metric_labels& labels);

  metrics_registry* series_;
  std::map<std::pair<std::string, metric_labels>, double> told_;
};

/// The series of one process of a job (docs/metrics.md), brought up to date whenever they are asked
/// for:
///
///     metrics.add([board](metrics_page& page) {
///       page.count("headrace_samples_learned_total", "Samples learned.", board->read().samples);
///     });
///
/// Any thread. The mutex guards parts and page, so that two who ask at once don't add a count
/// twice.
class job_metrics {
 public:
  using part = std::function<void(metrics_page&)>;
  /// Asked at each `text` from now on, on the thread that asks; what it looks at must be there as
  /// long as anybody may ask.
  void add(part says);
  /// For what is observed when it happens.
  metrics_registry& series() { return series_; }
  /// All of them in Prometheus' text format.
  std::string text();

 private:
  metrics_registry series_;
  std::mutex mutex_;
  std::vector<part> parts_;
  metrics_page page_{series_};
};

}  // namespace headrace::cli
