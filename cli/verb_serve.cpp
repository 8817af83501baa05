#include "actors/control_client.hpp"
#include "cli/job_flags.hpp"
#include "cli/job_serve.hpp"
#include "cli/job_server.hpp"
#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>

namespace headrace::cli {
namespace {

using namespace std::chrono_literals;

constexpr const char* default_http = "127.0.0.1:7414";
constexpr auto greeting_patience = 500ms;
constexpr auto look_interval = 50ms;

struct serve_flags : job_flags {
  std::string connect;
  std::string http;
  std::string threads;
};

// Whether it is the server of this job; nothing while nobody answers.
result<bool> greet(actors::control_client& server, const job& job) {
  const auto welcome = server.hello(identity(job).fingerprint, greeting_patience);
  if (!welcome && welcome.error().code == errc::unavailable) return false;
  if (!welcome) return welcome.error();
  return true;
}

int answer(const serve_flags& flags, verb_context& context) {
  int status = exit_done;
  const auto job = flags.load_to_run(status);
  if (!job) return status;
  const system_clock time;
  actors::transport_context transport;
  const std::string endpoint = flags.connect.empty() ? job->listen : flags.connect;
  auto server = actors::control_client::open(transport, endpoint, "serve");
  if (!server) return report_error(server.error());
  auto serving = job_serve::start(
      transport, *job, {endpoint, job->serve.http.empty() ? default_http : job->serve.http}, time);
  if (!serving) return report_error(serving.error());
  std::printf("predictions at %s/v1/models/%s\n", (*serving)->url().c_str(), job->name.c_str());
  std::fflush(stdout);
  bool greeted = false;
  bool ready = false;
  while (!context.signals.wait(look_interval)) {
    if (!greeted) {
      const auto met = greet(**server, *job);
      if (!met) return report_error(met.error());
      greeted = *met;
    }
    const bool now = (*serving)->not_ready().empty();
    if (now && !ready) {
      const auto has = (*serving)->figures();
      std::printf("ready, model version %llu, %zu rows\n",
                  static_cast<unsigned long long>(has.stamp.version),
                  has.rows);
      std::fflush(stdout);
    }
    ready = now;
  }
  (*serving)->stop();
  std::printf("stopped, %llu requests answered\n",
              static_cast<unsigned long long>((*serving)->figures().asked.answered));
  return exit_done;
}

}  // namespace

void add_serve(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<serve_flags>();
  auto* verb = app.add_subcommand(
      "serve", "answer predictions of a job until Ctrl-C, from rows that follow its server");
  flags->add_to(*verb);
  verb->add_option(
      "--connect", flags->connect, "server's address (default: server.listen of the job file)");
  verb->add_option("--http",
                   flags->http,
                   "where it answers: http://127.0.0.1:PORT (default: serve.http of the job file, "
                   "or http://127.0.0.1:7414)");
  verb->add_option(
      "--threads", flags->threads, "threads that score (default: serve.threads of the job file)");
  verb->footer(
      "Example: headrace server job.toml --state rows &\n"
      "         headrace serve job.toml --http http://127.0.0.1:7414 &\n"
      "         headrace worker job.toml --state learner");
  verb->callback([flags, &context] {
    if (!flags->http.empty()) flags->overrides.push_back("serve.http=" + flags->http);
    if (!flags->threads.empty()) flags->overrides.push_back("serve.threads=" + flags->threads);
    context.status = answer(*flags, context);
  });
}

}  // namespace headrace::cli
