#include "bench/serve/report.hpp"

#include "base/json_line.hpp"
#include "bench/rows64/summary.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <thread>

namespace headrace::bench {
namespace {

// Where freshness is measured: what an event goes through.
constexpr const char* path_of_events =
    "event over ZeroMQ, event log, sealed batch, sample log, pull, forward and backward, push, "
    "update log, delta, replica, prediction over HTTP; one process of the product, one client";

void add_load(json_line& line, const std::string& prefix, const http_figures& figures) {
  line.add(prefix + "_p50_ms", figures.p50_ms)
      .add(prefix + "_p99_ms", figures.p99_ms)
      .add(prefix + "_p999_ms", figures.p999_ms)
      .add(prefix + "_max_ms", figures.max_ms)
      .add(prefix + "_requests_per_second", std::llround(figures.per_second()))
      .add(prefix + "_refused", figures.refused);
}

void add_machine(json_line& line, const std::string& weight, const std::string& command) {
  line.add("cpu", cpu_model())
      .add("cores", std::thread::hardware_concurrency())
      .add("load_average", load_average())
      .add("weight", weight)
      .add("command", command);
  const char* const commit = std::getenv("HEADRACE_COMMIT");
  line.add("commit", commit ? std::optional<std::string>(commit) : std::nullopt);
}

double ratio(double ours, double others) { return others > 0 ? ours / others : 0; }

std::string row_of(const char* what, const http_figures& figures) {
  char text[160];
  std::snprintf(text,
                sizeof text,
                "  %-24s p50 %7.2f ms, p99 %7.2f ms, longest %8.2f ms, %7.0f requests/s\n",
                what,
                figures.p50_ms,
                figures.p99_ms,
                figures.max_ms,
                figures.per_second());
  return text;
}

}  // namespace

bool is_within_limits(const serve_points& points) {
  return points.predict.p50_ms < predict_p50_ms_max && points.predict.p99_ms < predict_p99_ms_max &&
         points.lookup.p99_ms < lookup_p99_ms_max;
}

bool is_within_limits(const freshness_figures& figures) {
  return figures.missing == 0 && figures.went_back == 0 &&
         figures.p50_seconds < freshness_p50_seconds_max &&
         figures.p99_seconds < freshness_p99_seconds_max;
}

std::string to_json(const serve_options& options, const serve_points& points) {
  json_line line;
  line.add("bench", "serve").add("rate", options.rate);
  add_load(line, "predict", points.predict);
  line.add("predict_p50_ms_max", predict_p50_ms_max).add("predict_p99_ms_max", predict_p99_ms_max);
  add_load(line, "lookup", points.lookup);
  line.add("lookup_p99_ms_max", lookup_p99_ms_max);
  add_load(line, "bare", points.bare);
  line.add("predict_p50_to_bare", ratio(points.predict.p50_ms, points.bare.p50_ms));
  add_load(line, "most_predict", points.most);
  add_load(line, "most_bare", points.bare_most);
  line.add("most_predict_to_bare", ratio(points.most.per_second(), points.bare_most.per_second()))
      .add("candidates", options.candidates)
      .add("lookup_rows", options.rows)
      .add("model", "deepfm")
      .add("dim", options.dim)
      .add("user_columns", options.user_columns)
      .add("item_columns", options.item_columns)
      .add("rows", points.rows)
      .add("request_bytes", points.request_bytes)
      .add("answer_bytes", points.predict.answer_bytes)
      .add("connections", options.connections)
      .add("threads", options.threads)
      .add("seconds", options.seconds)
      .add("rounds", options.rounds);
  add_machine(line, points.weight, options.command);
  return line.text();
}

std::string to_json(const freshness_options& options,
                    const freshness_figures& figures,
                    const std::string& weight) {
  json_line line;
  line.add("bench", "freshness")
      .add("freshness_p50_seconds", figures.p50_seconds)
      .add("freshness_p99_seconds", figures.p99_seconds)
      .add("freshness_max_seconds", figures.max_seconds)
      .add("freshness_p50_seconds_max", freshness_p50_seconds_max)
      .add("freshness_p99_seconds_max", freshness_p99_seconds_max)
      .add("sent_p50_seconds", figures.sent_p50_seconds)
      .add("sent_p99_seconds", figures.sent_p99_seconds)
      .add("age_p50_seconds", figures.age_p50_seconds)
      .add("age_p99_seconds", figures.age_p99_seconds)
      .add("probes", figures.probes)
      .add("probes_missing", figures.missing)
      .add("went_back", figures.went_back)
      .add("offered_samples_per_second", options.rate)
      .add("load_samples_per_second", std::llround(figures.samples_per_second))
      .add("backlog_end", figures.backlog_end)
      .add("refused", figures.refused)
      .add("predictions", figures.answers)
      .add("predict_p50_ms", figures.predict_p50_ms)
      .add("predict_p99_ms", figures.predict_p99_ms)
      .add("path", path_of_events)
      .add("model", options.arch)
      .add("dim", options.dim)
      .add("batch_max", options.batch_max)
      .add("batch_wait_ms", options.wait_ms)
      .add("in_flight", options.in_flight)
      .add("interval_ms", options.interval_ms)
      .add("seconds", options.seconds);
  add_machine(line, weight, options.command);
  return line.text();
}

std::string to_table(const serve_options& options, const serve_points& points) {
  char head[200];
  std::snprintf(head,
                sizeof head,
                "deepfm of dim %u, 1 user x %u candidates, %u requests/s: at most p50 %.1f ms, "
                "p99 %.0f ms; lookups p99 %.0f ms\n",
                options.dim,
                options.candidates,
                options.rate,
                predict_p50_ms_max,
                predict_p99_ms_max,
                lookup_p99_ms_max);
  return head + row_of("predictions", points.predict) + row_of("lookups", points.lookup) +
         row_of("bare HTTP, same bytes", points.bare) + row_of("predictions, most", points.most) +
         row_of("bare HTTP, most", points.bare_most);
}

std::string to_table(const freshness_options& options, const freshness_figures& figures) {
  char text[480];
  std::snprintf(
      text,
      sizeof text,
      "an event accepted until a prediction has it, %u samples/s: p50 %.3f s, p99 %.3f s, "
      "longest %.3f s (at most %.2f and %.2f)\n"
      "  %llu probes, %llu missing; %.0f samples/s learned, %llu behind at the end; "
      "predictions p50 %.2f ms, p99 %.2f ms\n",
      options.rate,
      figures.p50_seconds,
      figures.p99_seconds,
      figures.max_seconds,
      freshness_p50_seconds_max,
      freshness_p99_seconds_max,
      static_cast<unsigned long long>(figures.probes),
      static_cast<unsigned long long>(figures.missing),
      figures.samples_per_second,
      static_cast<unsigned long long>(figures.backlog_end),
      figures.predict_p50_ms,
      figures.predict_p99_ms);
  return text;
}

}  // namespace headrace::bench
