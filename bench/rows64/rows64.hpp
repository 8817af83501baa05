#pragma once

#include "bench/rows64/options.hpp"

#include <chrono>
#include <functional>

/// `headrace bench rows64`: pushed and pulled rows a second of the product path, beside the same
/// transport with an empty handler and the plain server, interleaved, on the workload of rows-64
/// (bench/baselines/README.md).
namespace headrace::bench {

/// The verb; `check(options)` came before. Runs the measurement in a process group of its own with
/// a raised scheduler weight where that is permitted, passes signals on, and removes the log files
/// whatever happened. Returns the exit status: 0, 1 when it failed or a sum was wrong (one line on
/// standard error), 130 after a signal. `stop` waits as long as it is told and says whether a
/// signal has come.
int run_bench_rows64(const rows64_options& options,
                     const std::function<bool(std::chrono::milliseconds)>& stop);

/// Hidden verb `bench rows64-client`: the measuring process that `run_bench_rows64` starts; it is
/// the client and starts one server process at a time.
int run_rows64_client(const rows64_options& options);

/// Hidden verb `bench rows64-server`: one server process. Prints its endpoint on standard output
/// and serves until its standard input ends.
int run_rows64_server(const rows64_options& options, rows64_peer peer);

}  // namespace headrace::bench
