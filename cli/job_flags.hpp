#pragma once

#include "base/result.hpp"
#include "cli/job/job_file.hpp"

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace headrace::cli {

/// Flags that stand for keys of a job, whether it comes from a file or is built in.
struct override_flags {
  std::vector<std::string> overrides;  // --set a.b=value
  std::optional<double> freeze_at;
  std::string metrics;        // --metrics ADDRESS; empty: as the job says
  std::string speed = "job";  // job: as `source.duration` says; max: as fast as it is read

  void add_to(CLI::App& verb);
  /// `--metrics`, of verbs that run a part of a job.
  void add_metrics_to(CLI::App& verb);
  /// `--set`s and the other flags as overrides.
  std::vector<std::string> all_overrides() const;
};

/// What every verb with a job file has beside them.
struct job_flags : override_flags {
  std::filesystem::path file;
  bool print_config = false;

  void add_to(CLI::App& verb);
  /// Fails as load_job.
  result<job> load() const;
  /// The job to run; nothing when there is none to run, with `status` set: a wrong job was
  /// reported, or --print-config printed it.
  std::optional<job> load_to_run(int& status) const;
};

}  // namespace headrace::cli
