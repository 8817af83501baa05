#pragma once

#include "base/result.hpp"
#include "bench/available/options.hpp"
#include "bench/available/times.hpp"

#include <chrono>
#include <filesystem>
#include <memory>
#include <string>

namespace headrace::bench {

/// The parts of a live job up to its worker, as `headrace run` puts them together: ZeroMQ, intake,
/// event log, schema, joiner, sealed batches, sample log, ingest actor. In the worker's place
/// stands one that notes when each batch came and gives its permit back: how long a model learns is
/// not measured.
class live_job {
 public:
  /// Begins over empty logs in `options.dir`. Fails: io_error.
  static result<std::unique_ptr<live_job>> start(const available_options& options);
  ~live_job();

  /// Where events are taken.
  const std::string& endpoint() const;
  /// Waits until so many samples came to the worker, or for `patience`.
  void wait_for(std::uint64_t samples, std::chrono::milliseconds patience);
  seen_samples look() const;

 private:
  struct parts;
  live_job();
  std::unique_ptr<parts> parts_;
};

}  // namespace headrace::bench
