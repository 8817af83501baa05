#include "base/json_line.hpp"
#include "bench/cache_traces/comparison.hpp"

#include <cstdio>
#include <cstdlib>

namespace headrace::bench {
namespace {

using figures = worker::prefetch_trial::figures;

template <class... Values>
std::string printed(const char* format, Values... values) {
  char text[256];
  std::snprintf(text, sizeof text, format, values...);
  return text;
}

double rounded(double value, const char* format) {
  return std::strtod(printed(format, value).c_str(), nullptr);
}
double ratio(double value) { return rounded(value, "%.5f"); }

double per_key(std::uint64_t count, const figures& of) {
  return of.keys == 0 ? 0.0 : static_cast<double>(count) / static_cast<double>(of.keys);
}

void add_origin(json_line& line) {
  line.add("command", "cache_traces --json");
  if (const char* commit = std::getenv("HEADRACE_COMMIT")) {
    line.add("commit", commit);
  } else {
    line.add_null("commit");
  }
}

void add_figures(json_line& line, std::string_view key, const figures& of) {
  line.begin_object(key)
      .add("keys", of.keys)
      .add("hit_ratio_without", ratio(per_key(of.hits_without, of)))
      .add("hit_ratio_with", ratio(per_key(of.hits_with, of)))
      .add("fetched_per_key", ratio(per_key(of.fetched, of)))
      .add("useful_share", ratio(of.useful_share()))
      .end();
}

std::string gain(const figures& of) {
  return printed("%+6.2f points, %.3f a key", 100.0 * of.gain(), per_key(of.fetched, of));
}

}  // namespace

std::string to_json(const policy_point& point) {
  json_line line;
  line.add("bench", "cache_traces")
      .add("stream", point.stream)
      .add("share", point.share)
      .add("entries", point.entries)
      .add("counted", point.counted);
  line.begin_object("hit_ratio");
  for (const auto& each : point.results) line.add(name(each.policy), ratio(each.hit_ratio));
  line.end().begin_object("ns_per_use");
  for (const auto& each : point.results)
    line.add(name(each.policy), rounded(each.ns_per_use, "%.0f"));
  line.end().begin_object("bytes_per_entry");
  for (const auto& each : point.results)
    line.add(name(each.policy), rounded(each.bytes_per_entry, "%.1f"));
  line.end();
  add_origin(line);
  return line.text();
}

std::string to_json(const prefetch_point& point) {
  json_line line;
  line.add("bench", "cache_traces_prefetch")
      .add("stream", point.stream)
      .add("share", point.share)
      .add("entries", point.entries)
      .add("batch", point.batch);
  add_figures(line, "lstm", point.lstm);
  add_figures(line, "lstm_while_on", point.while_on);
  add_figures(line, "all_proposals", point.proposals);
  add_figures(line, "latest_follower", point.latest);
  line.add("us_per_key", rounded(point.us_per_key, "%.1f")).add("report", point.report);
  add_origin(line);
  return line.text();
}

std::string to_table(std::span<const policy_point> points) {
  std::string table = printed(
      "%s: hit ratio by share of %s\n  %8s", points.front().stream.c_str(), "distinct keys", "");
  for (const auto& each : points.front().results)
    table += printed(" %15s", std::string(name(each.policy)).c_str());
  for (const auto& point : points) {
    table += printed("\n  %6.1f %%", 100.0 * point.share);
    for (const auto& each : point.results)
      table += printed(" %7.4f %4.0f ns", each.hit_ratio, each.ns_per_use);
  }
  return table + "\n";
}

std::string to_table(std::span<const prefetch_point> points) {
  std::string table =
      points.front().stream +
      ": hit ratio gained by guessing, fetched rows (lstm | all proposals | latest follower)\n";
  for (const auto& point : points) {
    table += printed("  batch %3zu, %2.0f %% in DRAM: ", point.batch, 100.0 * point.share) +
             gain(point.lstm) + " | " + gain(point.proposals) + " | " + gain(point.latest) +
             printed("; %.1f us a key\n    ", point.us_per_key) + point.report + "\n";
  }
  return table;
}

}  // namespace headrace::bench
