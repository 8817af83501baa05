#include "bench/available/report.hpp"

#include "base/json_line.hpp"
#include "bench/rows64/summary.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <optional>
#include <thread>

namespace headrace::bench {
namespace {

using rounds = std::vector<available_round>;

double median_of(const rounds& all, const std::function<double(const available_round&)>& what) {
  std::vector<double> values;
  for (const auto& one : all) values.push_back(what(one));
  return summarize(std::move(values)).median;
}

using which = delay_figures available_round::*;

double median_of(const rounds& all, which of, double delay_figures::*what) {
  return median_of(all, [&](const available_round& one) { return one.*of.*what; });
}

double worst_of(const rounds& all, which of, double delay_figures::*what) {
  double worst = 0;
  for (const auto& one : all) worst = std::max(worst, one.*of.*what);
  return worst;
}

void add_delays(json_line& line, const std::string& prefix, const rounds& all, which of) {
  line.add(prefix + "_p50", median_of(all, of, &delay_figures::p50_ms))
      .add(prefix + "_p99", median_of(all, of, &delay_figures::p99_ms))
      .add(prefix + "_p999", median_of(all, of, &delay_figures::p999_ms))
      .add(prefix + "_max", worst_of(all, of, &delay_figures::max_ms));
}

std::string json_of(const available_options& options,
                    const available_points& points,
                    available_job job) {
  const bool joined = job == available_job::joined;
  const rounds& all = joined ? points.joined : points.labelled;
  json_line line;
  line.add("bench", "available")
      .add("job", name(job))
      .add("durable", name(options.durable))
      .add("offered_events_per_second",
           std::llround(median_of(all, [](const auto& r) { return r.offered_events_per_second; })))
      .add("events_per_second",
           std::llround(median_of(all, [](const auto& r) { return r.events_per_second; })));
  add_delays(line, "available_ms", all, &available_round::from_intake);
  line.add("available_ms_p99_max", available_ms_max);
  add_delays(line, "scheduled_ms", all, &available_round::from_schedule);
  line.begin_array("available_ms_p99_by_round");
  for (const auto& one : all) line.add_item(one.from_intake.p99_ms);
  line.end();
  line.add("status_available_ms_p50", median_of(all, [](const auto& r) { return r.status_ms_p50; }))
      .add("status_available_ms_p99", median_of(all, [](const auto& r) { return r.status_ms_p99; }))
      .add("samples", all.empty() ? 0 : all.front().samples)
      .add("event_bytes", joined ? points.event_bytes_joined : points.event_bytes_labelled)
      .add("batch", options.batch)
      .add("samples_of_batch", options.samples)
      .add("batch_wait_ms", options.wait_ms)
      .add("in_flight", options.in_flight)
      .add("seconds", options.seconds)
      .add("rounds", options.rounds)
      .add("server_us_per_event",
           median_of(all, [](const auto& r) { return r.server_us_per_event; }))
      .add("client_us_per_event",
           median_of(all, [](const auto& r) { return r.client_us_per_event; }))
      .add("cpu", cpu_model())
      .add("cores", std::thread::hardware_concurrency())
      .add("load_average", load_average())
      .add("weight", points.weight)
      .add("command", options.command);
  const char* const commit = std::getenv("HEADRACE_COMMIT");
  line.add("commit", commit ? std::optional<std::string>(commit) : std::nullopt);
  return line.text();
}

std::string row_of(const char* what, const rounds& all, which of) {
  char text[160];
  std::snprintf(text,
                sizeof text,
                "  %-28s p50 %6.2f ms, p99 %6.2f ms, p999 %6.2f ms, longest %7.2f ms\n",
                what,
                median_of(all, of, &delay_figures::p50_ms),
                median_of(all, of, &delay_figures::p99_ms),
                median_of(all, of, &delay_figures::p999_ms),
                worst_of(all, of, &delay_figures::max_ms));
  return text;
}

std::string table_of(const char* what, const rounds& all) {
  char text[160];
  std::snprintf(text,
                sizeof text,
                "%s: %.0f events/s of %.0f offered\n",
                what,
                median_of(all, [](const auto& r) { return r.events_per_second; }),
                median_of(all, [](const auto& r) { return r.offered_events_per_second; }));
  return text + row_of("from the intake", all, &available_round::from_intake) +
         row_of("from when it was due", all, &available_round::from_schedule);
}

}  // namespace

bool is_within_limit(const available_points& points) {
  const auto p99 = [](const rounds& all) {
    return median_of(all, &available_round::from_intake, &delay_figures::p99_ms);
  };
  return std::max(p99(points.labelled), p99(points.joined)) < available_ms_max;
}

std::string to_json(const available_options& options, const available_points& points) {
  return json_of(options, points, available_job::labelled) + "\n" +
         json_of(options, points, available_job::joined);
}

std::string to_table(const available_options& options, const available_points& points) {
  char head[200];
  std::snprintf(
      head,
      sizeof head,
      "an event until its sample is with the worker, %u events/s in pushes of %u, log %s; "
      "p99 at most %.0f ms\n",
      options.rate,
      options.batch,
      std::string(name(options.durable)).c_str(),
      available_ms_max);
  return head + table_of("label in the event", points.labelled) +
         table_of("joined, the action follows", points.joined);
}

}  // namespace headrace::bench
