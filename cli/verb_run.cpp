#include "cli/job_flags.hpp"
#include "cli/run_job.hpp"
#include "cli/state_folder.hpp"
#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>

namespace headrace::cli {
namespace {

struct run_flags : job_flags {
  std::filesystem::path state;
  std::string predictions;
  std::string serve;
  bool json = false;
};

int run(run_flags flags, verb_context& context) {
  if (!flags.serve.empty()) flags.overrides.push_back("serve.http=" + flags.serve);
  int status = exit_done;
  const auto job = flags.load_to_run(status);
  if (!job) return status;
  run_options how;
  how.state = flags.state.empty() ? default_state(job->name) : flags.state;
  how.data = shown_source(job->source);
  if (!flags.predictions.empty()) how.predictions = flags.predictions;
  how.json = flags.json;
  return run_job(*job, how, context);
}

}  // namespace

void add_run(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<run_flags>();
  auto* verb =
      app.add_subcommand("run", "train a job online, all roles in this process; resumes by itself");
  flags->add_to(*verb);
  verb->add_option("--state", flags->state, "state folder (default: ~/.local/state/headrace/JOB)");
  verb->add_option(
      "--predictions", flags->predictions, "write row, label, p online, p frozen to this file");
  verb->add_option("--serve",
                   flags->serve,
                   "answer predictions there while it learns: http://127.0.0.1:PORT (default: "
                   "serve.http of the job file)");
  verb->add_flag("--json", flags->json, "one line of JSON on standard output and nothing else");
  verb->footer(
      "Example: headrace run deploy/config/movielens.toml --set source.uri=file:///data/u.data");
  verb->callback([flags, &context] { context.status = run(*flags, context); });
}

}  // namespace headrace::cli
