#include "actors/system_config.hpp"
#include "cli/job_flags.hpp"
#include "cli/job_worker.hpp"
#include "cli/run_job.hpp"
#include "cli/state_folder.hpp"
#include "cli/verbs.hpp"
#include "cli/watch_run.hpp"

#include <CLI/CLI.hpp>
#include <caf/actor_system.hpp>

#include <cstdio>
#include <memory>

namespace headrace::cli {
namespace {

struct worker_flags : job_flags {
  std::filesystem::path state;
  std::string connect;
  std::string predictions;
  bool json = false;
};

int work(const worker_flags& flags, verb_context& context) {
  const auto job = flags.load();
  if (!job) return report_error(job.error());
  if (flags.print_config) {
    std::fputs(job->text.c_str(), stdout);
    return exit_done;
  }
  const system_clock time;
  actors::system_config config;
  caf::actor_system system(config);
  actors::transport_context transport;
  job_worker::options how;
  how.endpoint = flags.connect.empty() ? job->listen : flags.connect;
  how.state = flags.state.empty() ? default_state(job->name) : flags.state;
  if (!flags.predictions.empty()) how.predictions = flags.predictions;
  auto worker = job_worker::start(system, transport, *job, how, time);
  if (!worker) return report_error(worker.error());
  if ((*worker)->nothing_new()) {
    print_nothing_new(**worker, *job, job->source.uri, flags.json);
    return exit_done;
  }
  watch_options watch;
  watch.data = job->source.uri;
  watch.table = !flags.json && on_terminal();
  auto made = watch_run(**worker, nullptr, *job, watch, context.signals, time);
  (*worker)->stop();
  if (!made) return report_error(made.error());
  std::fputs(flags.json ? (to_json(*made) + "\n").c_str() : to_summary(*made).c_str(), stdout);
  return exit_done;
}

}  // namespace

void add_worker(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<worker_flags>();
  auto* verb =
      app.add_subcommand("worker", "train a job against a server that runs in another process");
  flags->add_to(*verb);
  verb->add_option("--state", flags->state, "state folder (default: ~/.local/state/headrace/JOB)");
  verb->add_option(
      "--connect", flags->connect, "server's address (default: server.listen of the job file)");
  verb->add_option(
      "--predictions", flags->predictions, "write row, label, p online, p frozen to this file");
  verb->add_flag("--json", flags->json, "one line of JSON on standard output and nothing else");
  verb->callback([flags, &context] { context.status = work(*flags, context); });
}

}  // namespace headrace::cli
