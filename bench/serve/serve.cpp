#include "bench/serve/serve.hpp"

#include "actors/http/http_server.hpp"
#include "bench/rows64/own_session.hpp"
#include "bench/rows64/process.hpp"
#include "bench/rows64/summary.hpp"
#include "bench/serve/http_load.hpp"
#include "bench/serve/product.hpp"
#include "bench/serve/report.hpp"

#include <algorithm>
#include <cstdio>
#include <string>
#include <unistd.h>
#include <utility>
#include <vector>

namespace headrace::bench {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 60s;
constexpr std::uint64_t bodies = 512;  // different ones
constexpr std::uintmax_t bytes_free = std::uintmax_t{1} << 30;

void say(const std::string& line) {
  std::printf("%s\n", line.c_str());
  std::fflush(stdout);
}

void wait_for_line() {
  char c = 0;
  while (::read(STDIN_FILENO, &c, 1) == 1 && c != '\n') {
  }
}

// What stands between the two in `line`.
std::string between(const std::string& line, const std::string& before, char behind) {
  const auto from = line.find(before);
  if (from == std::string::npos) return {};
  const auto at = from + before.size();
  return line.substr(at, line.find(behind, at) - at);
}

/// The job's processes, as people start them.
struct product {
  child server;
  child serve;
  std::string address;  // host:port of the predictions
};

result<product> start_product(const serve_options& options) {
  const auto job = write_serve_job(options);
  if (!job) return job.error();
  const std::string state = options.dir / "rows";
  auto server = child::start({"server", *job, "--state", state, "--listen", "tcp://127.0.0.1:*"},
                             {.piped = true});
  if (!server) return server.error();
  const std::string endpoint = between(server->read_line(), "listening on ", ',');
  if (endpoint.empty()) return error{errc::unavailable, "the server ended at once"};
  const std::string learner = options.dir / "learner";
  auto worker = child::start({"worker", *job, "--state", learner, "--connect", endpoint, "--json"},
                             {.piped = true});
  if (!worker) return worker.error();
  if (whole_in(worker->read_line(), "samples") != options.events)
    return error{errc::unavailable, "the worker did not learn every event"};
  auto serve = child::start({"serve", *job, "--connect", endpoint, "--http", "http://127.0.0.1:0"},
                            {.piped = true});
  if (!serve) return serve.error();
  std::string address = between(serve->read_line(), "http://", '/');
  if (address.empty()) return error{errc::unavailable, "what serves ended at once"};
  if (auto ready = wait_until_ready(address, patience); !ready) return ready.error();
  return product{std::move(*server), std::move(*serve), std::move(address)};
}

result<http_figures> measure(serve_options options, const char* what, const std::string& address) {
  options.what = what;
  options.address = address;
  auto client = child::start(serve_arguments("serve-client", options), {.piped = true});
  if (!client) return client.error();
  return parse_http_figures(client->read_line());
}

result<std::uint64_t> rows_held(const std::string& address) {
  auto line = http_line::connect(address);
  if (!line) return line.error();
  const auto answer = (*line)->ask(http_text("/v1/status"), 10s);
  if (!answer) return answer.error();
  return whole_in(answer->body, "rows");
}

/// A point of each round.
struct measured_point {
  const char* what;
  bool bare;
  http_figures serve_points::*into;
  std::vector<http_figures> rounds = {};
};

double median_of(const std::vector<http_figures>& rounds, double http_figures::*which) {
  std::vector<double> values;
  for (const http_figures& one : rounds) values.push_back(one.*which);
  return summarize(std::move(values)).median;
}

// Medians of times, sums of counts.
http_figures all_of(const std::vector<http_figures>& rounds) {
  http_figures made;
  for (const http_figures& one : rounds) {
    made.sent += one.sent;
    made.answered += one.answered;
    made.refused += one.refused;
    made.seconds += one.seconds;
    made.max_ms = std::max(made.max_ms, one.max_ms);
  }
  for (double http_figures::*which : {&http_figures::p50_ms,
                                      &http_figures::p99_ms,
                                      &http_figures::p999_ms,
                                      &http_figures::answer_bytes})
    made.*which = median_of(rounds, which);
  return made;
}

result<serve_points> measure_all(const serve_options& options) {
  serve_points points;
  points.request_bytes = predict_body(options, 0).size();
  auto running = start_product(options);
  if (!running) return running.error();
  const auto rows = rows_held(running->address);
  if (!rows) return rows.error();
  points.rows = *rows;
  const auto first = measure(options, "predict", running->address);  // of no round
  if (!first) return first.error();
  serve_options bare = options;
  bare.answer_bytes = static_cast<std::uint32_t>(first->answer_bytes);
  auto server = child::start(serve_arguments("serve-bare", bare), {.piped = true});
  if (!server) return server.error();
  const std::string bare_address = server->read_line();
  std::vector<measured_point> all{{"predict", false, &serve_points::predict},
                                  {"predict", true, &serve_points::bare},
                                  {"lookup", false, &serve_points::lookup},
                                  {"most", false, &serve_points::most},
                                  {"most", true, &serve_points::bare_most}};
  for (std::uint32_t round = 0; round < options.rounds; ++round) {
    for (measured_point& point : all) {
      auto seen = measure(options, point.what, point.bare ? bare_address : running->address);
      if (!seen) return seen.error();
      point.rounds.push_back(*seen);
    }
  }
  for (const measured_point& point : all) points.*point.into = all_of(point.rounds);
  return points;
}

}  // namespace

int run_bench_serve(const serve_options& options,
                    const std::function<bool(std::chrono::milliseconds)>& stop) {
  if (!options.inside) {
    const auto arguments = [&options](const std::filesystem::path& folder) {
      serve_options inside = options;
      inside.dir = folder;
      inside.inside = true;
      inside.command = command_line(options);
      return serve_arguments("serve", inside);
    };
    return run_in_own_session("serve", options.dir, bytes_free, arguments, stop);
  }
  end_with_parent();
  const std::string weight = raise_autogroup_weight();
  auto points = measure_all(options);
  if (!points) return complain("serve", points.error());
  points->weight = weight;
  const std::string text =
      options.json ? to_json(options, *points) + "\n" : to_table(options, *points);
  std::fputs(text.c_str(), stdout);
  return is_within_limits(*points) ? 0 : 1;
}

int run_serve_client(const serve_options& options) {
  end_with_parent();
  http_load load;
  load.address = options.address;
  load.connections = options.connections;
  load.rate = options.what == "most" ? 0 : options.rate;
  const bool looks_up = options.what == "lookup";
  for (std::uint64_t i = 0; i < bodies; ++i) {
    load.requests.push_back(
        looks_up ? http_text("/v1/embeddings/embedding:lookup", lookup_body(options, i))
                 : http_text("/v1/models/bench:predict", predict_body(options, i)));
  }
  load.seconds = 1;  // plans, pages and connections are there afterwards
  if (auto warm = put_load(load); !warm) return complain("serve", warm.error());
  load.seconds = options.seconds;
  const auto seen = put_load(load);
  if (!seen) return complain("serve", seen.error());
  say(to_line(*seen));
  return 0;
}

int run_serve_bare(const serve_options& options) {
  end_with_parent();
  const auto answer = [body = std::string(options.answer_bytes, 'x')](
                          const actors::http_request&, const actors::http_reply& reply) {
    reply({200, body});
  };
  auto server = actors::http_server::open({"127.0.0.1:0"}, {{"POST", "/v1/*", answer}});
  if (!server) return complain("serve", server.error());
  say((*server)->endpoints().front());
  wait_for_line();
  return 0;
}

}  // namespace headrace::bench
