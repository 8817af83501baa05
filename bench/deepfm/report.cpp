#include "bench/deepfm/report.hpp"

#include "base/json_line.hpp"
#include "bench/rows64/summary.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <string_view>
#include <thread>

namespace headrace::bench {
namespace {

void add_rate(json_line& line, std::string_view key, const std::vector<double>& rates) {
  const summary found = summarize(rates);
  line.add(key, std::round(found.median));
  line.begin_array(std::string(key) + "_spread")
      .add_item(std::round(found.min))
      .add_item(std::round(found.max))
      .end();
}

// Three digits say all that a run on a shared machine knows.
double rounded(double ratio) { return std::round(ratio * 1'000) / 1'000; }

/// The better one of each round.
std::vector<double> best_of(const std::vector<peer_rates>& peers) {
  std::vector<double> best;
  for (const peer_rates& peer : peers) {
    best.resize(peer.rates.size());
    for (std::size_t i = 0; i < best.size(); ++i) best[i] = std::max(best[i], peer.rates[i]);
  }
  return best;
}

double total(const step_clock::seconds& spent) {
  return std::accumulate(spent.begin(), spent.end(), 0.0);
}

step_clock::seconds shares_of(const step_clock::seconds& spent) {
  const double all = total(spent);
  step_clock::seconds shares = spent;
  for (double& share : shares) share = all > 0 ? share / all : 0;
  return shares;
}

/// What the layers that multiply matrices leave of a step.
double share_without_gemm(const deepfm_report& report) {
  double gemm = 0.0;
  for (const layer_time& layer : report.layers) {
    if (layer.op == "linear") gemm += layer.spent.forward + layer.spent.backward;
  }
  const double all = total(report.spent);
  return all > 0 ? 1 - gemm / all : 0;
}

void add_profile(json_line& line, const deepfm_report& report) {
  const auto shares = shares_of(report.spent);
  line.begin_object("shares");
  for (std::size_t i = 0; i < shares.size(); ++i) line.add(step_part_names[i], rounded(shares[i]));
  line.end().add("non_gemm_share", rounded(share_without_gemm(report))).begin_array("layers");
  const double all = std::max(total(report.spent), 1e-9);
  for (const layer_time& layer : report.layers) {
    line.begin_object_item()
        .add("name", layer.name)
        .add("op", layer.op)
        .add("forward", rounded(layer.spent.forward / all))
        .add("backward", rounded(layer.spent.backward / all))
        .end();
  }
  line.end();
}

std::string profile_text(const deepfm_report& report) {
  const auto shares = shares_of(report.spent);
  const double all = std::max(total(report.spent), 1e-9);
  std::string text;
  char part[96];
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (!(report.spent[i] > 0)) continue;
    std::snprintf(
        part, sizeof part, "  %5.1f %%  %s\n", shares[i] * 100, step_part_names[i].data());
    text += part;
    if (step_part_names[i] != "learn") continue;
    for (const layer_time& layer : report.layers) {
      if (!(layer.spent.forward > 0)) continue;
      std::snprintf(part,
                    sizeof part,
                    "           %5.1f %% forward %5.1f %% backward  %s (%s)\n",
                    layer.spent.forward / all * 100,
                    layer.spent.backward / all * 100,
                    layer.name.c_str(),
                    layer.op.c_str());
      text += part;
    }
  }
  std::snprintf(part,
                sizeof part,
                "  %5.1f %%  of a step is not in linear layers\n",
                share_without_gemm(report) * 100);
  return text + part;
}

std::string thousands(const std::vector<double>& rates) {
  const summary found = summarize(rates);
  char text[96];
  std::snprintf(text,
                sizeof text,
                "%6.1f k samples/s  [%.1f .. %.1f]",
                found.median / 1e3,
                found.min / 1e3,
                found.max / 1e3);
  return text;
}

}  // namespace

std::string_view name(deepfm_path path) { return path == deepfm_path::ps ? "ps" : "direct"; }

std::string to_json(const deepfm_report& report) {
  json_line line;
  line.add("bench", "deepfm");
  add_rate(line, "samples_per_second", report.ours);
  if (report.pytorch.empty()) {
    line.add_null("pytorch_samples_per_second").add_null("ratio_to_pytorch");
  } else {
    const auto best = best_of(report.pytorch);
    const summary ratio = ratio_of(report.ours, best);
    add_rate(line, "pytorch_samples_per_second", best);
    line.begin_object("pytorch_by_threads");
    for (const peer_rates& peer : report.pytorch)
      line.add(std::to_string(peer.threads), std::round(summarize(peer.rates).median));
    line.end();
    line.add("ratio_to_pytorch", rounded(ratio.median));
    line.begin_array("ratio_to_pytorch_spread")
        .add_item(rounded(ratio.min))
        .add_item(rounded(ratio.max))
        .end();
  }
  line.add("pytorch", report.peer)
      .add("batch", report.options.batch)
      .add("threads", report.options.threads)
      .add("dense_every", report.options.dense_every)
      .add("through", name(report.options.through))
      .add("precision", worker::name(report.precision))
      .add("amx", report.machine == kernels::half_machine::amx)
      .add("emulated", worker::is_emulated(report.precision, report.machine))
      .add("loss_matches_f32", report.losses.matches())
      .add("loss_difference_to_f32", report.losses.difference())
      .add("rounds", report.options.rounds)
      .add("seconds", report.options.seconds);
  if (report.options.profile) add_profile(line, report);
  line.add("cpu", cpu_model())
      .add("cores", std::thread::hardware_concurrency())
      .add("load_average", load_average())
      .add("weight", report.weight)
      .add("command", report.command);
  if (const char* commit = std::getenv("HEADRACE_COMMIT")) {
    line.add("commit", commit);
  } else {
    line.add_null("commit");
  }
  return line.text();
}

std::string to_table(const deepfm_report& report) {
  const bool ps = report.options.through == deepfm_path::ps;
  std::string text = "deepfm: batch " + std::to_string(report.options.batch) + ", " +
                     std::to_string(report.options.threads) + " threads, " +
                     (ps ? "pull, learn and push through 4 shards, without actors and sockets"
                         : "forward and backward alone: nothing is pulled, pushed or updated") +
                     "\n  headrace  " + thousands(report.ours) + "\n";
  if (report.pytorch.empty()) {
    text += "  PyTorch   not there (" + report.peer + ")\n";
  } else {
    for (const peer_rates& peer : report.pytorch)
      text += "  PyTorch   " + thousands(peer.rates) +
              ", threads: " + std::to_string(peer.threads) + "\n";
    char ratio[32];
    std::snprintf(
        ratio, sizeof ratio, "%.2f", ratio_of(report.ours, best_of(report.pytorch)).median);
    text += std::string("  ratio     ") + ratio + " to the better of each round (" + report.peer +
            ")\n";
  }
  if (report.precision != worker::precision::f32) {
    char line[160];
    std::snprintf(line,
                  sizeof line,
                  "  precision %s%s; logloss %.6f, in f32 %.6f\n",
                  std::string(worker::name(report.precision)).c_str(),
                  worker::is_emulated(report.precision, report.machine)
                      ? ", emulated: slower here than f32"
                      : "",
                  report.losses.in_precision,
                  report.losses.in_f32);
    text += line;
  }
  if (report.options.profile) text += profile_text(report);
  char load[32];
  std::snprintf(load, sizeof load, "%.1f", load_average());
  return text + "  median [min .. max] of " + std::to_string(report.options.rounds) +
         " rounds; PyTorch by its median step, we by all samples of all threads; " +
         std::to_string(std::thread::hardware_concurrency()) + " cores, " + cpu_model() +
         ", load " + load + "; " + report.weight + "\n";
}

}  // namespace headrace::bench
