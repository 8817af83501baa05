#include "bench/available/available.hpp"

#include "bench/available/live_job.hpp"
#include "bench/available/open_loop.hpp"
#include "bench/available/processor_time.hpp"
#include "bench/available/report.hpp"
#include "bench/rows64/own_session.hpp"
#include "bench/rows64/process.hpp"

#include <algorithm>
#include <cstdio>
#include <string>
#include <system_error>
#include <unistd.h>
#include <utility>

namespace headrace::bench {
namespace {

using namespace std::chrono_literals;

constexpr auto patience_for_samples = 30s;

std::uintmax_t free_bytes(const available_options& options) {
  constexpr std::uintmax_t least = std::uintmax_t{1} << 30;
  constexpr std::uintmax_t bytes_each = 512;  // in the event log and in the sample log
  return least + options.pushes() * options.batch * bytes_each;
}

void wait_for_line() {
  char c = 0;
  while (::read(STDIN_FILENO, &c, 1) == 1 && c != '\n') {
  }
}

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

result<available_round> measure_round(available_options options, available_job job) {
  options.job = job;
  options.dir /= "files";
  auto server = child::start(available_arguments("available-server", options), {.piped = true});
  if (!server) return server.error();
  options.endpoint = server->read_line();
  if (options.endpoint.empty()) return error{errc::unavailable, "the server ended at once"};
  auto client = child::start(available_arguments("available-client", options), {.piped = true});
  if (!client) return client.error();
  if (client->read_line() != "ready") return error{errc::unavailable, "the client did not start"};
  client->write_line("go");
  const auto sent = parse_sent_pushes(client->read_line());
  if (!sent) return sent.error();
  server->write_line("end");
  const auto seen = parse_seen_samples(server->read_line());
  if (!seen) return seen.error();
  server->kill();
  std::error_code ignored;
  std::filesystem::remove_all(options.dir, ignored);
  return to_round(options, *sent, *seen);
}

double event_bytes(available_options options, available_job job) {
  options.job = job;
  return static_cast<double>(make_labelled_batch(options, 0, 0).size()) / options.batch;
}

result<available_points> measure(const available_options& options) {
  available_points points;
  points.event_bytes_labelled = event_bytes(options, available_job::labelled);
  points.event_bytes_joined = event_bytes(options, available_job::joined);
  for (std::uint32_t i = 0; i < options.rounds; ++i) {
    for (const available_job job : {available_job::labelled, available_job::joined}) {
      auto round = measure_round(options, job);
      if (!round) return round.error();
      (job == available_job::joined ? points.joined : points.labelled).push_back(*round);
    }
  }
  return points;
}

}  // namespace

int run_bench_available(const available_options& options,
                        const std::function<bool(std::chrono::milliseconds)>& stop) {
  if (!options.inside) {
    const auto arguments = [&options](const std::filesystem::path& folder) {
      available_options inside = options;
      inside.dir = folder;
      inside.inside = true;
      inside.command = command_line(options);
      return available_arguments("available", inside);
    };
    return run_in_own_session("available", options.dir, free_bytes(options), arguments, stop);
  }
  end_with_parent();
  const std::string weight = raise_autogroup_weight();
  auto points = measure(options);
  if (!points) return complain("available", points.error());
  points->weight = weight;
  const std::string text =
      options.json ? to_json(options, *points) + "\n" : to_table(options, *points);
  std::fputs(text.c_str(), stdout);
  return is_within_limit(*points) ? 0 : 1;
}

int run_available_server(const available_options& options) {
  end_with_parent();
  keep_large_blocks();
  auto job = live_job::start(options);
  if (!job) return complain("available", job.error());
  const std::uint64_t used = processor_us();
  say((*job)->endpoint());
  wait_for_line();
  (*job)->wait_for(options.pushes() * options.samples_of_push(), patience_for_samples);
  seen_samples seen = (*job)->look();
  seen.processor_us = processor_us() - used;
  say(to_line(seen));
  return 0;
}

int run_available_client(const available_options& options) {
  end_with_parent();
  keep_large_blocks();
  auto sender = open_loop_sender::open(options);
  if (!sender) return complain("available", sender.error());
  say("ready");
  wait_for_line();
  const auto sent = (*sender)->send_all();
  if (!sent) return complain("available", sent.error());
  say(to_line(*sent));
  return 0;
}

}  // namespace headrace::bench
