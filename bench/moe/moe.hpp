#pragma once

#include "bench/moe/moe_layer.hpp"
#include "bench/torch/layer_run.hpp"

#include <chrono>
#include <functional>

/// `bench moe`: a mixture of experts, forward and backward, beside PyTorch in the same run
/// (bench/baselines/README.md).
namespace headrace::bench {

struct moe_options {
  moe_shape shape;  // --batch: its tokens
  layer_run run;
};

/// Runs the bench in a session of its own and prints the report. Returns the exit status: 0, 1 when
/// it failed (one line on standard error; so does a layer that does not compute what PyTorch does),
/// 130 after a signal. A PyTorch that is not there is no failure.
int run_bench_moe(const moe_options& options,
                  const std::function<bool(std::chrono::milliseconds)>& stop);

}  // namespace headrace::bench
