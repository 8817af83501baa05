#pragma once

#include "schemas/push.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::bench {

/// How the events come in: to our intake over ZeroMQ, as JSON lines over HTTP, and as one event a
/// request over HTTP; to Redis.
enum class ingest_peer : std::uint8_t { headrace, http_json, http_single, redis };
std::string_view name(ingest_peer peer);

/// What `headrace bench ingest` was asked for.
struct ingest_options {
  std::uint32_t clients = 2;         // processes
  std::uint64_t events = 1'000'000;  // of a round, of all clients
  std::uint32_t batch = 1'000;       // events
  std::uint32_t depth = 8;           // batches in flight, of one client
  schemas::log_mode durable = schemas::log_mode::os;
  std::uint32_t rounds = 5;
  std::filesystem::path dir = std::filesystem::temp_directory_path();  // of logs, removed
  std::string redis = "redis-server";                                  // program; "none": no peer
  bool json = false;

  // Hidden: of the processes that the bench starts.
  bool inside = false;  // the measuring process; `dir` is the run's own folder
  ingest_peer peer = ingest_peer::headrace;
  std::string endpoint;      // a client's server
  std::uint32_t client = 0;  // which
  std::uint32_t round = 0;   // which
  std::string command;       // as typed, for the result

  std::uint64_t batches_of_client() const {
    const std::uint64_t of_all = std::uint64_t{clients} * batch;
    return events < of_all ? 1 : events / of_all;
  }
};

/// What a peer is asked to do: as all, but that single events are fewer, over more connections.
ingest_options of_peer(ingest_options options, ingest_peer peer);

/// Command line of a hidden verb with these options; cli/verb_bench.cpp reads it.
std::vector<std::string> ingest_arguments(const char* verb, const ingest_options& options);
/// What a person types to get the same run.
std::string command_line(const ingest_options& options);

}  // namespace headrace::bench
