#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace headrace {

/// Label names and values of one series, such as {{"shard", "3"}}.
using metric_labels = std::vector<std::pair<std::string, std::string>>;

/// Only grows. Any thread; valid as long as its registry.
class counter {
 public:
  void add(double by = 1.0);
  double value() const;

 private:
  friend class metrics_registry;
  explicit counter(prometheus::Counter& series) : series_(&series) {}
  prometheus::Counter* series_;
};

/// Goes up and down. Any thread; valid as long as its registry.
class gauge {
 public:
  void set(double value);
  double value() const;

 private:
  friend class metrics_registry;
  explicit gauge(prometheus::Gauge& series) : series_(&series) {}
  prometheus::Gauge* series_;
};

/// Counts observations at or below each bound. Any thread; valid as long as its registry.
class histogram {
 public:
  void observe(double value);

 private:
  friend class metrics_registry;
  explicit histogram(prometheus::Histogram& series) : series_(&series) {}
  prometheus::Histogram* series_;
};

/// The metrics of one process. Asking for the same name and labels again gives the same series.
///
/// A name is `headrace_…` in base units (`_seconds`, `_bytes`, `_total` for counters); no label is
/// called `job`, which belongs to whoever scrapes. A name that breaks this, or is used for two
/// kinds, is a bug (CHECK). Thread safe.
class metrics_registry {
 public:
  metrics_registry();
  ~metrics_registry();
  metrics_registry(const metrics_registry&) = delete;
  metrics_registry& operator=(const metrics_registry&) = delete;

  headrace::counter counter(const std::string& name,
                            const std::string& help,
                            const metric_labels& labels = {});
  headrace::gauge gauge(const std::string& name,
                        const std::string& help,
                        const metric_labels& labels = {});
  /// `bounds` ascending; the last bucket, +Inf, is added.
  headrace::histogram histogram(const std::string& name,
                                const std::string& help,
                                const std::vector<double>& bounds,
                                const metric_labels& labels = {});

  /// Everything in Prometheus' text format.
  std::string serialize() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace headrace
