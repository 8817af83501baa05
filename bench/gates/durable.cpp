#include "bench/gates/gate_options.hpp"
#include "bench/rows64/measurement.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <string>
#include <system_error>
#include <vector>

/// `bench durable`: int8 pushes with Adagrad that survive kill -9, the worker's quantization
/// included, over the real row store. A burst whose tail stays in memory; minutes with write-back
/// and truncation behind it; and what durability costs.
namespace headrace::bench {
namespace {

rows64_options durable_push(const gate_options& asked, const std::string& folder) {
  rows64_options options;
  options.codec = schemas::value_codec::int8;
  options.optimizer = schemas::optimizer_kind::adagrad;
  options.quantize = true;
  options.row_store = true;
  options.dir = asked.dir / folder;
  options.seconds = asked.seconds;
  options.peer_seconds = std::min(asked.seconds, 3.0);
  options.rounds = asked.rounds;
  return options;
}

/// As measure_rows64; nothing of it stays on disk.
result<rows64_points> measure(const rows64_options& options) {
  auto points = measure_rows64(options);
  std::error_code ignored;
  std::filesystem::remove_all(options.dir, ignored);
  return points;
}

std::vector<double> rates(const std::vector<measured>& points) {
  std::vector<double> values;
  for (const auto& point : points) values.push_back(point.rows_per_second);
  return values;
}

std::string latency(const std::vector<measured>& points) {
  std::vector<double> p50;
  std::vector<double> p99;
  for (const auto& point : points) {
    p50.push_back(point.p50_ms);
    p99.push_back(point.p99_ms);
  }
  char text[64];
  std::snprintf(text,
                sizeof text,
                "p50 %.2f, p99 %.2f ms",
                summarize(std::move(p50)).median,
                summarize(std::move(p99)).median);
  return text;
}

std::string series(const std::vector<double>& rates) {
  std::string text = "M rows/s in twelfths:";
  for (const double rate : rates) {
    char digits[16];
    std::snprintf(digits, sizeof digits, " %.2f", rate / 1e6);
    text += digits;
  }
  return text;
}

/// int8 pushes in two modes, one after the other, round by round.
result<gate_point> cost_of_durability(const gate_options& asked) {
  gate_point point{.what = "push int8, os instead of none", .unit = "rows/s"};
  point.beside = "mode none";
  point.kind = gate_kind::ratio_at_least;
  point.gate = 0.85;
  for (std::uint32_t round = 0; round < 2 * asked.rounds; ++round) {
    rows64_options options = durable_push(asked, "cost");
    options.quantize = false;  // the less a push costs, the more its log shows
    options.optimizer = schemas::optimizer_kind::add;
    options.tail_in_memory = true;
    options.rounds = 1;
    options.seconds = std::min(asked.seconds, 3.0);
    options.peer_seconds = 0.05;
    const bool os_first = round % 2 == 0;
    for (const bool os : {os_first, !os_first}) {
      options.durable = os ? schemas::log_mode::os : schemas::log_mode::none;
      auto points = measure(options);
      if (!points) return points.error();
      (os ? point.ours : point.others).push_back(points->headrace.front().rows_per_second);
    }
  }
  return point;
}

}  // namespace

result<gate_report> measure_durable(const gate_options& asked) {
  gate_report report;
  report.bench = "durable";
  report.workload =
      "rows-64, push int8 + adagrad, quantized by the client, 1 shard, tcp, batch 4096, depth 8, "
      "mode os, RocksDB";
  auto cost = cost_of_durability(asked);
  if (!cost) return cost.error();

  rows64_options burst = durable_push(asked, "burst");
  burst.tail_in_memory = true;
  auto bursts = measure(burst);
  if (!bursts) return bursts.error();
  report.points.push_back({.what = "burst, tail in memory",
                           .unit = "rows/s",
                           .ours = rates(bursts->headrace),
                           .beside = "plain server, fp32 add",
                           .others = rates(bursts->plain),
                           .kind = gate_kind::ratio_at_least,
                           .gate = 1.2,
                           .note = latency(bursts->headrace)});
  report.points.push_back({.what = "the same",
                           .unit = "rows/s",
                           .ours = rates(bursts->headrace),
                           .beside = "our transport, empty handler",
                           .others = rates(bursts->empty),
                           .note = "the client quantizes there, too"});

  rows64_options sustained = durable_push(asked, "sustained");
  sustained.seconds = asked.sustained_seconds;
  sustained.rounds = 1;
  auto minutes = measure(sustained);
  if (!minutes) return minutes.error();
  report.points.push_back(
      {.what = "sustained, written back and truncated",
       .unit = "rows/s",
       .ours = rates(minutes->headrace),
       .beside = "the burst",
       .others = {summarize(rates(bursts->headrace)).median},
       .kind = gate_kind::ratio_at_least,
       .gate = 0.6,
       .note = latency(minutes->headrace) + "; " + series(minutes->headrace.front().rate_by_part)});
  report.points.push_back(std::move(*cost));
  return report;
}

}  // namespace headrace::bench
