#pragma once

#include "schemas/push.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::bench {

/// Whose server takes the events.
enum class ingest_peer : std::uint8_t { headrace, redis };
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
  std::string redis = "redis-server";                                  // program; empty: no peer
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

/// Command line of a hidden verb with these options; cli/verb_bench.cpp reads it.
std::vector<std::string> ingest_arguments(const char* verb, const ingest_options& options);
/// What a person types to get the same run.
std::string command_line(const ingest_options& options);

}  // namespace headrace::bench
