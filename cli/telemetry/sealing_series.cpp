#include "cli/telemetry/sealing_series.hpp"

#include <algorithm>

namespace headrace::cli {

void say_sealing(const sealing_figures& now, metrics_page& page) {
  page.count("headrace_samples_sealed_total", "Samples sealed by this process.", now.samples);
  page.count("headrace_batches_sealed_total",
             "Batches sealed, over all runs of the state folder.",
             now.newest);
  page.measure("headrace_batches_unlearned",
               "Sealed, and not learned by the worker yet.",
               now.newest - std::min(now.newest, now.learned));
  if (!now.heard_ns_ago) return;
  page.measure("headrace_worker_heard_age_seconds",
               "Since the worker last asked.",
               static_cast<double>(*now.heard_ns_ago) / 1e9);
}

}  // namespace headrace::cli
