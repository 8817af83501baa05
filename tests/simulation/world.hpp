#pragma once

#include "tests/simulation/variant.hpp"

#include <cstdint>
#include <optional>
#include <string>

namespace headrace::simulation {

/// What became of one run.
struct outcome {
  std::optional<std::string> failure;  // what was wrong first, in words
  std::uint64_t trace = 0;             // hash over every event in order: equal for equal seeds
  std::uint64_t events = 0;
  std::uint64_t faults = 0;  // of every kind
  std::uint64_t server_crashes = 0;
  std::uint64_t shard_restarts = 0;
  std::uint64_t zombies = 0;
  std::uint64_t refusals = 0;  // appends
  std::uint64_t unknowns = 0;
  std::uint64_t failed_writes = 0;  // of rows
  std::uint64_t fetched = 0;        // rows
  std::uint64_t evicted = 0;
  std::uint64_t truncated = 0;  // records
  std::uint64_t checkpoints = 0;
  std::uint64_t voids = 0;
  std::uint64_t resent = 0;
  std::uint64_t virtual_ms = 0;
};

/// One job in one thread under one seed: shards with their logs and rows, workers with their push
/// windows, sealed samples, readers, and a network that loses, repeats, delays and reorders. Faults
/// strike until a moment drawn from the seed; then everything heals and every batch must get
/// through.
outcome run(std::uint64_t seed, variant kind = variant::product);

}  // namespace headrace::simulation
