#include "base/json_line.hpp"
#include "cli/built_in_jobs.hpp"
#include "cli/demo_data.hpp"
#include "cli/job_flags.hpp"
#include "cli/run_job.hpp"
#include "cli/state_folder.hpp"
#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>

#include <cstdio>
#include <memory>

namespace headrace::cli {
namespace {

struct demo_flags : override_flags {
  std::string data;
  std::filesystem::path state;
  std::string predictions;
  std::string serve;
  bool resume = false;
  bool json = false;
};

constexpr const char* generated_rows =
    "100000";  // as many events as the real set, at the same rate

result<job> make_job(const demo_flags& flags, const demo_data& data) {
  std::vector<std::string> overrides;
  if (data.file) {
    std::string uri;
    append_json_string(uri,
                       "file://" + data.file->string());  // a TOML basic string is quoted alike
    overrides.push_back("source.uri=" + uri);
    overrides.emplace_back(data.has_header ? "source.header=true" : "source.header=false");
  } else {
    overrides.push_back(std::string("source.rows=") + generated_rows);
    overrides.emplace_back("source.duration=20s");
    overrides.emplace_back("durability.log=os");
    overrides.emplace_back("train.batch_max=32");
  }
  if (!flags.serve.empty()) overrides.push_back("serve.http=" + flags.serve);
  const auto given = flags.all_overrides();
  overrides.insert(overrides.end(), given.begin(), given.end());
  const std::string_view text = data.file ? movielens_job : planted_job;
  return parse_job(std::string(text), "built-in demo job", overrides);
}

result<std::filesystem::path> choose_state(const demo_flags& flags) {
  if (flags.resume && flags.state.empty()) {
    return error{errc::bad_config,
                 "--resume needs the folder of the interrupted demo: --state DIR"};
  }
  if (flags.state.empty()) return new_demo_state();
  const bool used = std::filesystem::exists(flags.state / "JOB");
  if (used && !flags.resume) {
    return error{errc::bad_config,
                 "'" + flags.state.string() +
                     "' holds an earlier demo; add --resume to go on with it, or choose another"};
  }
  return flags.state;
}

int demo(const demo_flags& flags, verb_context& context) {
  auto state = choose_state(flags);
  if (!state) return report_error(state.error());
  auto data = find_demo_data(flags.data.empty() ? std::nullopt
                                                : std::optional<std::filesystem::path>(flags.data));
  if (!data) return report_error(data.error());
  const auto job = make_job(flags, *data);
  if (!job) return report_error(job.error());
  if (!data->warning.empty()) std::fprintf(stderr, "headrace: %s\n", data->warning.c_str());
  if (!flags.json) {
    std::printf(
        "Learning online from %s, state in %s\n", data->description.c_str(), state->c_str());
    std::fflush(stdout);
  }
  run_options how;
  how.state = *state;
  how.data = data->description;
  if (!flags.predictions.empty()) how.predictions = flags.predictions;
  how.json = flags.json;
  if (!data->warning.empty()) how.notes.push_back("data: " + data->warning);
  return run_job(*job, how, context);
}

}  // namespace

void add_demo(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<demo_flags>();
  auto* verb = app.add_subcommand(
      "demo", "replay MovieLens-100K as a live stream and learn from it in 20 seconds");
  verb->add_option(
      "--data", flags->data, "folder with u.data or ml-100k.inter (default: cache, else download)");
  verb->add_option(
      "--state", flags->state, "state folder (default: a new one under ~/.local/state/headrace)");
  verb->add_flag("--resume", flags->resume, "go on with the interrupted demo in --state");
  verb->add_option(
      "--predictions", flags->predictions, "write row, label, p online, p frozen to this file");
  verb->add_option(
      "--serve", flags->serve, "answer predictions there while it learns: http://127.0.0.1:PORT");
  flags->override_flags::add_to(*verb);
  verb->add_flag("--json", flags->json, "one line of JSON on standard output and nothing else");
  verb->callback([flags, &context] { context.status = demo(*flags, context); });
}

}  // namespace headrace::cli
