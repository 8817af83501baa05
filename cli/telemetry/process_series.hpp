#pragma once

#include "cli/telemetry/job_metrics.hpp"

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace headrace::cli {

/// What a process is.
struct process_facts {
  std::string role;   // the verb
  std::string model;  // the job's name
  std::filesystem::path state;
  std::uint64_t started_ms = 0;            // since 1970-01-01 UTC
  std::function<std::string()> not_ready;  // empty when ready, else why; any thread
};

/// The series that every process of a job has.
void say_process(const process_facts& what, metrics_page& page);

}  // namespace headrace::cli
