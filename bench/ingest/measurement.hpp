#pragma once

#include "base/result.hpp"
#include "bench/ingest/load.hpp"
#include "bench/ingest/options.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace headrace::bench {

/// What the log held behind a kill -9 in the middle of pushes.
struct ingest_survival {
  std::uint64_t acknowledged_events = 0;
  std::uint64_t recovered_events = 0;  // in the log; each id once
  double restart_ms = 0;               // until another intake over the log was ready
};

struct ingest_points {
  std::vector<ingest_round> headrace;  // by round
  std::vector<ingest_round> http_json;
  std::vector<ingest_round> http_single;
  std::vector<ingest_round> redis;
  std::string redis_version;  // empty: not measured
  std::string redis_absent;   // why
  ingest_survival survival;
  double event_bytes = 0;
  std::string weight;  // what came of raising the scheduler weight
};

/// Rounds of both peers in turns, each over a new server and folder, then the kill. Fails: as a
/// process did; corrupt when an acknowledged event was not in the log.
result<ingest_points> measure_ingest(const ingest_options& options);

/// Events that a log holds and that were taken, and whether an id is there twice. Fails: corrupt.
struct logged_count {
  std::uint64_t events = 0;
  std::uint64_t twice = 0;
};
result<logged_count> count_logged_events(const std::filesystem::path& folder);

}  // namespace headrace::bench
