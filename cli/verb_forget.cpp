#include "actors/control_client.hpp"
#include "base/json_line.hpp"
#include "cli/feature_key.hpp"
#include "cli/job_flags.hpp"
#include "cli/job_process.hpp"
#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace headrace::cli {
namespace {

using namespace std::chrono_literals;

struct forget_flags : job_flags {
  std::string connect;
  std::string table = "embedding";
  std::vector<std::uint64_t> keys;
  std::vector<std::string> features;
  bool dry_run = false;
  bool json = false;
};

/// Keys in order, each with the feature and value that it was named by; empty where it was not.
using named_keys = std::map<std::uint64_t, std::string>;

result<named_keys> keys_of(const forget_flags& flags, const job& job) {
  named_keys keys;
  for (const std::uint64_t key : flags.keys) keys.try_emplace(key);
  for (const std::string& text : flags.features) {
    const auto key = feature_key(job.source, text);
    if (!key) return key.error();
    keys[key->value] = text;
  }
  if (keys.empty())
    return error{errc::bad_config, "say which rows: --key N or --feature NAME=VALUE"};
  return keys;
}

result<table_id> table_of(const forget_flags& flags, const job& job) {
  for (const auto& spec : job.schema.tables) {
    if (spec.name == flags.table) return spec.id;
  }
  return error{errc::bad_config, "--table " + flags.table + ": the job has no such table"};
}

/// One request for each shard that has some of the keys.
result<std::vector<schemas::forget_request>> requests_of(const forget_flags& flags,
                                                         const job& job,
                                                         const named_keys& keys) {
  const auto table = table_of(flags, job);
  if (!table) return table.error();
  std::map<shard_id, schemas::forget_request> of_shard;
  for (const auto& [key, name] : keys) {
    const shard_id shard = schemas::shard_of(row_key{key}, job.schema.shards);
    auto& request = of_shard[shard];
    request.shard = shard;
    request.table = *table;
    request.dry_run = flags.dry_run;
    request.keys.push_back(key);
  }
  std::vector<schemas::forget_request> requests;
  for (auto& [shard, request] : of_shard) {
    if (request.keys.size() > schemas::forget_keys_max)
      return error{errc::bad_config,
                   std::to_string(request.keys.size()) + " keys of shard " +
                       std::to_string(shard.value) + "; at most " +
                       std::to_string(schemas::forget_keys_max) + " are accepted at a time"};
    requests.push_back(std::move(request));
  }
  return requests;
}

void print(const schemas::forget_request& asked,
           const schemas::forget_reply& reply,
           const named_keys& names,
           bool json) {
  for (const std::uint64_t key : asked.keys) {
    const bool found = std::ranges::binary_search(reply.found, key);
    const std::string& name = names.at(key);
    if (json) {
      json_line line;
      line.add("key", std::to_string(key))
          .add("feature", name)
          .add("shard", asked.shard.value)
          .add("found", found)
          .add("lsn", reply.lsn.value);
      std::puts(line.text().c_str());
      continue;
    }
    std::printf("%20" PRIu64 "  %s%s%s",
                key,
                name.c_str(),
                name.empty() ? "" : ": ",
                found ? "a row" : "no row");
    if (asked.dry_run) {
      std::printf(" on shard %u\n", asked.shard.value);
    } else {
      std::printf("; record %" PRIu64 " of shard %u%s\n",
                  reply.lsn.value,
                  asked.shard.value,
                  found ? " removes it" : "");
    }
  }
}

int forget(const forget_flags& flags) {
  int status = exit_done;
  const auto job = flags.load_to_run(status);
  if (!job) return status;
  const auto keys = keys_of(flags, *job);
  if (!keys) return report_error(keys.error());
  const auto requests = requests_of(flags, *job, *keys);
  if (!requests) return report_error(requests.error());
  job_process process;
  const std::string endpoint = flags.connect.empty() ? job->listen : flags.connect;
  auto control = actors::control_client::open(process.transport, endpoint, "forget");
  if (!control) return report_error(control.error());
  const auto fingerprint = schemas::fingerprint(job->name, job->schema);
  if (const auto welcome = (*control)->hello(fingerprint, server_patience); !welcome)
    return report_error(welcome.error());
  for (const auto& request : *requests) {
    const auto reply = (*control)->forget(request, server_patience);
    if (!reply) return report_error(reply.error());
    print(request, *reply, *keys, flags.json);
  }
  return exit_done;
}

}  // namespace

void add_forget(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<forget_flags>();
  auto* verb = app.add_subcommand(
      "forget", "have a running server remove rows for good, or say which of them there are");
  flags->add_to(*verb);
  verb->add_option(
      "--connect", flags->connect, "server's address (default: server.listen of the job file)");
  verb->add_option("--table", flags->table, "table, e.g. embedding or bias");
  verb->add_option("--key", flags->keys, "rows by their 64-bit keys");
  verb->add_option("--feature", flags->features, "rows by NAME=VALUE, e.g. user=42");
  verb->add_flag("--dry-run", flags->dry_run, "say which there are and remove nothing");
  verb->add_flag("--json", flags->json, "one line of JSON for each key");
  verb->callback([flags, &context] { context.status = forget(*flags); });
}

}  // namespace headrace::cli
