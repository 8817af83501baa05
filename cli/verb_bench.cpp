#include "bench/available/available.hpp"
#include "bench/gates/gate_options.hpp"
#include "bench/ingest/ingest.hpp"
#include "bench/rows64/rows64.hpp"
#include "bench/serve/freshness.hpp"
#include "bench/serve/serve.hpp"
#include "cli/bench_beside_torch.hpp"
#include "cli/flag_choice.hpp"
#include "cli/verbs.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <chrono>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace headrace::cli {
namespace {

using bench::rows64_op;
using bench::rows64_options;
using bench::rows64_peer;
using bench::rows64_transport;
using schemas::log_mode;
using schemas::optimizer_kind;
using schemas::value_codec;

void add_options(CLI::App& verb, rows64_options& options) {
  add_choice<rows64_op>(verb,
                        "--op",
                        options.op,
                        {{"push", rows64_op::push}, {"pull", rows64_op::pull}},
                        "what a request does");
  add_choice<rows64_transport>(verb,
                               "--transport",
                               options.transport,
                               {{"tcp", rows64_transport::tcp},
                                {"ipc", rows64_transport::ipc},
                                {"inproc", rows64_transport::inproc}},
                               "two processes over loopback or a socket file, or one process");
  add_choice<value_codec>(verb,
                          "--codec",
                          options.codec,
                          {{"fp32", value_codec::fp32},
                           {"int8", value_codec::int8},
                           {"fp16", value_codec::fp16},
                           {"bf16", value_codec::bf16}},
                          "how row values travel");
  add_choice<log_mode>(verb,
                       "--durable",
                       options.durable,
                       {{"none", log_mode::none}, {"os", log_mode::os}, {"fsync", log_mode::fsync}},
                       "what an acknowledged push survives: nothing, kill -9, a power cut");
  add_choice<optimizer_kind>(verb,
                             "--optimizer",
                             options.optimizer,
                             {{"add", optimizer_kind::add}, {"adagrad", optimizer_kind::adagrad}},
                             "what the server does with a push");
  verb.add_option("--batch", options.batch, "distinct keys of one request")
      ->check(CLI::Range(1, 65'536));
  verb.add_option("--depth", options.depth, "requests in flight")->check(CLI::Range(1, 64));
  verb.add_option(
      "--dir", options.dir, "folder for the log files, removed at the end; at least 8 GiB free");
  verb.add_option("--rounds", options.rounds, "rounds, medians of which are reported")
      ->check(CLI::Range(1, 1'000));
  verb.add_option("--seconds", options.seconds, "timed part of each point")
      ->check(CLI::Range(0.05, 3'600.0));
  verb.add_option("--shards", options.shards, "shards of our server")->check(CLI::Range(1, 64));
  verb.add_flag("--row-store",
                options.row_store,
                "our server writes rows back to RocksDB and truncates its log; with --kill always");
  verb.add_flag("--tail-in-memory",
                options.tail_in_memory,
                "with --row-store: the log's tail has no bound, so that nothing is written back");
  verb.add_flag("--quantize",
                options.quantize,
                "with --codec int8: our client quantizes each push, as workers do");
  verb.add_option("--peer-seconds", options.peer_seconds, "the same for the other peers")
      ->check(CLI::Range(0.0, 600.0));
  verb.add_flag("--kill",
                options.kill,
                "kill our server behind each load with pushes in flight, start it again over its "
                "log, and check that nothing is lost or applied twice");
  verb.add_flag("--json", options.json, "one line of JSON on standard output");
}

using bench::gate_options;
using gate_measure = result<bench::gate_report> (*)(const gate_options&);

/// A bench of the gates: flags that all of them have; `flags` adds those of its own.
void add_gate(CLI::App& bench_verb,
              verb_context& context,
              const char* verb_name,
              const char* help,
              std::uintmax_t bytes_free,
              gate_measure measure,
              gate_options defaults,
              const std::function<void(CLI::App&, gate_options&)>& flags = nullptr) {
  auto options = std::make_shared<gate_options>(std::move(defaults));
  CLI::App* verb = bench_verb.add_subcommand(verb_name, help);
  verb->add_option("--rounds", options->rounds, "rounds, medians of which are reported")
      ->check(CLI::Range(1, 1'000));
  verb->add_option("--dir", options->dir, "folder for files, removed at the end");
  verb->add_flag("--json", options->json, "one line of JSON on standard output");
  verb->add_flag("--inside", options->inside)->group("");
  verb->add_option("--command", options->command)->group("");
  if (flags) flags(*verb, *options);
  verb->callback([options, bytes_free, measure, &context] {
    context.status = bench::run_gate_bench(
        *options, bytes_free, measure, [&context](std::chrono::milliseconds patience) {
          return context.signals.wait(patience);
        });
  });
}

void add_seconds(CLI::App& verb, gate_options& options) {
  verb.add_option("--seconds", options.seconds, "timed part of each point")
      ->check(CLI::Range(0.05, 3'600.0));
}

void add_rows(CLI::App& verb, gate_options& options) {
  verb.add_option("--rows", options.rows, "rows in the table")
      ->check(CLI::Range(20'000, 100'000'000));
}

void add_tail(CLI::App& verb, gate_options& options, const char* help) {
  verb.add_option("--tail-rows", options.tail_rows, help)->check(CLI::Range(8'192, 1'000'000'000));
}

gate_options seconds_each(double seconds) {
  gate_options options;
  options.seconds = seconds;
  return options;
}

gate_options rows_of(std::uint64_t rows) {
  gate_options options;
  options.rows = rows;
  return options;
}

gate_options tail_of(std::uint64_t rows) {
  gate_options options;
  options.tail_rows = rows;
  return options;
}

void add_gates(CLI::App& verb, verb_context& context) {
  constexpr std::uintmax_t gib = std::uintmax_t{1} << 30;
  add_gate(verb,
           context,
           "durable",
           "int8 pushes that survive kill -9: a burst, minutes with write-back, the log's price",
           16 * gib,
           bench::measure_durable,
           seconds_each(10),
           [](CLI::App& of, gate_options& options) {
             add_seconds(of, options);
             of.add_option("--sustained", options.sustained_seconds, "seconds with write-back")
                 ->check(CLI::Range(0.05, 36'000.0));
           });
  add_gate(verb,
           context,
           "log",
           "appends beside write(2) of the same bytes",
           2 * gib,
           bench::measure_log,
           seconds_each(1),
           add_seconds);
  add_gate(verb,
           context,
           "memory",
           "bytes of RAM that a row takes, index included",
           0,
           bench::measure_memory,
           {},
           add_rows);
  add_gate(verb,
           context,
           "inproc",
           "pulls and pushes without sockets, two threads",
           0,
           bench::measure_inproc,
           seconds_each(2),
           [](CLI::App& of, gate_options& options) {
             add_rows(of, options);
             add_seconds(of, options);
           });
  add_gate(verb,
           context,
           "replay",
           "logs read and redone, two threads",
           6 * gib,
           bench::measure_replay,
           tail_of(8'000'000),
           [](CLI::App& of, gate_options& options) {
             add_rows(of, options);
             add_tail(of, options, "rows pushed in the logs of both shards");
           });
  add_gate(verb,
           context,
           "restart",
           "seconds from files to the first pull, and to all rows in memory",
           12 * gib,
           bench::measure_restart,
           rows_of(10'000'000),
           [](CLI::App& of, gate_options& options) {
             add_rows(of, options);
             add_tail(of, options, "rows in the logs that the row store does not have");
           });
  add_gate(verb,
           context,
           "tier",
           "a table of which a twentieth lies in memory, beside one that does whole",
           16 * gib,
           bench::measure_tier,
           rows_of(10'000'000),
           [](CLI::App& of, gate_options& options) {
             add_rows(of, options);
             of.add_option("--dim", options.dim, "floats in a row")->check(CLI::Range(1, 1'024));
             of.add_option("--share", options.share, "of the rows, in DRAM")
                 ->check(CLI::Range(0.001, 1.0));
           });
}

void add_options(CLI::App& verb, bench::ingest_options& options) {
  verb.add_option("--clients", options.clients, "processes that push")->check(CLI::Range(1, 64));
  verb.add_option("--events", options.events, "events of a round, of all clients")
      ->check(CLI::Range(std::uint64_t{1}, std::uint64_t{1'000'000'000}));
  verb.add_option("--batch", options.batch, "events of one push")->check(CLI::Range(1, 65'536));
  verb.add_option("--depth", options.depth, "pushes of one client in flight")
      ->check(CLI::Range(1, 64));
  add_choice<log_mode>(verb,
                       "--durable",
                       options.durable,
                       {{"none", log_mode::none}, {"os", log_mode::os}, {"fsync", log_mode::fsync}},
                       "what an acknowledged event survives: nothing, kill -9, a power cut");
  verb.add_option("--rounds", options.rounds, "rounds, medians of which are reported")
      ->check(CLI::Range(1, 1'000));
  verb.add_option("--dir", options.dir, "folder for the logs, removed at the end");
  verb.add_option("--redis", options.redis, "redis-server to measure beside it, or none");
  verb.add_flag("--json", options.json, "one line of JSON on standard output");
  verb.add_flag("--inside", options.inside)->group("");
  add_choice<bench::ingest_peer>(verb,
                                 "--peer",
                                 options.peer,
                                 {{"headrace", bench::ingest_peer::headrace},
                                  {"http_json", bench::ingest_peer::http_json},
                                  {"http_single", bench::ingest_peer::http_single},
                                  {"redis", bench::ingest_peer::redis}},
                                 "");
  verb.get_option("--peer")->group("");
  verb.add_option("--endpoint", options.endpoint)->group("");
  verb.add_option("--client", options.client)->group("");
  verb.add_option("--round", options.round)->group("");
  verb.add_option("--command", options.command)->group("");
}

void add_events(CLI::App& bench_verb, verb_context& context) {
  auto options = std::make_shared<bench::ingest_options>();
  CLI::App* verb = bench_verb.add_subcommand(
      "ingest", "Events a second into the log, acknowledged, beside Redis Streams");
  CLI::App* server = bench_verb.add_subcommand("ingest-server", "")->group("");
  CLI::App* client = bench_verb.add_subcommand("ingest-client", "")->group("");
  for (CLI::App* each : {verb, server, client}) add_options(*each, *options);
  verb->callback([options, &context] {
    context.status = bench::run_bench_ingest(
        *options,
        [&context](std::chrono::milliseconds patience) { return context.signals.wait(patience); });
  });
  server->callback([options, &context] { context.status = bench::run_ingest_server(*options); });
  client->callback([options, &context] { context.status = bench::run_ingest_client(*options); });
}

void add_options(CLI::App& verb, bench::available_options& options) {
  verb.add_option("--rate", options.rate, "events a second, whatever comes of them")
      ->check(CLI::Range(1, 100'000'000));
  verb.add_option("--seconds", options.seconds, "of a round")->check(CLI::Range(1, 3'600));
  verb.add_option("--batch", options.batch, "events of one push")->check(CLI::Range(2, 65'536));
  verb.add_option("--samples", options.samples, "of a sealed batch")->check(CLI::Range(1, 65'536));
  verb.add_option("--wait-ms", options.wait_ms, "a batch is sealed after this even when not full")
      ->check(CLI::Range(0, 60'000));
  verb.add_option("--in-flight", options.in_flight, "sealed batches the worker may hold")
      ->check(CLI::Range(1, 256));
  add_choice<log_mode>(verb,
                       "--durable",
                       options.durable,
                       {{"none", log_mode::none}, {"os", log_mode::os}, {"fsync", log_mode::fsync}},
                       "what an acknowledged event survives: nothing, kill -9, a power cut");
  verb.add_option("--rounds", options.rounds, "rounds, medians of which are reported")
      ->check(CLI::Range(1, 1'000));
  verb.add_option("--dir", options.dir, "folder for the logs, removed at the end");
  verb.add_flag("--json", options.json, "a line of JSON on standard output for each job");
  verb.add_flag("--inside", options.inside)->group("");
  add_choice<bench::available_job>(
      verb,
      "--job",
      options.job,
      {{"labelled", bench::available_job::labelled}, {"joined", bench::available_job::joined}},
      "");
  verb.get_option("--job")->group("");
  verb.add_option("--endpoint", options.endpoint)->group("");
  verb.add_option("--command", options.command)->group("");
}

void add_available(CLI::App& bench_verb, verb_context& context) {
  auto options = std::make_shared<bench::available_options>();
  CLI::App* verb = bench_verb.add_subcommand(
      "available", "Milliseconds from an event's arrival to its sample with the worker");
  CLI::App* server = bench_verb.add_subcommand("available-server", "")->group("");
  CLI::App* client = bench_verb.add_subcommand("available-client", "")->group("");
  for (CLI::App* each : {verb, server, client}) add_options(*each, *options);
  verb->callback([options, &context] {
    context.status = bench::run_bench_available(
        *options,
        [&context](std::chrono::milliseconds patience) { return context.signals.wait(patience); });
  });
  server->callback([options, &context] { context.status = bench::run_available_server(*options); });
  client->callback([options, &context] { context.status = bench::run_available_client(*options); });
}

void add_options(CLI::App& verb, bench::serve_options& options) {
  const auto whole =
      [&verb](const char* flag, std::uint32_t& into, std::uint32_t max, const char* help) {
        verb.add_option(flag, into, help)->check(CLI::Range(std::uint32_t{1}, max));
      };
  whole("--rate", options.rate, 1'000'000, "requests a second, whatever comes of them");
  whole("--seconds", options.seconds, 3'600, "of each point in a round");
  whole("--rounds", options.rounds, 1'000, "rounds, medians of which are reported");
  whole("--connections", options.connections, 256, "of the client, a request at a time on each");
  whole("--candidates", options.candidates, 4'096, "of a prediction");
  whole("--rows", options.rows, 4'096, "of a lookup");
  whole("--events", options.events, 100'000'000, "learned beforehand");
  whole("--dim", options.dim, 1'023, "floats of a vector");
  whole("--user-columns", options.user_columns, 64, "that a request has once");
  whole("--item-columns", options.item_columns, 64, "that each candidate has");
  whole("--threads", options.threads, 64, "that score");
  verb.add_option("--dir", options.dir, "folder for files, removed at the end");
  verb.add_flag("--json", options.json, "one line of JSON on standard output");
  verb.add_flag("--inside", options.inside)->group("");
  verb.add_option("--what", options.what)->group("");
  verb.add_option("--address", options.address)->group("");
  verb.add_option("--answer-bytes", options.answer_bytes)->group("");
  verb.add_option("--command", options.command)->group("");
}

void add_options(CLI::App& verb, bench::freshness_options& options) {
  const auto whole =
      [&verb](const char* flag, std::uint32_t& into, std::uint32_t max, const char* help) {
        verb.add_option(flag, into, help)->check(CLI::Range(std::uint32_t{1}, max));
      };
  whole("--rate", options.rate, 100'000'000, "samples a second, whatever comes of them");
  whole("--seconds", options.seconds, 3'600, "that count");
  whole("--warm-seconds", options.warm_seconds, 3'600, "before them");
  whole("--push", options.push, 65'536, "samples of one push");
  whole("--probe-ms", options.probe_ms, 60'000, "between two probe events");
  whole("--ask-ms", options.ask_ms, 60'000, "between two predictions");
  whole("--batch-max", options.batch_max, 65'536, "samples of a batch");
  whole("--wait-ms", options.wait_ms, 60'000, "a batch is sealed after this even when not full");
  whole("--in-flight", options.in_flight, 256, "batches that are learned at once");
  whole("--interval-ms", options.interval_ms, 60'000, "a shard's changes of so long come as one");
  whole("--dim", options.dim, 1'023, "floats of a vector");
  verb.add_option("--arch", options.arch, "the model")
      ->check(CLI::IsMember({"lr", "fm", "deepfm", "dcnv2"}));
  verb.add_option("--dir", options.dir, "folder for files, removed at the end");
  verb.add_flag("--json", options.json, "one line of JSON on standard output");
  verb.add_flag("--inside", options.inside)->group("");
  verb.add_option("--events", options.events)->group("");
  verb.add_option("--address", options.address)->group("");
  verb.add_option("--status", options.status)->group("");
  verb.add_option("--command", options.command)->group("");
}

void add_serving(CLI::App& bench_verb, verb_context& context) {
  const auto stop = [&context](std::chrono::milliseconds patience) {
    return context.signals.wait(patience);
  };
  auto serve = std::make_shared<bench::serve_options>();
  CLI::App* verb = bench_verb.add_subcommand(
      "serve", "Milliseconds of predictions and lookups over HTTP, beside answers of nothing");
  CLI::App* client = bench_verb.add_subcommand("serve-client", "")->group("");
  CLI::App* bare = bench_verb.add_subcommand("serve-bare", "")->group("");
  for (CLI::App* each : {verb, client, bare}) add_options(*each, *serve);
  verb->callback(
      [serve, stop, &context] { context.status = bench::run_bench_serve(*serve, stop); });
  client->callback([serve, &context] { context.status = bench::run_serve_client(*serve); });
  bare->callback([serve, &context] { context.status = bench::run_serve_bare(*serve); });

  auto fresh = std::make_shared<bench::freshness_options>();
  CLI::App* freshness = bench_verb.add_subcommand(
      "freshness", "Seconds from an event until a prediction has what was learned of it");
  CLI::App* asking = bench_verb.add_subcommand("freshness-client", "")->group("");
  for (CLI::App* each : {freshness, asking}) add_options(*each, *fresh);
  freshness->callback(
      [fresh, stop, &context] { context.status = bench::run_bench_freshness(*fresh, stop); });
  asking->callback([fresh, &context] { context.status = bench::run_freshness_client(*fresh); });
}

}  // namespace

void add_bench(CLI::App& app, verb_context& context) {
  CLI::App* verb = app.add_subcommand(
      "bench", "Measures this machine: rows64 pushes and pulls rows of 64 floats");
  verb->require_subcommand(1);
  add_gates(*verb, context);
  add_benches_beside_torch(*verb, context);
  add_events(*verb, context);
  add_available(*verb, context);
  add_serving(*verb, context);
  auto options = std::make_shared<rows64_options>();

  CLI::App* rows64 =
      verb->add_subcommand("rows64", "Rows a second beside an empty handler and a plain server");
  add_options(*rows64, *options);
  rows64->callback([options, &context] {
    if (options->kill) options->row_store = true;
    if (const auto fine = bench::check(*options); !fine) {
      context.status = report_error(fine.error());
      return;
    }
    context.status = bench::run_bench_rows64(
        *options,
        [&context](std::chrono::milliseconds patience) { return context.signals.wait(patience); });
  });

  CLI::App* client = verb->add_subcommand("rows64-client", "")->group("");
  add_options(*client, *options);
  client->add_option("--command", options->command);
  client->callback([options, &context] { context.status = bench::run_rows64_client(*options); });

  CLI::App* server = verb->add_subcommand("rows64-server", "")->group("");
  auto peer = std::make_shared<rows64_peer>(rows64_peer::headrace);
  add_options(*server, *options);
  add_choice<rows64_peer>(*server,
                          "--peer",
                          *peer,
                          {{"headrace", rows64_peer::headrace},
                           {"empty", rows64_peer::empty},
                           {"plain", rows64_peer::plain}},
                          "");
  server->callback(
      [options, peer, &context] { context.status = bench::run_rows64_server(*options, *peer); });
}

}  // namespace headrace::cli
