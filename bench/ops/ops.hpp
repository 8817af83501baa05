#pragma once

#include "bench/ops/op_bench.hpp"
#include "bench/torch/layer_run.hpp"

#include <chrono>
#include <functional>

namespace headrace::bench {

struct op_options {
  std::size_t batch = 0;
  layer_run run = {.threads = 1};  // an operator is one thread's work
};

/// Runs the bench in a session of its own and prints ours, PyTorch and the limit. Returns the exit
/// status: 0, 1 when it failed (one line on standard error; so does an operator that does not
/// compute what PyTorch does), 130 after a signal. A PyTorch that is not there is no failure.
int run_bench_op(const op_bench& which,
                 const op_options& options,
                 const std::function<bool(std::chrono::milliseconds)>& stop);

}  // namespace headrace::bench
