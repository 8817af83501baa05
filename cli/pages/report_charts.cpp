#include "cli/pages/report_charts.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace headrace::cli {
namespace {

constexpr double unmeasured = std::numeric_limits<double>::quiet_NaN();
constexpr double seconds_max = 1e12;  // what a chart's time axis takes

template <class Value>
chart_line line_of(const std::vector<series_point>& points, chart_line line, Value value) {
  line.points.reserve(points.size());
  for (const auto& p : points) line.points.push_back({p.seconds, value(p)});
  return line;
}

// Rates and ratios say nothing before the first sample.
template <class Value>
auto once_scored(Value value) {
  return [value](const series_point& p) {
    return p.samples > 0 ? static_cast<double>(value(p)) : unmeasured;
  };
}

}  // namespace

std::vector<series_point> in_order(const std::vector<series_point>& points) {
  std::vector<series_point> kept;
  kept.reserve(points.size());
  for (const auto& p : points) {
    if (!(p.seconds >= 0 && p.seconds <= seconds_max)) continue;
    if (kept.empty() || p.seconds >= kept.back().seconds) kept.push_back(p);
  }
  return kept;
}

std::optional<double> freeze_moment(const run_result& result,
                                    const std::vector<series_point>& points) {
  const auto& f = result.figures;
  if (f.tail_samples == 0 || points.empty() || f.tail_samples > f.samples) return std::nullopt;
  const std::uint64_t frozen = f.samples - f.tail_samples;
  const auto after = std::find_if(
      points.begin(), points.end(), [&](const series_point& p) { return p.samples >= frozen; });
  if (after == points.end()) return std::nullopt;
  const double samples_before =
      after == points.begin() ? 0 : static_cast<double>((after - 1)->samples);
  const double seconds_before = after == points.begin() ? 0 : (after - 1)->seconds;
  const double passed = static_cast<double>(after->samples) - samples_before;
  const double share = passed > 0 ? (static_cast<double>(frozen) - samples_before) / passed : 1;
  return seconds_before + std::clamp(share, 0.0, 1.0) * (after->seconds - seconds_before);
}

chart auc_chart(const std::vector<series_point>& points, bool twin) {
  chart made{.title = "AUC over time",
             .y_label = "AUC",
             .format = value_format::ratio,
             .from_zero = false,
             .shade_gap = true};
  made.lines.push_back(line_of(points,
                               {"Online, last 10,000 samples", "last 10,000", line_look::faint, {}},
                               once_scored([](const series_point& p) { return p.auc_recent; })));
  if (!twin) {
    made.lines.push_back(line_of(points,
                                 {"Online, since the start", "all", line_look::strong, {}},
                                 once_scored([](const series_point& p) { return p.auc; })));
    return made;
  }
  made.lines.push_back(
      line_of(points,
              {"Online, since the freeze", "online", line_look::strong, {}},
              [](const series_point& p) { return p.auc_tail.value_or(unmeasured); }));
  made.lines.push_back(
      line_of(points,
              {"Frozen twin, since the freeze", "frozen", line_look::still, {}},
              [](const series_point& p) { return p.auc_frozen.value_or(unmeasured); }));
  return made;
}

std::vector<chart> small_charts(const std::vector<series_point>& points) {
  std::vector<chart> made;
  chart logloss{.title = "Logloss",
                .y_label = "nats / sample",
                .format = value_format::ratio,
                .from_zero = false};
  logloss.lines.push_back(
      line_of(points,
              {"Online, since the start; lower is better", "", line_look::strong, {}},
              once_scored([](const series_point& p) { return p.logloss; })));
  made.push_back(std::move(logloss));

  chart speed{.title = "Throughput", .y_label = "samples / s"};
  speed.lines.push_back(line_of(points,
                                {"Samples learned in a second", "", line_look::strong, {}},
                                [](const series_point& p) { return p.samples_per_second; }));
  made.push_back(std::move(speed));

  chart rows{.title = "Rows", .y_label = "rows", .whole_values = true};
  rows.lines.push_back(line_of(points,
                               {"Rows in the tables of all shards", "", line_look::strong, {}},
                               [](const series_point& p) { return static_cast<double>(p.rows); }));
  made.push_back(std::move(rows));

  chart push{
      .title = "Pushed to the shards", .y_label = "bytes / sample", .format = value_format::bytes};
  push.lines.push_back(
      line_of(points,
              {"Gradients as sent, mean of the run", "", line_look::strong, {}},
              once_scored([](const series_point& p) { return p.push_bytes_per_sample; })));
  made.push_back(std::move(push));

  chart memory{.title = "Memory", .y_label = "resident", .format = value_format::bytes};
  memory.lines.push_back(
      line_of(points, {"The whole process", "", line_look::strong, {}}, [](const series_point& p) {
        return p.memory_bytes > 0 ? static_cast<double>(p.memory_bytes) : unmeasured;
      }));
  made.push_back(std::move(memory));

  chart staleness{.title = "Staleness", .y_label = "versions", .whole_values = true};
  staleness.lines.push_back(
      line_of(points,
              {"Batches a shard applied between pull and push", "", line_look::strong, {}},
              [](const series_point& p) { return static_cast<double>(p.staleness); }));
  made.push_back(std::move(staleness));
  return made;
}

}  // namespace headrace::cli
