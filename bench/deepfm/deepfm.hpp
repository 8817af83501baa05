#pragma once

#include "bench/torch/torch_peer.hpp"
#include "worker/model/precision.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

/// `bench deepfm`: samples a second that a DeepFM learns from, beside PyTorch in the same run
/// (bench/baselines/README.md). Data and network are the same on both sides. PyTorch may use as
/// many threads as we do, or one, which is faster where other programs want the cores too: the
/// better one of each round counts.
namespace headrace::bench {

enum class deepfm_path {
  /// Everything that a worker and four shards do with a batch but actors and sockets: sections are
  /// encoded and decoded, gradients travel as int8, the shards apply them. Each thread is a worker
  /// and a source of its own; the shards are shared, each behind a lock of the bench.
  ps,
  /// Forward and backward alone, over rows that are already there; nothing is updated.
  direct,
};
std::string_view name(deepfm_path path);

struct deepfm_options {
  std::uint32_t batch = 512;
  double seconds = 3;  // timed part of a round, on each side
  std::uint32_t rounds = 3;
  deepfm_path through = deepfm_path::ps;
  std::uint32_t threads = 2;
  worker::precision_choice precision = worker::precision_choice::f32;  // of ours; PyTorch's is f32
  std::uint32_t dense_every = 1;  // batches of a thread that one push of the network covers
  bool profile = false;
  bool json = false;
  bool inside = false;  // hidden: this is the measuring process
  std::string python = system_python;
};

/// Runs the bench in a session of its own and prints the report. Returns the exit status: 0, 1 when
/// it failed (one line on standard error), 130 after a signal. `stop` waits as long as it is told
/// and says whether a signal has come. A PyTorch that is not there is no failure.
int run_bench_deepfm(const deepfm_options& options,
                     const std::function<bool(std::chrono::milliseconds)>& stop);

}  // namespace headrace::bench
