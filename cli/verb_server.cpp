#include "cli/job_flags.hpp"
#include "cli/job_process.hpp"
#include "cli/job_server.hpp"
#include "cli/state_folder.hpp"
#include "cli/telemetry/telemetry_server.hpp"
#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>

namespace headrace::cli {
namespace {

using namespace std::chrono_literals;

struct server_flags : job_flags {
  std::filesystem::path state;
  std::string listen;
};

int serve(const server_flags& flags, verb_context& context) {
  int status = exit_done;
  const auto job = flags.load_to_run(status);
  if (!job) return status;
  job_process process;
  const auto state = flags.state.empty() ? default_state(job->name) : flags.state;
  const std::string listen = flags.listen.empty() ? job->listen : flags.listen;
  auto server =
      job_server::start(process.system, process.transport, *job, state, {listen}, process.time);
  if (!server) return report_error(server.error());
  job_metrics metrics;
  (*server)->add_series(metrics);
  const auto not_ready = [server = server->get()] { return server->not_ready(); };
  const auto telemetry = serve_telemetry(
      *job, {"server", job->name, state, process.time.now_ms(), not_ready}, metrics);
  if (!telemetry) return report_error(telemetry.error());
  std::printf("listening on %s, state in %s\n", (*server)->endpoints()[0].c_str(), state.c_str());
  std::fflush(stdout);
  while (!context.signals.wait(200ms)) {
    (*server)->tick();
    if (const auto failed = (*server)->failure()) return report_error(*failed);
  }
  if (auto stopped = (*server)->stop(); !stopped) return report_error(stopped.error());
  std::fputs("stopped, rows written\n", stdout);
  return exit_done;
}

}  // namespace

void add_server(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<server_flags>();
  auto* verb = app.add_subcommand("server", "serve the shards of a job until Ctrl-C");
  flags->add_to(*verb);
  flags->add_metrics_to(*verb);
  verb->add_option("--state", flags->state, "state folder (default: ~/.local/state/headrace/JOB)");
  verb->add_option("--listen",
                   flags->listen,
                   "tcp://127.0.0.1:PORT or ipc:///PATH (default: server.listen of the job file)");
  verb->callback([flags, &context] { context.status = serve(*flags, context); });
}

}  // namespace headrace::cli
