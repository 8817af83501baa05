#include "actors/control_client.hpp"
#include "base/json_line.hpp"
#include "cli/job_flags.hpp"
#include "cli/job_process.hpp"
#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>

#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

namespace headrace::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto flush_patience = 60s;  // a shard writes its rows before it answers

struct release_flags : job_flags {
  std::string connect;
  std::string source;
  bool json = false;
};

void print(const std::string& source, const std::vector<std::uint32_t>& shards, bool json) {
  if (json) {
    json_line line;
    line.add("source", source).begin_array("released");
    for (const std::uint32_t shard : shards) line.add_item(shard);
    std::puts(line.end().text().c_str());
    return;
  }
  for (const std::uint32_t shard : shards) {
    std::printf("shard %u lets %s in again\n", shard, source.c_str());
  }
}

int release(const release_flags& flags) {
  int status = exit_done;
  const auto job = flags.load_to_run(status);
  if (!job) return status;
  if (!schemas::is_source_name(flags.source))
    return report_error(
        {errc::bad_config, "--source: a name is 1 to 64 bytes of [A-Za-z0-9_.-], without #N"});
  job_process process;
  const std::string endpoint = flags.connect.empty() ? job->listen : flags.connect;
  auto control = actors::control_client::open(process.transport, endpoint, "release");
  if (!control) return report_error(control.error());
  const auto fingerprint = schemas::fingerprint(job->name, job->schema);
  const auto welcome = (*control)->hello(fingerprint, server_patience);
  if (!welcome) return report_error(welcome.error());
  const auto replies = (*control)->release(flags.source, welcome->shards, flush_patience);
  if (!replies) return report_error(replies.error());
  std::vector<std::uint32_t> shards;
  for (const auto& reply : *replies) {
    if (reply.released) shards.push_back(reply.shard.value);
  }
  print(flags.source, shards, flags.json);
  if (!shards.empty()) return exit_done;
  return report_error(
      {errc::not_found, "no shard has source '" + flags.source + "' in quarantine"});
}

}  // namespace

void add_release(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<release_flags>();
  auto* verb =
      app.add_subcommand("release", "have a running server let a source out of quarantine");
  flags->add_to(*verb);
  verb->add_option("--source", flags->source, "name of the source")->required();
  verb->add_option(
      "--connect", flags->connect, "server's address (default: server.listen of the job file)");
  verb->add_flag("--json", flags->json, "one line of JSON on standard output");
  verb->callback([flags, &context] { context.status = release(*flags); });
}

}  // namespace headrace::cli
