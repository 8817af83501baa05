#include "cli/telemetry/serve_series.hpp"

namespace headrace::cli {
namespace {

double seconds_since(std::uint64_t then_ms, std::uint64_t now_ms) {
  return now_ms < then_ms ? 0.0 : static_cast<double>(now_ms - then_ms) / 1'000;
}

void say_replica(const serve_figures& now, metrics_page& page) {
  page.measure(
      "headrace_replica_whole", "1 once every shard has sent all it had.", now.stamp.whole);
  page.measure(
      "headrace_replica_version", "Batches that are in, of all shards.", now.stamp.version);
  if (now.stamp.accepted_ms != 0)
    page.measure("headrace_replica_age_seconds",
                 "Since the moment through which every event is in.",
                 seconds_since(now.stamp.accepted_ms, now.now_ms));
  if (now.heard.heard_ms != 0)
    page.measure("headrace_replica_heard_seconds",
                 "Since every shard was heard of.",
                 seconds_since(now.heard.heard_ms, now.now_ms));
  page.measure("headrace_replica_lag_versions",
               "Batches that the shards have and the replica has not.",
               now.heard.lag_versions);
  page.measure("headrace_replica_rows", "Rows that are held.", now.rows);
  page.measure("headrace_replica_bytes", "Memory that they take.", now.bytes);
  page.count("headrace_replica_deltas_total", "Deltas that were taken.", now.heard.deltas);
  page.count("headrace_replica_delta_bytes_total", "Bytes of them.", now.heard.bytes);
  page.count("headrace_replica_delta_rows_total", "Rows in them.", now.heard.rows);
  page.count("headrace_replica_sessions_total", "Sessions that began.", now.heard.sessions);
  page.count("headrace_replica_resumed_total", "Times that were asked again.", now.heard.resumed);
  page.count("headrace_replica_refused_total",
             "Answers of shards that were refusals or could not be read.",
             now.heard.refused);
}

void say_requests(const serve_figures& now, metrics_page& page) {
  const auto requests = [&page](const char* outcome, std::uint64_t count) {
    page.count("headrace_serve_requests_total",
               "Requests, by what became of them.",
               count,
               {{"outcome", outcome}});
  };
  requests("answered", now.asked.answered);
  requests("refused", now.asked.refused);
  requests("turned_away", now.asked.turned_away);
  requests("not_ready", now.asked.not_ready);
  page.count("headrace_serve_samples_total", "Candidates that were scored.", now.asked.samples);
  page.count("headrace_serve_unknown_ids_total", "Ids without a row.", now.asked.unknown_ids);
  page.count("headrace_serve_batches_total", "Batches through the model.", now.asked.batches);
  page.measure("headrace_serve_waiting", "Requests that wait for a thread.", now.asked.waiting);
  const auto took = [&page](const char* quantile, std::uint64_t us) {
    page.measure("headrace_serve_predict_seconds",
                 "From a prediction's request to its answer.",
                 static_cast<double>(us) / 1e6,
                 {{"quantile", quantile}});
  };
  took("0.5", now.asked.p50_us);
  took("0.99", now.asked.p99_us);
  page.measure("headrace_serve_connections", "Connections that are open.", now.http.open);
  page.count("headrace_serve_http_refused_total",
             "Requests and connections that HTTP refused.",
             now.http.refused);
}

}  // namespace

void say_serving(const serve_figures& now, metrics_page& page) {
  say_replica(now, page);
  say_requests(now, page);
}

}  // namespace headrace::cli
