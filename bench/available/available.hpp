#pragma once

#include "bench/available/options.hpp"

#include <chrono>
#include <functional>

/// `headrace bench available`: how long it takes from when an event came to the intake until its
/// sample is sealed and with the worker, at a fixed rate (bench/baselines/README.md). A client
/// process pushes over TCP; whether the server keeps up or not, pushes are due when they are.
namespace headrace::bench {

/// The verb; as run_bench_ingest. Exit status 1 also where p99 of a job was beyond the limit, in
/// the median of the rounds.
int run_bench_available(const available_options& options,
                        const std::function<bool(std::chrono::milliseconds)>& stop);

/// Hidden verb `bench available-server`: a live_job in `options.dir`. Prints its endpoint, waits
/// for a line of input, then for its samples, and prints what it saw.
int run_available_server(const available_options& options);

/// Hidden verb `bench available-client`: prints `ready`, pushes after a line of input, prints what
/// it sent.
int run_available_client(const available_options& options);

}  // namespace headrace::bench
