#pragma once

#include "actors/http/http_server.hpp"
#include "base/clock.hpp"
#include "base/result.hpp"
#include "serve/replica.hpp"
#include "serve/served_model.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

namespace headrace::actors {

/// Predictions, explanations and rows over HTTP from a replica (docs/predict.md):
///
///   POST /v1/models/M:predict      one user and candidates, or instances
///   POST /v1/models/M:explain      what each feature adds
///   POST /v1/embeddings/T:lookup   rows of a table by id or key
///   GET  /v1/models/M              columns, heads, version
///   GET  /v2/health/live, /v2/health/ready, /v2/models/M, /v2/models/M/ready
///   POST /v2/models/M/infer        Open Inference V2, JSON
///
///     serve_routes answers({model, replica}, time, {});
///     auto server = http_server::open(endpoints, answers.routes());
///
/// The server's thread only hands over. Scoring threads take what waits, several requests as one
/// batch of the model where several wait. A full queue is answered 429 with Retry-After, a replica
/// that is not whole yet 503. Outlives its server; destruction answers what waits 503.
class serve_routes {
 public:
  struct parts {
    std::shared_ptr<const serve::served_model> model;
    std::shared_ptr<const serve::replica> rows;
    /// Empty when the replica is fresh enough to answer /v2/health/ready and /v2/models/M/ready
    /// with 200, else the reason. Any thread. None: whole is ready.
    std::function<std::string()> not_ready = nullptr;
  };
  struct settings {
    std::uint32_t threads = 1;
    std::size_t waiting_max = 256;     // requests that wait for a thread
    std::uint32_t batch_delay_us = 0;  // for others to join a batch; 0: those that wait
    std::size_t batch_samples = 512;   // a batch takes no more requests from here on
    std::size_t samples_max = 4'096;   // of one request
    std::size_t body_bytes_max = std::size_t{1} << 20;
    std::uint32_t retry_after_s = 1;
  };
  serve_routes(parts from, const clock& time, settings how);
  ~serve_routes();
  serve_routes(const serve_routes&) = delete;
  serve_routes& operator=(const serve_routes&) = delete;

  std::vector<http_route> routes();

  struct counters {
    std::uint64_t requests = 0;     // handed to a thread
    std::uint64_t answered = 0;     // with 200
    std::uint64_t refused = 0;      // 4xx but 429: the request was wrong
    std::uint64_t turned_away = 0;  // 429
    std::uint64_t not_ready = 0;    // 503
    std::uint64_t samples = 0;      // predicted
    std::uint64_t unknown_ids = 0;
    std::uint64_t batches = 0;  // through the model
    std::uint64_t waiting = 0;  // now
    // Of predictions, from the hand-over to the answer; of all since the start, within an eighth.
    std::uint64_t p50_us = 0;
    std::uint64_t p99_us = 0;
  };
  /// Any thread.
  counters count() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace headrace::actors
