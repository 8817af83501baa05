#include "bench/ingest/report.hpp"

#include "base/json_line.hpp"
#include "bench/rows64/summary.hpp"

#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <thread>

namespace headrace::bench {
namespace {

std::vector<double> values_of(const std::vector<ingest_round>& rounds,
                              double ingest_round::*field) {
  std::vector<double> values;
  for (const auto& one : rounds) values.push_back(one.*field);
  return values;
}

summary summary_of(const std::vector<ingest_round>& rounds, double ingest_round::*field) {
  return summarize(values_of(rounds, field));
}

/// Ours over Redis, round by round.
summary ratio_to_redis(const ingest_points& points) {
  return ratio_of(values_of(points.headrace, &ingest_round::events_per_second),
                  values_of(points.redis, &ingest_round::events_per_second));
}

void add_rounds(json_line& line, std::string_view key, const std::vector<ingest_round>& rounds) {
  line.begin_array(key);
  for (const auto& one : rounds) line.add_item(std::llround(one.events_per_second));
  line.end();
}

void add_redis(json_line& line, const ingest_points& points) {
  if (points.redis.empty()) {
    line.add_null("redis_events_per_second").add_null("ratio_to_redis");
    line.add("redis", "not measured: " + points.redis_absent);
    return;
  }
  const summary rates = summary_of(points.redis, &ingest_round::events_per_second);
  const summary ratio = ratio_to_redis(points);
  line.add("redis_events_per_second", std::llround(rates.median))
      .add("ratio_to_redis", ratio.median);
  line.begin_array("ratio_spread").add_item(ratio.min).add_item(ratio.max).end();
  line.add("redis_p50_ms", summary_of(points.redis, &ingest_round::p50_ms).median)
      .add("redis_p99_ms", summary_of(points.redis, &ingest_round::p99_ms).median)
      .add("redis", points.redis_version + ", appendonly yes, appendfsync everysec");
  add_rounds(line, "redis_events_per_second_by_round", points.redis);
}

}  // namespace

std::string to_json(const ingest_options& options, const ingest_points& points) {
  const summary ours = summary_of(points.headrace, &ingest_round::events_per_second);
  json_line line;
  line.add("bench", "ingest")
      .add("durable", name(options.durable))
      .add("events_per_second", std::llround(ours.median));
  add_redis(line, points);
  line.add("event_bytes", points.event_bytes)
      .add("batch", options.batch)
      .add("client_processes", options.clients)
      .add("depth", options.depth)
      .add("p50_ms", summary_of(points.headrace, &ingest_round::p50_ms).median)
      .add("p99_ms", summary_of(points.headrace, &ingest_round::p99_ms).median)
      .add("http_json_events_per_second",
           std::llround(summary_of(points.http_json, &ingest_round::events_per_second).median))
      .add("http_single_events_per_second",
           std::llround(summary_of(points.http_single, &ingest_round::events_per_second).median))
      .add("http_single_p99_ms", summary_of(points.http_single, &ingest_round::p99_ms).median)
      .add("recovered_events", points.survival.recovered_events)
      .add("acknowledged_events", points.survival.acknowledged_events)
      .add("restart_ms", points.survival.restart_ms)
      .add("rounds", options.rounds)
      .add("events_of_a_round", options.events);
  add_rounds(line, "events_per_second_by_round", points.headrace);
  add_rounds(line, "http_json_events_per_second_by_round", points.http_json);
  add_rounds(line, "http_single_events_per_second_by_round", points.http_single);
  line.add("cpu", cpu_model())
      .add("cores", std::thread::hardware_concurrency())
      .add("load_average", load_average())
      .add("weight", points.weight)
      .add("command", options.command);
  const char* const commit = std::getenv("HEADRACE_COMMIT");
  line.add("commit", commit ? std::optional<std::string>(commit) : std::nullopt);
  return line.text();
}

std::string to_table(const ingest_options& options, const ingest_points& points) {
  const auto row = [](const char* what, const std::vector<ingest_round>& rounds) {
    const summary rates = summary_of(rounds, &ingest_round::events_per_second);
    char text[200];
    std::snprintf(text,
                  sizeof text,
                  "  %-16s %9.0f events/s [%.0f .. %.0f]   p50 %.2f ms, p99 %.2f ms\n",
                  what,
                  rates.median,
                  rates.min,
                  rates.max,
                  summary_of(rounds, &ingest_round::p50_ms).median,
                  summary_of(rounds, &ingest_round::p99_ms).median);
    return std::string(text);
  };
  char head[200];
  std::snprintf(
      head,
      sizeof head,
      "events of %.0f bytes, batches of %u, %u client processes, %u in flight each, log %s\n",
      points.event_bytes,
      options.batch,
      options.clients,
      options.depth,
      std::string(name(options.durable)).c_str());
  std::string text = head + row("ours", points.headrace);
  if (points.redis.empty()) {
    text += "  Redis Streams    not measured: " + points.redis_absent + "\n";
  } else {
    char ratio[64];
    std::snprintf(ratio, sizeof ratio, "  ratio            %9.2f\n", ratio_to_redis(points).median);
    text += row("Redis Streams", points.redis) + ratio;
  }
  text += row("JSON lines, HTTP", points.http_json) + row("one event, HTTP", points.http_single);
  char kill[200];
  std::snprintf(kill,
                sizeof kill,
                "  killed: %llu events acknowledged, %llu in the log; ready again after %.0f ms\n",
                static_cast<unsigned long long>(points.survival.acknowledged_events),
                static_cast<unsigned long long>(points.survival.recovered_events),
                points.survival.restart_ms);
  return text + kill;
}

}  // namespace headrace::bench
