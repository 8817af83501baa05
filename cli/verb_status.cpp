#include "actors/control_client.hpp"
#include "base/json_line.hpp"
#include "cli/device_report.hpp"
#include "cli/event_tokens.hpp"
#include "cli/job_flags.hpp"
#include "cli/job_process.hpp"
#include "cli/verbs.hpp"
#include "kernels/runtime/cuda_library.hpp"
#include "schemas/hash.hpp"
#include "storage/http_exchange.hpp"

#include <CLI/CLI.hpp>

#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <memory>
#include <optional>
#include <vector>

namespace headrace::cli {
namespace {

using namespace std::chrono_literals;

constexpr auto digest_patience = 600s;  // every row is hashed

struct status_flags : override_flags {
  std::filesystem::path file;
  std::string connect;
  bool digest = false;
  bool devices = false;
  bool json = false;
};

double hit_ratio(const schemas::status_reply& shard) {
  const std::uint64_t asked = shard.hits + shard.fetched + shard.absent;
  return asked == 0 ? 1.0 : static_cast<double>(shard.hits) / static_cast<double>(asked);
}

/// What others than the server say of themselves, as JSON; nothing of who isn't there to ask.
struct told_beside {
  std::optional<std::string> events;
  std::optional<std::string> replica;
};

std::string to_json(const std::vector<schemas::status_reply>& shards,
                    const std::optional<std::string>& digest,
                    const told_beside& told) {
  json_line line;
  line.add("shards", shards.size())
      .add("log_mode", name(shards.front().mode))
      .add("checkpoint_ms", shards.front().checkpoint_ms)
      .add("digest_tables", digest)
      .begin_array("shard");
  for (const auto& shard : shards) {
    line.begin_object_item()
        .add("id", shard.shard.value)
        .add("rows", shard.rows)
        .add("bytes", shard.bytes)
        .add("lsn", shard.lsn.value)
        .add("flushed", shard.flushed.value)
        .add("version", shard.version)
        .add("tail_rows", shard.tail_rows)
        .add("tail_bytes", shard.tail_bytes)
        .add("log_first", shard.log_first.value)
        .add("hits", shard.hits)
        .add("fetched", shard.fetched)
        .add("absent", shard.absent)
        .add("evicted", shard.evicted)
        .add("hit_ratio", hit_ratio(shard))
        .add("trouble", shard.trouble)
        .end();
  }
  line.end();
  if (told.events) line.add_raw("events", *told.events);
  if (told.replica) line.add_raw("replica", *told.replica);
  return line.text();
}

void print(const std::vector<schemas::status_reply>& shards,
           const std::optional<std::string>& digest) {
  std::printf("%5s %12s %9s %12s %12s %12s %10s %7s %10s\n",
              "shard",
              "rows",
              "MiB",
              "lsn",
              "flushed",
              "log from",
              "tail rows",
              "hits %",
              "evicted");
  for (const auto& shard : shards) {
    std::printf("%5u %12" PRIu64 " %9.1f %12" PRIu64 " %12" PRIu64 " %12" PRIu64 " %10" PRIu64
                " %7.2f %10" PRIu64 "\n",
                shard.shard.value,
                shard.rows,
                static_cast<double>(shard.bytes) / 1'048'576.0,
                shard.lsn.value,
                shard.flushed.value,
                shard.log_first.value,
                shard.tail_rows,
                100.0 * hit_ratio(shard),
                shard.evicted);
  }
  std::printf("log mode %s, newest checkpoint %s\n",
              std::string(name(shards.front().mode)).c_str(),
              shards.front().checkpoint_ms == 0
                  ? "none"
                  : std::to_string(shards.front().checkpoint_ms).c_str());
  if (digest) std::printf("tables %s\n", digest->c_str());
  for (const auto& shard : shards) {
    if (!shard.trouble.empty())
      std::printf("shard %u: %s\n", shard.shard.value, shard.trouble.c_str());
  }
}

result<std::string> endpoint_of(const status_flags& flags) {
  if (!flags.connect.empty()) return flags.connect;
  if (flags.file.empty())
    return error{errc::bad_config, "say which server: a job file, or --connect ENDPOINT"};
  const auto described = load_job(flags.file, flags.all_overrides());
  if (!described) return described.error();
  return described->listen;
}

// What a process of the job says of itself at `place`, as its own line of JSON.
result<std::string> ask_status(const std::string& place, const std::string& token) {
  storage::http_exchange http({.connect = 5s, .stall = 5s});
  storage::http_request request;
  if (!token.empty()) request.headers.emplace_back("Authorization", "Bearer " + token);
  request.url = "http://" + place + "/v1/status";
  auto answer = http.send(request);
  if (!answer) return answer.error();
  if (answer->status != 200)
    return error{errc::unavailable, request.url + " answers " + std::to_string(answer->status)};
  answer->body.erase(answer->body.find_last_not_of('\n') + 1);
  return std::move(answer->body);
}

// What a live job took and refused; nothing of another job, or where the job file leaves the port
// to the system.
result<std::optional<std::string>> ask_events(const job& of) {
  if (!worker::is_live(of.source.arrives) || of.http.front().ends_with(":0"))
    return std::optional<std::string>{};
  const auto tokens = read_tokens(of.gate);
  if (!tokens) return tokens.error();
  auto said = ask_status(of.http.front(), tokens->empty() ? "" : tokens->front().token);
  if (!said) return said.error();
  return std::optional(std::move(*said));
}

// What answers the job's predictions, likewise.
result<std::optional<std::string>> ask_replica(const job& of) {
  if (of.serve.http.empty() || of.serve.http.ends_with(":0")) return std::optional<std::string>{};
  auto said = ask_status(of.serve.http, "");
  if (!said) return said.error();
  return std::optional(std::move(*said));
}

int status(const status_flags& flags) {
  if (flags.devices) return report_devices(kernels::cuda_library_path(), flags.json);
  const auto endpoint = endpoint_of(flags);
  if (!endpoint) return report_error(endpoint.error());
  job_process process;
  auto control = actors::control_client::open(process.transport, *endpoint, "status");
  if (!control) return report_error(control.error());
  const auto shards = (*control)->status(server_patience);
  if (!shards) return report_error(shards.error());
  std::optional<std::string> digest;
  if (flags.digest) {
    const auto digests =
        (*control)->digests(static_cast<std::uint32_t>(shards->size()), digest_patience);
    if (!digests) return report_error(digests.error());
    schemas::hash128 sum;
    for (const auto& one : *digests) sum += {one.low, one.high};
    digest = schemas::to_string(sum);
  }
  result<std::optional<std::string>> events = std::optional<std::string>{};
  result<std::optional<std::string>> replica = std::optional<std::string>{};
  if (!flags.file.empty()) {
    const auto described = load_job(flags.file, flags.all_overrides());
    if (!described) return report_error(described.error());
    events = ask_events(*described);
    replica = ask_replica(*described);
  }
  const told_beside told{events ? *events : std::nullopt, replica ? *replica : std::nullopt};
  if (flags.json) {
    std::puts(to_json(*shards, digest, told).c_str());
  } else {
    print(*shards, digest);
    if (told.events) std::printf("events %s\n", told.events->c_str());
    if (told.replica) std::printf("replica %s\n", told.replica->c_str());
  }
  if (!events) return report_error(events.error());
  return replica ? exit_done : report_error(replica.error());
}

}  // namespace

void add_status(CLI::App& app, verb_context& context) {
  auto flags = std::make_shared<status_flags>();
  auto* verb = app.add_subcommand("status", "how the shards of a running server are doing");
  verb->add_option("job", flags->file, "job file: its server.listen is asked");
  flags->add_to(*verb);
  verb->add_option("--connect", flags->connect, "the server's address instead");
  verb->add_flag("--digest", flags->digest, "digest of the tables: every row is read");
  verb->add_flag(
      "--devices", flags->devices, "what this host can compute on instead, and why a GPU is not");
  verb->add_flag("--json", flags->json, "one line of JSON on standard output");
  verb->callback([flags, &context] { context.status = status(*flags); });
}

}  // namespace headrace::cli
