#pragma once

#include "base/result.hpp"
#include "bench/torch/layer.hpp"
#include "bench/torch/layer_point.hpp"
#include "bench/torch/layer_run.hpp"

#include <functional>

namespace headrace::bench {

/// Outputs of the two sides may differ by this at most, relatively: some ten times what sums of
/// thousands of floats in another order differ by.
constexpr double difference_max = 1e-4;

/// Median seconds of a step, over `seconds` of steps and three at least.
double median_time(double seconds, const std::function<void()>& step);

/// Products of 1,024 x 1,024 by each of `threads` at once, FLOP a second together: what our
/// arithmetic is bounded by.
double gemm_flops(unsigned threads);

/// Takes steps of `ours` and of PyTorch in turn, from the same inputs, round by round; once both
/// have taken one, compares their outputs. There are two PyTorches, one with as many threads and
/// one with one thread, which is faster where other programs want the cores too. A PyTorch that is
/// not there is no failure. Fails: io_error; malformed, where the two disagree, naming the output.
result<layer_point> measure_beside_torch(layer& ours, const layer_case& what, const layer_run& run);

}  // namespace headrace::bench
