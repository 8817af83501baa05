#include "bench/torch/layer_point.hpp"

#include "bench/rows64/summary.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <limits>
#include <string_view>
#include <thread>

namespace headrace::bench {
namespace {

/// At four digits: more than a run on a shared machine knows.
double rounded(double value) {
  if (value == 0 || !std::isfinite(value)) return value;
  const double unit = std::pow(10.0, std::floor(std::log10(std::abs(value))) - 3);
  return unit < 1 ? std::round(value / unit) / std::round(1 / unit)
                  : std::round(value / unit) * unit;
}

std::vector<double> rates(double items, std::vector<double> seconds) {
  for (double& each : seconds) each = items / each;
  return seconds;
}

double median(const std::vector<double>& values) { return summarize(values).median; }

template <class... Values>
std::string formatted(const char* how, Values... values) {
  char text[256];
  std::snprintf(text, sizeof text, how, values...);
  return text;
}

std::string milliseconds(const std::vector<double>& seconds) {
  const summary found = summarize(seconds);
  return formatted(
      "%9.3f ms  [%.3f .. %.3f]", found.median * 1e3, found.min * 1e3, found.max * 1e3);
}

}  // namespace

std::vector<double> best_of(const std::vector<peer_times>& peers) {
  std::vector<double> best;
  for (const peer_times& peer : peers) {
    best.resize(peer.seconds.size(), std::numeric_limits<double>::infinity());
    for (std::size_t i = 0; i < best.size(); ++i) best[i] = std::min(best[i], peer.seconds[i]);
  }
  return best;
}

void add_spread(json_line& line, std::string_view key, std::vector<double> values) {
  const summary found = summarize(std::move(values));
  line.add(key, rounded(found.median));
  line.begin_array(std::string(key) + "_spread")
      .add_item(rounded(found.min))
      .add_item(rounded(found.max))
      .end();
}

void add_facts(json_line& line, const run_facts& run) {
  line.add("cpu", cpu_model())
      .add("cores", std::thread::hardware_concurrency())
      .add("load_average", load_average())
      .add("weight", run.weight)
      .add("command", run.command);
  if (const char* commit = std::getenv("HEADRACE_COMMIT")) {
    line.add("commit", commit);
  } else {
    line.add_null("commit");
  }
}

std::string to_json(const layer_point& point, const run_facts& run) {
  const layer_case& what = point.what;
  json_line line;
  line.add("bench", what.bench).add("point", what.point).add("item", what.item);
  line.add("threads", point.threads);
  add_spread(line, "samples_per_second", rates(what.items, point.ours));
  const bool beside = !point.pytorch.empty();
  const std::vector<double> theirs = best_of(point.pytorch);
  if (beside) {
    add_spread(line, "pytorch_samples_per_second", rates(what.items, theirs));
    line.begin_object("pytorch_by_threads");
    for (const peer_times& peer : point.pytorch) {
      const double seconds = median(peer.seconds);
      line.add(std::to_string(peer.threads), rounded(what.items / seconds));
    }
    line.end();
    const summary ratio = ratio_of(theirs, point.ours);
    line.add("ratio_to_pytorch", rounded(ratio.median));
    line.begin_array("ratio_to_pytorch_spread")
        .add_item(rounded(ratio.min))
        .add_item(rounded(ratio.max))
        .end();
  } else {
    line.add_null("pytorch_samples_per_second").add_null("ratio_to_pytorch");
  }
  add_spread(line, "seconds", point.ours);
  if (beside) line.add("pytorch_seconds", rounded(median(theirs)));
  if (!point.limit.empty()) {
    line.add("limit", what.limit);
    add_spread(line, "limit_samples_per_second", rates(what.items, point.limit));
    line.add("share_of_limit", rounded(ratio_of(point.limit, point.ours).median));
  }
  if (what.flop > 0) {
    const double flops = what.flop / median(point.ours);
    line.add("gflops", rounded(flops / 1e9))
        .add("gemm_gflops", rounded(point.gemm_flops / 1e9))
        .add("share_of_gemm", rounded(flops / point.gemm_flops));
  }
  if (beside && what.flop > 0) {
    line.add("pytorch_gflops", rounded(what.flop / median(theirs) / 1e9));
    line.add("pytorch_gemm_gflops", rounded(point.pytorch_gemm_flops / 1e9));
  }
  if (beside) {
    line.begin_object("relative_differences");
    for (const auto& [name, difference] : point.differences) line.add(name, rounded(difference));
    line.end();
  }
  line.add("pytorch", point.peer);
  add_facts(line, run);
  return line.text();
}

std::string to_table(const layer_point& point) {
  const double flop = point.what.flop;
  const double step = median(point.ours);
  std::string text = point.what.bench + ": " + point.what.words + ", " +
                     std::to_string(point.threads) + (point.threads == 1 ? " thread" : " threads") +
                     "\n  headrace  " + milliseconds(point.ours) +
                     formatted(", %.1f %ss/s", point.what.items / step, point.what.item.c_str());
  if (flop > 0)
    text += formatted(", %.0f GFLOP/s, %.2f of our product's %.0f",
                      flop / step / 1e9,
                      flop / step / point.gemm_flops,
                      point.gemm_flops / 1e9);
  text += "\n";
  if (!point.limit.empty())
    text += "  limit     " + milliseconds(point.limit) + ", " + point.what.limit +
            formatted(": we reach %.2f of it\n", ratio_of(point.limit, point.ours).median);
  if (point.pytorch.empty()) return text + "  PyTorch   not there (" + point.peer + ")\n";
  for (const peer_times& peer : point.pytorch) {
    text += "  PyTorch   " + milliseconds(peer.seconds) + formatted(", threads: %u", peer.threads);
    if (flop > 0) text += formatted(", %.0f GFLOP/s", flop / median(peer.seconds) / 1e9);
    text += "\n";
  }
  if (flop > 0)
    text += formatted("            its product with as many threads as ours: %.0f GFLOP/s\n",
                      point.pytorch_gemm_flops / 1e9);
  text += "            (" + point.peer + ")\n";
  const summary ratio = ratio_of(best_of(point.pytorch), point.ours);
  text += formatted(
      "  ratio     %.2f  [%.2f .. %.2f] to the better of each round; relative differences",
      ratio.median,
      ratio.min,
      ratio.max);
  for (const auto& [name, difference] : point.differences)
    text += formatted(" %s %.1e", name.c_str(), difference);
  return text + "\n";
}

std::string to_table(const run_facts& run) {
  return "  median [min .. max] of rounds, each the median of its steps; " +
         std::to_string(std::thread::hardware_concurrency()) + " cores, " + cpu_model() +
         formatted(", load %.1f; ", load_average()) + run.weight + "\n";
}

}  // namespace headrace::bench
