#include "cli/run_job.hpp"

#include "base/log.hpp"
#include "cli/job_process.hpp"
#include "cli/job_serve.hpp"
#include "cli/job_server.hpp"
#include "cli/job_worker.hpp"
#include "cli/telemetry/telemetry_server.hpp"
#include "cli/watch_run.hpp"
#include "storage/file_io.hpp"

#include <cstdio>
#include <memory>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace headrace::cli {
namespace {

constexpr const char* in_process = "inproc://shards";

bool on_terminal() { return ::isatty(STDOUT_FILENO) == 1; }

void print_nothing_new(const job_worker& worker,
                       const job& job,
                       const std::string& data,
                       bool json) {
  if (!json) {
    std::fputs("nothing new: every event of the source was learned before; the last figures:\n",
               stdout);
  }
  const auto kept = storage::read_text(worker.folder().figures());
  // Figures of a run that was killed before it kept its last ones are not the last.
  const std::string samples = "\"samples\":" + std::to_string(worker.before().samples) + ",";
  if (json && kept && kept->find(samples) != std::string::npos) {
    std::fputs(kept->c_str(), stdout);
    return;
  }
  run_result made;  // what the scores alone can tell
  made.figures = worker.before();
  made.job = job.name;
  made.data = data;
  made.state = worker.folder().root().string();
  made.freeze_at = job.train.freeze_at;
  made.resumed = true;
  std::fputs(json ? (to_json(made) + "\n").c_str() : to_summary(made).c_str(), stdout);
}

}  // namespace

std::string shown_source(const worker::source_spec& source) {
  return source.uri == "-" ? "standard input" : source.uri;
}

int train(job_worker& worker,
          job_server* server,
          const job& job,
          const run_options& how,
          verb_context& context,
          const clock& time) {
  if (worker.nothing_new()) {
    print_nothing_new(worker, job, how.data, how.json);
    return exit_done;
  }
  watch_options watch;
  watch.data = how.data;
  watch.notes = how.notes;
  watch.page = how.page;
  watch.served = how.served;
  watch.table = !how.json && on_terminal();
  const auto made = watch_run(worker, server, job, watch, context.signals, time);
  worker.stop();
  const auto stopped = server != nullptr ? server->stop() : result<void>();
  if (!made) return report_error(made.error());
  if (!stopped) return report_error(stopped.error());
  std::fputs(how.json ? (to_json(*made) + "\n").c_str() : to_summary(*made).c_str(), stdout);
  return exit_done;
}

int run_job(const job& job, const run_options& how, verb_context& context) {
  job_process process;
  std::vector<std::string> endpoints{in_process};
  // A run that has no end is looked at from outside.
  if (worker::is_live(job.source.arrives)) endpoints.push_back(job.listen);
  auto server = job_server::start(
      process.system, process.transport, job, how.state, std::move(endpoints), process.time);
  if (!server) return report_error(server.error());
  auto metrics = std::make_shared<job_metrics>();
  (*server)->add_series(*metrics);
  auto worker = job_worker::start(process.system,
                                  process.transport,
                                  job,
                                  {.endpoint = in_process,
                                   .state = how.state,
                                   .predictions = how.predictions,
                                   .metrics = metrics},
                                  process.time);
  if (!worker) {
    // A shard that could not open says more than the worker that got no answer from it.
    const auto cause = (*server)->failure();
    return report_error(cause.value_or(worker.error()));
  }
  std::unique_ptr<job_serve> serving;
  if (!job.serve.http.empty()) {
    auto begun =
        job_serve::start(process.transport, job, {in_process, job.serve.http}, process.time);
    if (!begun) return report_error(begun.error());
    serving = std::move(*begun);
    log_info("serve.listening", {{"endpoint", serving->url() + "/v1/models/" + job.name}});
  }
  dashboard board;
  const auto not_ready = [server = server->get(), worker = worker->get()] {
    const std::string why = worker->not_ready();
    return why.empty() ? server->not_ready() : why;
  };
  const auto telemetry =
      serve_telemetry(job,
                      {"run", job.name, how.state, process.time.now_ms(), not_ready},
                      *metrics,
                      board.routes());
  if (!telemetry && !how.page_may_fail) return report_error(telemetry.error());
  if (!telemetry) log_warn("dashboard.none", {{"error", describe(telemetry.error())}});
  if (serving)
    metrics->add([at = serving.get()](metrics_page& page) { say_serving(at->figures(), page); });
  run_options shown = how;
  const bool is_shown = telemetry && *telemetry;
  if (is_shown) shown.page = &board;
  shown.served = serving.get();
  if (is_shown && !how.json) {
    std::printf("Dashboard at http://%s/\n", (*telemetry)->endpoints().front().c_str());
    std::fflush(stdout);
  }
  return train(**worker, server->get(), job, shown, context, process.time);
}

}  // namespace headrace::cli
