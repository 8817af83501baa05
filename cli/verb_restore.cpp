#include "base/json_line.hpp"
#include "cli/job_flags.hpp"
#include "cli/job_server.hpp"
#include "cli/open_archive.hpp"
#include "cli/state_restore.hpp"
#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>

#include <cinttypes>
#include <cstdio>
#include <memory>

namespace headrace::cli {
namespace {

struct restore_flags : job_flags {
  std::string from;
  std::string checkpoint;
  std::filesystem::path state;
  bool json = false;
};

int restore(const restore_flags& flags) {
  int status = exit_done;
  const auto job = flags.load_to_run(status);
  if (!job) return status;
  const std::string from = flags.from.empty() ? job->checkpoint.to : flags.from;
  if (from.empty())
    return report_error(
        {errc::bad_config, "the job file has no checkpoint.to: say which archive with --from URI"});
  const system_clock time;
  auto archive = open_archive(from, time);
  if (!archive) return report_error(archive.error());
  const auto restored = restore_state(**archive, flags.checkpoint, identity(*job), flags.state);
  if (!restored) return report_error(restored.error());
  if (flags.json) {
    json_line line;
    line.add("id", restored->id)
        .add("state", flags.state.string())
        .add("files", restored->files.size())
        .add("bytes", restored->bytes())
        .add("digest", restored->digest);
    std::puts(line.text().c_str());
  } else {
    std::printf("%s is in %s: %zu files, %" PRIu64 " bytes, each checked; start the server on it\n",
                restored->id.c_str(),
                flags.state.c_str(),
                restored->files.size(),
                restored->bytes());
  }
  return exit_done;
}

}  // namespace

void add_restore(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<restore_flags>();
  auto* verb =
      app.add_subcommand("restore", "make a checkpoint the state folder of a job, file by file");
  flags->add_to(*verb);
  verb->add_option("--from", flags->from, "archive (default: checkpoint.to of the job file)");
  verb->add_option("--checkpoint", flags->checkpoint, "its id (default: the newest)");
  verb->add_option("--state", flags->state, "state folder, absent or empty")->required();
  verb->add_flag("--json", flags->json, "one line of JSON on standard output");
  verb->callback([flags, &context] { context.status = restore(*flags); });
}

}  // namespace headrace::cli
