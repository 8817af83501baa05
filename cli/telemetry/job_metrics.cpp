#include "cli/telemetry/job_metrics.hpp"

namespace headrace::cli {

void metrics_page::raise(const char* name,
                         const char* help,
                         double now,
                         const metric_labels& labels) {
  double& told = told_.try_emplace({name, labels}, 0).first->second;
  const double more = now >= told ? now - told : now;
  told = now;
  series_->counter(name, help, labels).add(more);
}

void metrics_page::set(const char* name,
                       const char* help,
                       double now,
                       const metric_labels& labels) {
  series_->gauge(name, help, labels).set(now);
}

void job_metrics::add(part says) {
  const std::lock_guard hold(mutex_);
  parts_.push_back(std::move(says));
}

std::string job_metrics::text() {
  const std::lock_guard hold(mutex_);
  for (const part& says : parts_) says(page_);
  return series_.serialize();
}

}  // namespace headrace::cli
