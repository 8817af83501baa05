#include "bench/deepfm/deepfm.hpp"

#include "bench/deepfm/job.hpp"
#include "bench/deepfm/locked_shards.hpp"
#include "bench/deepfm/loss_match.hpp"
#include "bench/deepfm/report.hpp"
#include "bench/deepfm/samples.hpp"
#include "bench/deepfm/texts.hpp"
#include "bench/deepfm/training_thread.hpp"
#include "bench/gates/gate_shard.hpp"
#include "bench/rows64/own_session.hpp"
#include "bench/rows64/process.hpp"
#include "bench/torch/torch_peer.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <set>
#include <utility>
#include <vector>

namespace headrace::bench {
namespace {

constexpr std::uint32_t shards = 4;
constexpr double warm_up_seconds = 1;

/// The command line that asks for this.
std::vector<std::string> arguments_of(const deepfm_options& options) {
  char seconds[32];
  std::snprintf(seconds, sizeof seconds, "%g", options.seconds);
  std::vector<std::string> words = {"bench",
                                    "deepfm",
                                    "--batch",
                                    std::to_string(options.batch),
                                    "--seconds",
                                    seconds,
                                    "--rounds",
                                    std::to_string(options.rounds),
                                    "--through",
                                    std::string(name(options.through)),
                                    "--threads",
                                    std::to_string(options.threads),
                                    "--dense-every",
                                    std::to_string(options.dense_every),
                                    "--precision",
                                    std::string(name(options.precision))};
  if (options.python != system_python) words.insert(words.end(), {"--python", options.python});
  if (options.profile) words.push_back("--profile");
  if (options.json) words.push_back("--json");
  return words;
}

std::string command_of(const deepfm_options& options) {
  std::string line = "headrace";
  for (const std::string& word : arguments_of(options)) line += " " + word;
  return line;
}

worker::precision precision_of(const deepfm_options& options) {
  return worker::chosen_precision(options.precision, kernels::fastest_half_machine());
}

/// Our side: threads with a part of the batches each, and the shards that they share.
class our_side {
 public:
  static result<std::unique_ptr<our_side>> make(const deepfm_options& options) {
    auto job = make_deepfm_job(shards);
    if (!job) return job.error();
    const auto as = precision_of(options);
    auto made = std::make_unique<our_side>(*job);
    if (options.through == deepfm_path::ps) {
      if (auto filled = made->shards_.fill(deepfm_rows); !filled) return filled.error();
    }
    std::vector<deepfm_batches> parts(options.threads);
    std::size_t next = 0;
    for (auto& batch : make_deepfm_batches(options.batch))
      parts[next++ % options.threads].push_back(std::move(batch));
    for (std::uint32_t i = 0; i < options.threads; ++i) {
      made->threads_.push_back(
          options.through == deepfm_path::ps
              ? make_ps_thread(*job, made->shards_, std::move(parts[i]), i, options.dense_every, as)
              : make_direct_thread(*job, std::move(parts[i]), as));
    }
    return made;
  }
  explicit our_side(const deepfm_job& job) : model_(job.model), shards_(job.schema) {}

  /// Samples a second.
  result<double> train(double seconds) {
    return rate_of_threads(static_cast<unsigned>(threads_.size()), seconds, [&](unsigned thread) {
      return threads_[thread]->step();
    });
  }
  void clear_clocks() {
    for (auto& each : threads_) {
      each->clock.clear();
      each->layers.clear();
    }
  }
  step_clock::seconds spent() const {
    step_clock::seconds sum = {};
    for (const auto& each : threads_) {
      for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += each->clock.spent()[i];
    }
    return sum;
  }
  void watch_layers() {
    for (auto& each : threads_) each->watch_layers();
  }
  /// Of all threads.
  std::vector<layer_time> layers() const {
    std::vector<layer_time> sum;
    for (const auto& node : model_->nodes()) sum.push_back({node.name, node.op, {}});
    for (const auto& each : threads_) {
      const auto& spent = each->layers.spent();
      for (std::size_t i = 0; i < spent.size(); ++i) {
        sum[i].spent.forward += spent[i].forward;
        sum[i].spent.backward += spent[i].backward;
      }
    }
    return sum;
  }

 private:
  std::shared_ptr<const worker::model_graph> model_;
  locked_shards shards_;
  std::vector<std::unique_ptr<training_thread>> threads_;
};

/// PyTorch with one thread and with ours, where there is one; the report says what it is, or why
/// there is none.
std::vector<torch_peer> start_peers(const deepfm_options& options, deepfm_report& report) {
  std::vector<torch_peer> peers;
  for (const std::uint32_t threads : std::set<std::uint32_t>{1, options.threads}) {
    auto peer = torch_peer::start({.python = options.python,
                                   .script = deepfm_script,
                                   .arguments = {std::to_string(options.batch),
                                                 std::to_string(options.seconds),
                                                 std::to_string(threads),
                                                 std::string(name(options.through))}});
    report.peer = peer ? peer->words() : peer.error().detail;
    if (!peer) {
      report.pytorch.clear();
      return {};
    }
    peers.push_back(std::move(*peer));
    report.pytorch.push_back({.threads = threads});
  }
  return peers;
}

result<deepfm_report> measure(const deepfm_options& options) {
  deepfm_report report;
  report.options = options;
  report.machine = kernels::fastest_half_machine();
  report.precision = precision_of(options);
  const auto job = make_deepfm_job(shards);
  if (!job) return job.error();
  const auto losses = match_losses(*job, report.precision);
  if (!losses) return losses.error();
  report.losses = *losses;
  auto ours = our_side::make(options);
  if (!ours) return ours.error();
  auto peers = start_peers(options, report);
  if (options.profile) (*ours)->watch_layers();
  if (auto warm = (*ours)->train(warm_up_seconds); !warm) return warm.error();
  (*ours)->clear_clocks();
  for (std::uint32_t round = 0; round < options.rounds; ++round) {
    const auto rate = (*ours)->train(options.seconds);
    if (!rate) return rate.error();
    report.ours.push_back(*rate);
    for (std::size_t i = 0; i < peers.size(); ++i) {
      const auto step = peers[i].ask();
      if (!step) return step.error();
      report.pytorch[i].rates.push_back(options.batch / *step);
    }
  }
  report.spent = (*ours)->spent();
  if (options.profile) report.layers = (*ours)->layers();
  return report;
}

}  // namespace

int run_bench_deepfm(const deepfm_options& options,
                     const std::function<bool(std::chrono::milliseconds)>& stop) {
  if (!options.inside) {
    const auto arguments = [&](const std::filesystem::path&) {
      auto words = arguments_of(options);
      words.push_back("--inside");
      return words;
    };
    return run_in_own_session("deepfm", std::filesystem::temp_directory_path(), 0, arguments, stop);
  }
  end_with_parent();
  keep_large_blocks();
  std::signal(SIGPIPE, SIG_IGN);  // a peer that ended is an error, not the end
  const std::string weight = raise_autogroup_weight();
  auto report = measure(options);
  if (!report) return complain("deepfm", report.error());
  report->weight = weight;
  report->command = command_of(options);
  const std::string text = options.json ? to_json(*report) + "\n" : to_table(*report);
  std::fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace headrace::bench
