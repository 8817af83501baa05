#pragma once

#include "cli/telemetry/job_metrics.hpp"

#include <cstdint>
#include <optional>

namespace headrace::cli {

/// How far a process that seals samples for a worker is.
struct sealing_figures {
  std::uint64_t samples = 0;                  // sealed, of this process
  std::uint64_t newest = 0;                   // batch that is sealed
  std::uint64_t learned = 0;                  // through this batch, as the worker says
  std::optional<std::uint64_t> heard_ns_ago;  // of the worker; nothing: it never asked
};

/// Its series.
void say_sealing(const sealing_figures& now, metrics_page& page);

}  // namespace headrace::cli
