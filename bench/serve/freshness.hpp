#pragma once

#include "bench/serve/options.hpp"

#include <chrono>
#include <functional>

/// `headrace bench freshness`: how long it takes from when an event was accepted until a prediction
/// has what was learned of it, while `headrace run` takes a stream of events at a fixed rate,
/// learns and answers (bench/baselines/README.md).
namespace headrace::bench {

/// The verb; as run_bench_ingest. Exit status 1 also where a figure is beyond its limit.
int run_bench_freshness(const freshness_options& options,
                        const std::function<bool(std::chrono::milliseconds)>& stop);

/// Hidden verb `bench freshness-client`: pushes the load and probes, asks for predictions, prints
/// what it saw.
int run_freshness_client(const freshness_options& options);

}  // namespace headrace::bench
