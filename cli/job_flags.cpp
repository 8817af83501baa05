#include "cli/job_flags.hpp"

#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <utility>

namespace headrace::cli {

void override_flags::add_to(CLI::App& verb) {
  verb.add_option("--set",
                  overrides,
                  "override a key, e.g. --set source.uri=file:///data/u.data; may be repeated")
      ->expected(1)
      ->take_all()
      ->allow_extra_args(false);
  verb.add_option(
          "--freeze-at", freeze_at, "share of the stream after which the frozen twin is copied")
      ->check(CLI::Range(0.0, 1.0));
  verb.add_option(
          "--speed",
          speed,
          "job: at the rate of source.duration (the demo: 20 s); max: as fast as it is read")
      ->check(CLI::IsMember({"job", "max"}));
}

void override_flags::add_metrics_to(CLI::App& verb) {
  verb.add_option("--metrics",
                  metrics,
                  "answer /metrics, /healthz and /readyz at http://127.0.0.1:PORT (default: "
                  "telemetry.http of the job file)");
}

std::vector<std::string> override_flags::all_overrides() const {
  std::vector<std::string> all = overrides;
  if (freeze_at) all.push_back("train.freeze_at=" + std::to_string(*freeze_at));
  if (!metrics.empty()) all.push_back("telemetry.http=\"" + metrics + "\"");
  if (speed == "max") all.emplace_back("source.duration=0s");
  return all;
}

void job_flags::add_to(CLI::App& verb) {
  verb.add_option("job", file, "job file (TOML; docs/job-file.md)")->required();
  override_flags::add_to(verb);
  verb.add_flag("--print-config", print_config, "print the resolved job file and end");
}

std::optional<job> job_flags::load_to_run(int& status) const {
  auto job = load();
  if (!job) {
    status = report_error(job.error());
    return std::nullopt;
  }
  if (!print_config) return std::move(*job);
  std::fputs(job->text.c_str(), stdout);
  status = exit_done;
  return std::nullopt;
}

result<job> job_flags::load() const { return load_job(file, all_overrides()); }

}  // namespace headrace::cli
