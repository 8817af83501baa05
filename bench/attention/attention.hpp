#pragma once

#include "bench/attention/attention_layer.hpp"
#include "bench/torch/layer_run.hpp"

#include <chrono>
#include <functional>

/// `bench attention`: a layer of attention, forward and backward, beside PyTorch in the same run,
/// and our own attention with a window and with gated heads beside itself
/// (bench/baselines/README.md).
namespace headrace::bench {

struct attention_options {
  /// Of one layer, and nothing else is measured; without, the workloads of the baselines.
  attention_shape shape;
  bool one_shape = false;
  layer_run run;
};

/// Runs the bench in a session of its own and prints the report, with --json one line a point.
/// Returns the exit status: 0, 1 when it failed (one line on standard error; so does a layer that
/// does not compute what PyTorch does), 130 after a signal. A PyTorch that is not there is no
/// failure.
int run_bench_attention(const attention_options& options,
                        const std::function<bool(std::chrono::milliseconds)>& stop);

}  // namespace headrace::bench
