#pragma once

#include "actors/progress_board.hpp"
#include "actors/worker_actor.hpp"
#include "cli/telemetry/job_metrics.hpp"

#include <string>

namespace headrace::cli {

/// The series of a process that trains. `head`: the label of the first predicted one, whose figures
/// stand alone where there are no others.
void say_learning(const actors::progress& now, const std::string& head, metrics_page& page);

/// Where the worker says how long the parts of a batch's way took.
actors::batch_durations batch_durations(metrics_registry& series);

}  // namespace headrace::cli
