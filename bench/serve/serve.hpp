#pragma once

#include "bench/serve/options.hpp"

#include <chrono>
#include <functional>

/// `headrace bench serve`: predictions and lookups over HTTP, of a job that `headrace server`,
/// `worker` and `serve` run as they are, beside a bare HTTP server that gives answers of the same
/// bytes (bench/baselines/README.md). A client process sends requests when they are due.
namespace headrace::bench {

/// The verb; as run_bench_ingest. Exit status 1 also where a figure is beyond its limit.
int run_bench_serve(const serve_options& options,
                    const std::function<bool(std::chrono::milliseconds)>& stop);

/// Hidden verb `bench serve-client`: one point, `options.what`; prints what it saw.
int run_serve_client(const serve_options& options);

/// Hidden verb `bench serve-bare`: answers every POST with `options.answer_bytes`; prints its
/// address and waits for a line of input.
int run_serve_bare(const serve_options& options);

}  // namespace headrace::bench
