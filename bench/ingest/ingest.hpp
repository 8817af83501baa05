#pragma once

#include "bench/ingest/options.hpp"

#include <chrono>
#include <functional>

/// `headrace bench ingest`: events a second that are acknowledged and logged, beside Redis Streams
/// with its append-only file, in turns, from client processes over TCP; then a kill -9 in the
/// middle of pushes, and what the log holds afterwards (bench/baselines/README.md).
namespace headrace::bench {

/// The verb. Runs the measurement in a session of its own, over a folder below `options.dir` that
/// is removed whatever happens. Returns the exit status: 0, 1 when it failed or an acknowledged
/// event was lost (one line on standard error), 130 after a signal.
int run_bench_ingest(const ingest_options& options,
                     const std::function<bool(std::chrono::milliseconds)>& stop);

/// Hidden verb `bench ingest-server`: one intake over a log in `options.dir`. Prints its endpoint
/// and serves until its standard input ends.
int run_ingest_server(const ingest_options& options);

/// Hidden verb `bench ingest-client`: makes its events, prints `ready`, pushes after a line of
/// input, and prints what it measured (load.hpp). A second line of input ends it early.
int run_ingest_client(const ingest_options& options);

}  // namespace headrace::bench
