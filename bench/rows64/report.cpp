#include "bench/rows64/report.hpp"

#include "base/json_line.hpp"
#include "bench/rows64/summary.hpp"

#include <cstdio>
#include <cstdlib>
#include <span>
#include <thread>
#include <vector>

namespace headrace::bench {
namespace {

std::vector<double> values_of(std::span<const measured> points, double measured::*field) {
  std::vector<double> values;
  for (const auto& point : points) values.push_back(point.*field);
  return values;
}

std::vector<double> rates_of(std::span<const measured> points) {
  return values_of(points, &measured::rows_per_second);
}

summary summary_of(std::span<const measured> points, double measured::*field) {
  return summarize(values_of(points, field));
}

/// Ours over another's, round by round: what moved both is left out.
summary ratio(std::span<const measured> ours, std::span<const measured> others) {
  return ratio_of(rates_of(ours), rates_of(others));
}

std::uint64_t whole(double rate) { return static_cast<std::uint64_t>(rate + 0.5); }

void add_rate_spread(json_line& line, std::string_view key, const summary& rates) {
  line.begin_array(key).add_item(whole(rates.min)).add_item(whole(rates.max)).end();
}

/// All kills of a run as one.
struct survivals {
  std::uint64_t acknowledged = 0;
  std::uint64_t in_flight = 0;
  std::uint64_t lost = 0;
  std::uint64_t applied_twice = 0;
  double restart_ms = 0;  // median
};

survivals sum_of(std::span<const survival> kills) {
  survivals sum;
  std::vector<double> restarts;
  for (const auto& each : kills) {
    sum.acknowledged += each.acknowledged;
    sum.in_flight += each.in_flight;
    sum.lost += each.lost;
    sum.applied_twice += each.applied_twice;
    restarts.push_back(each.restart_ms);
  }
  sum.restart_ms = summarize(std::move(restarts)).median;
  return sum;
}

/// What the kills showed, one line; empty without any.
std::string describe_kills(std::span<const survival> kills) {
  if (kills.empty()) return {};
  const survivals sum = sum_of(kills);
  char text[256];
  std::snprintf(text,
                sizeof text,
                "  killed %zu times: of %llu acknowledged pushes %llu lost, %llu applied twice; "
                "%llu in flight sent again; serving after %.0f ms\n",
                kills.size(),
                static_cast<unsigned long long>(sum.acknowledged),
                static_cast<unsigned long long>(sum.lost),
                static_cast<unsigned long long>(sum.applied_twice),
                static_cast<unsigned long long>(sum.in_flight),
                sum.restart_ms);
  return text;
}

void add_kills(json_line& line, std::span<const survival> kills) {
  if (kills.empty()) return;
  const survivals sum = sum_of(kills);
  line.add("kills", static_cast<std::uint64_t>(kills.size()))
      .add("acknowledged_pushes", sum.acknowledged)
      .add("pushes_lost", sum.lost)
      .add("pushes_applied_twice", sum.applied_twice)
      .add("pushes_sent_again", sum.in_flight)
      .add("restart_ms", sum.restart_ms);
}

/// "3.61 M  [3.50 .. 3.70]".
std::string millions(const summary& values) {
  char text[64];
  std::snprintf(text,
                sizeof text,
                "%6.2f M [%.2f .. %.2f]",
                values.median / 1e6,
                values.min / 1e6,
                values.max / 1e6);
  return text;
}

std::string describe_point(const rows64_options& options) {
  return std::string(name(options.op)) + ", " + std::string(name(options.transport)) + ", " +
         std::string(name(options.codec)) + ", batch " + std::to_string(options.batch) +
         ", depth " + std::to_string(options.depth) + ", log " +
         std::string(name(options.durable)) + ", " + std::string(name(options.optimizer)) + ", " +
         std::to_string(options.shards) + (options.shards == 1 ? " shard" : " shards");
}

}  // namespace

std::string to_json(const rows64_options& options, const rows64_points& points) {
  const summary ours = summary_of(points.headrace, &measured::rows_per_second);
  const summary empty = summary_of(points.empty, &measured::rows_per_second);
  const summary plain = summary_of(points.plain, &measured::rows_per_second);
  const summary by_round = ratio(points.headrace, points.plain);
  json_line line;
  line.add("bench", "rows64")
      .add("op", name(options.op))
      .add("transport", name(options.transport))
      .add("codec", name(options.codec))
      .add("batch", options.batch)
      .add("depth", options.depth)
      .add("durable", name(options.durable))
      .add("optimizer", name(options.optimizer))
      .add("shards", options.shards)
      .add("rows_per_second", whole(ours.median))
      .add("p50_ms", summary_of(points.headrace, &measured::p50_ms).median)
      .add("p99_ms", summary_of(points.headrace, &measured::p99_ms).median)
      .add("empty_handler_rows_per_second", whole(empty.median))
      .add("plain_server_rows_per_second", whole(plain.median))
      .add("ratio_to_plain_server", plain.median > 0 ? ours.median / plain.median : 0.0)
      .add("verified_rows", points.verified_rows);
  add_rate_spread(line, "rows_per_second_spread", ours);
  add_rate_spread(line, "empty_handler_spread", empty);
  add_rate_spread(line, "plain_server_spread", plain);
  line.begin_array("rows_per_second_by_round");
  for (const auto& point : points.headrace) line.add_item(whole(point.rows_per_second));
  line.end();
  add_kills(line, points.kills);
  line.begin_array("ratio_spread").add_item(by_round.min).add_item(by_round.max).end();
  line.add("empty_handler_p50_ms", summary_of(points.empty, &measured::p50_ms).median)
      .add("plain_server_p50_ms", summary_of(points.plain, &measured::p50_ms).median)
      .add("plain_server_p99_ms", summary_of(points.plain, &measured::p99_ms).median)
      .add("plain_server", "fp32 add or fp32 pull, " + std::string(name(plain_transport(options))))
      .add("log_page_cache",
           options.op == rows64_op::push ? "warmed before each of our points" : "left alone")
      .add("rounds", options.rounds)
      .add("seconds", options.seconds)
      .add("cpu", cpu_model())
      .add("cores", std::thread::hardware_concurrency())
      .add("load_average", load_average())
      .add("weight", points.weight)
      .add("command", options.command);
  if (const char* commit = std::getenv("HEADRACE_COMMIT")) {
    line.add("commit", commit);
  } else {
    line.add_null("commit");
  }
  return line.text();
}

std::string to_table(const rows64_options& options, const rows64_points& points) {
  const summary ours = summary_of(points.headrace, &measured::rows_per_second);
  const summary empty = summary_of(points.empty, &measured::rows_per_second);
  const summary plain = summary_of(points.plain, &measured::rows_per_second);
  const auto row = [](const char* what, const summary& limit, const summary& got) {
    char text[256];
    std::snprintf(text,
                  sizeof text,
                  "  %-28s %-26s %-26s %5.2f\n",
                  what,
                  millions(limit).c_str(),
                  millions(got).c_str(),
                  limit.median > 0 ? got.median / limit.median : 0.0);
    return std::string(text);
  };
  char tail[256];
  std::snprintf(tail,
                sizeof tail,
                "  p50 %.2f ms, p99 %.2f ms (plain: %.2f, %.2f); %llu rows read back and right\n",
                summary_of(points.headrace, &measured::p50_ms).median,
                summary_of(points.headrace, &measured::p99_ms).median,
                summary_of(points.plain, &measured::p50_ms).median,
                summary_of(points.plain, &measured::p99_ms).median,
                static_cast<unsigned long long>(points.verified_rows));
  return "rows-64, rows/s, " + describe_point(options) + "\n" +
         "  peer                         limit                      ours                       "
         "ratio\n" +
         row(("plain server (fp32, " + std::string(name(plain_transport(options))) + ")").c_str(),
             plain,
             ours) +
         row("our transport, empty handler", empty, ours) + tail + describe_kills(points.kills) +
         "  median [min .. max] of " + std::to_string(options.rounds) + " rounds; " +
         std::to_string(std::thread::hardware_concurrency()) + " cores, " + cpu_model() + "; " +
         points.weight + "\n";
}

}  // namespace headrace::bench
