#pragma once

#include "schemas/push.hpp"

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::bench {

/// Where the label comes from: a column of the event itself, or an action right behind its
/// impression (`complete` at once; half of the events are impressions).
enum class available_job : std::uint8_t { labelled, joined };
std::string_view name(available_job job);

/// What `headrace bench available` was asked for.
struct available_options {
  std::uint32_t rate = 100'000;  // events a second, whatever comes of them
  std::uint32_t seconds = 10;    // of a round
  std::uint32_t batch = 1'000;   // events of a push
  std::uint32_t samples = 512;   // of a sealed batch
  std::uint32_t wait_ms = 20;    // a batch is sealed after this time even when not full
  std::uint32_t in_flight = 3;   // sealed batches the worker may hold
  schemas::log_mode durable = schemas::log_mode::os;
  std::uint32_t rounds = 3;
  std::filesystem::path dir = std::filesystem::temp_directory_path();  // of logs, removed
  bool json = false;

  // Hidden: of the processes that the bench starts.
  bool inside = false;  // the measuring process; `dir` is the run's own folder
  available_job job = available_job::labelled;
  std::string endpoint;  // a client's server
  std::string command;   // as typed, for the result

  std::uint64_t pushes() const {
    const std::uint64_t of_all = std::uint64_t{rate} * seconds / batch;
    return of_all == 0 ? 1 : of_all;
  }
  std::uint64_t samples_of_push() const { return job == available_job::joined ? batch / 2 : batch; }
  std::uint64_t events() const {
    return pushes() * samples_of_push() * (job == available_job::joined ? 2 : 1);
  }
  /// When a push is due, since the first.
  std::uint64_t due_ns(std::uint64_t push) const { return push * batch * 1'000'000'000 / rate; }
};

/// Command line of a hidden verb with these options; cli/verb_bench.cpp reads it.
std::vector<std::string> available_arguments(const char* verb, const available_options& options);
/// What a person types to get the same run.
std::string command_line(const available_options& options);

}  // namespace headrace::bench
