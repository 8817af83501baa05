#include "actors/control_client.hpp"
#include "base/json_line.hpp"
#include "cli/job_flags.hpp"
#include "cli/job_process.hpp"
#include "cli/open_archive.hpp"
#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <memory>
#include <unistd.h>

namespace headrace::cli {
namespace {

using namespace std::chrono_literals;

struct checkpoint_flags : job_flags {
  std::string connect;
  std::string from;
  bool wait = false;
  bool list = false;
  bool json = false;
};

void print_taken(const schemas::checkpoint_reply& taken, bool json) {
  if (json) {
    json_line line;
    line.add("id", taken.id)
        .add("files_uploaded", taken.files_uploaded)
        .add("bytes_uploaded", taken.bytes_uploaded)
        .add("bytes_reused", taken.bytes_reused)
        .add("took_ms", taken.took_ms);
    std::puts(line.text().c_str());
    return;
  }
  std::printf("%s: %" PRIu64 " new files with %" PRIu64 " bytes, %" PRIu64
              " bytes were there, %" PRIu64 " ms\n",
              taken.id.c_str(),
              taken.files_uploaded,
              taken.bytes_uploaded,
              taken.bytes_reused,
              taken.took_ms);
}

int take(const job& job, const checkpoint_flags& flags, verb_context& context) {
  job_process process;
  const std::string endpoint = flags.connect.empty() ? job.listen : flags.connect;
  auto control = actors::control_client::open(process.transport, endpoint, "checkpoint");
  if (!control) return report_error(control.error());
  const auto fingerprint = schemas::fingerprint(job.name, job.schema);
  if (const auto welcome = (*control)->hello(fingerprint, server_patience); !welcome)
    return report_error(welcome.error());
  const std::uint64_t token =
      mix64(process.time.steady_ns()) ^ mix64(static_cast<std::uint64_t>(::getpid()));
  while (true) {
    const auto reply = (*control)->checkpoint(token, server_patience);
    if (!reply) return report_error(reply.error());
    if (reply->status != errc::ok) return report_error({reply->status, reply->detail});
    if (reply->done) {
      print_taken(*reply, flags.json);
      return exit_done;
    }
    if (!flags.wait) {
      if (!flags.json) std::puts("begun; --wait waits until it is there");
      return exit_done;
    }
    if (context.signals.wait(100ms)) return exit_interrupted;
  }
}

int list(const job& job, const checkpoint_flags& flags) {
  const std::string from = flags.from.empty() ? job.checkpoint.to : flags.from;
  if (from.empty())
    return report_error(
        {errc::bad_config, "the job file has no checkpoint.to: say which archive with --from URI"});
  const system_clock time;
  auto archive = open_archive(from, time);
  if (!archive) return report_error(archive.error());
  const auto found = (*archive)->list();
  if (!found) return report_error(found.error());
  for (const auto& one : found->checkpoints) {
    std::uint64_t records = 0;
    std::uint64_t rows = 0;
    for (const auto& shard : one.shards) {
      records += shard.cut.value;
      rows += shard.rows;
    }
    if (flags.json) {
      json_line line;
      line.add("id", one.id)
          .add("job", one.job)
          .add("written_ms", one.written_ms)
          .add("records", records)
          .add("rows", rows)
          .add("files", one.files.size())
          .add("bytes", one.bytes())
          .add("digest", one.digest)
          .begin_array("cuts");
      for (const auto& shard : one.shards) line.add_item(shard.cut.value);
      line.end();
      std::puts(line.text().c_str());
    } else {
      std::printf("%s  %" PRIu64 " records, %" PRIu64 " rows, %zu files, %" PRIu64 " bytes\n",
                  one.id.c_str(),
                  records,
                  rows,
                  one.files.size(),
                  one.bytes());
    }
  }
  for (const error& one : found->damaged) report_error(one);
  return found->damaged.empty() ? exit_done : exit_failed;
}

int checkpoint(const checkpoint_flags& flags, verb_context& context) {
  int status = exit_done;
  const auto job = flags.load_to_run(status);
  if (!job) return status;
  return flags.list ? list(*job, flags) : take(*job, flags, context);
}

}  // namespace

void add_checkpoint(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<checkpoint_flags>();
  auto* verb = app.add_subcommand(
      "checkpoint", "have a running server take a checkpoint, or list those there are");
  flags->add_to(*verb);
  verb->add_option(
      "--connect", flags->connect, "server's address (default: server.listen of the job file)");
  verb->add_flag("--wait", flags->wait, "wait until it is in the archive");
  verb->add_flag("--list", flags->list, "list the archive instead");
  verb->add_option("--from", flags->from, "archive to list (default: checkpoint.to of the job)");
  verb->add_flag("--json", flags->json, "one line of JSON for each checkpoint");
  verb->callback([flags, &context] { context.status = checkpoint(*flags, context); });
}

}  // namespace headrace::cli
