#include "cli/job_flags.hpp"
#include "cli/job_process.hpp"
#include "cli/job_worker.hpp"
#include "cli/run_job.hpp"
#include "cli/state_folder.hpp"
#include "cli/telemetry/telemetry_server.hpp"
#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>

#include <memory>

namespace headrace::cli {
namespace {

struct worker_flags : job_flags {
  std::filesystem::path state;
  std::string connect;
  std::string ingest;
  std::string predictions;
  bool json = false;
};

int work(const worker_flags& flags, verb_context& context) {
  int status = exit_done;
  const auto job = flags.load_to_run(status);
  if (!job) return status;
  job_process process;
  run_options how;
  how.state = flags.state.empty() ? default_state(job->name) : flags.state;
  how.data = shown_source(job->source);
  if (!flags.predictions.empty()) how.predictions = flags.predictions;
  how.json = flags.json;
  const std::string endpoint = flags.connect.empty() ? job->listen : flags.connect;
  const auto metrics = std::make_shared<job_metrics>();
  auto worker = job_worker::start(process.system,
                                  process.transport,
                                  *job,
                                  {endpoint, how.state, how.predictions, flags.ingest, metrics},
                                  process.time);
  if (!worker) return report_error(worker.error());
  dashboard page;
  const auto not_ready = [worker = worker->get()] { return worker->not_ready(); };
  const auto telemetry =
      serve_telemetry(*job,
                      {"worker", job->name, how.state, process.time.now_ms(), not_ready},
                      *metrics,
                      page.routes());
  if (!telemetry) return report_error(telemetry.error());
  if (*telemetry) how.page = &page;
  return train(**worker, nullptr, *job, how, context, process.time);
}

}  // namespace

void add_worker(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<worker_flags>();
  auto* verb =
      app.add_subcommand("worker", "train a job against a server that runs in another process");
  flags->add_to(*verb);
  flags->add_metrics_to(*verb);
  verb->add_option("--state", flags->state, "state folder (default: ~/.local/state/headrace/JOB)");
  verb->add_option(
      "--connect", flags->connect, "server's address (default: server.listen of the job file)");
  verb->add_option("--ingest",
                   flags->ingest,
                   "address of the 'headrace ingest' that reads the source (default: this process "
                   "reads it)");
  verb->add_option(
      "--predictions", flags->predictions, "write row, label, p online, p frozen to this file");
  verb->add_flag("--json", flags->json, "one line of JSON on standard output and nothing else");
  verb->callback([flags, &context] { context.status = work(*flags, context); });
}

}  // namespace headrace::cli
