#include "cli/job_flags.hpp"
#include "cli/job_ingest.hpp"
#include "cli/job_process.hpp"
#include "cli/state_folder.hpp"
#include "cli/telemetry/telemetry_server.hpp"
#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

namespace headrace::cli {
namespace {

using namespace std::chrono_literals;

constexpr const char* default_listen = "tcp://127.0.0.1:7413";
constexpr int drain_polls = 500;  // of 20 ms

struct ingest_flags : job_flags {
  std::filesystem::path state;
  std::string listen = default_listen;
};

int ingest(const ingest_flags& flags, verb_context& context) {
  int status = exit_done;
  const auto job = flags.load_to_run(status);
  if (!job) return status;
  job_process process;
  const auto state = flags.state.empty() ? default_state(job->name) : flags.state;
  const auto metrics = std::make_shared<job_metrics>();
  auto started = job_ingest::start(
      process.system, process.transport, *job, {flags.listen, state, metrics}, process.time);
  if (!started) return report_error(started.error());
  job_ingest& running = **started;
  auto telemetry = serve_telemetry(*job,
                                   {"ingest",
                                    job->name,
                                    state,
                                    process.time.now_ms(),
                                    [&running] { return running.not_ready(); }},
                                   *metrics);
  if (!telemetry) return report_error(telemetry.error());
  std::printf("listening on %s, state in %s\n", running.endpoint().c_str(), state.c_str());
  std::fflush(stdout);
  while (!context.signals.wait(200ms)) {
    if (const auto failed = running.board().failure()) return report_error(*failed);
  }
  running.finish_early();
  for (int i = 0; i < drain_polls && !running.drained(); ++i) {
    if (const auto failed = running.board().failure()) return report_error(*failed);
    std::this_thread::sleep_for(20ms);
  }
  const auto sealed = static_cast<unsigned long long>(running.sealed());
  running.stop();
  std::printf("stopped, batches sealed through %llu\n", sealed);
  return exit_done;
}

}  // namespace

void add_ingest(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<ingest_flags>();
  auto* verb = app.add_subcommand(
      "ingest", "take, join and seal the events of a job until Ctrl-C, for 'headrace worker'");
  flags->add_to(*verb);
  flags->add_metrics_to(*verb);
  verb->add_option("--state", flags->state, "state folder (default: ~/.local/state/headrace/JOB)");
  verb->add_option(
      "--listen",
      flags->listen,
      "where the worker asks for batches: tcp://127.0.0.1:PORT or ipc:///PATH (default: "
      "tcp://127.0.0.1:7413)");
  verb->footer(
      "Example: headrace ingest job.toml --state in &\n"
      "         headrace server job.toml --state rows &\n"
      "         headrace worker job.toml --state learner --ingest tcp://127.0.0.1:7413");
  verb->callback([flags, &context] { context.status = ingest(*flags, context); });
}

}  // namespace headrace::cli
