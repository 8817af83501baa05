#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace headrace::bench {

/// What `headrace bench serve` was asked for: a model that is learned beforehand, then asked.
struct serve_options {
  std::uint32_t rate = 500;   // requests a second, whatever comes of them
  std::uint32_t seconds = 5;  // of each point in a round
  std::uint32_t rounds = 3;
  std::uint32_t connections = 8;                                       // of the client
  std::uint32_t candidates = 100;                                      // of a request
  std::uint32_t rows = 100;                                            // of a lookup
  std::uint32_t events = 100'000;                                      // learned beforehand
  std::uint32_t dim = 16;                                              // of a vector
  std::uint32_t user_columns = 6;                                      // of the request
  std::uint32_t item_columns = 4;                                      // of each candidate
  std::uint32_t threads = 1;                                           // that score
  std::filesystem::path dir = std::filesystem::temp_directory_path();  // of files, removed
  bool json = false;

  // Hidden: of the processes that the bench starts.
  bool inside = false;
  std::string what;                // a client's point: predict, lookup, bare, most
  std::string address;             // host:port that a client asks
  std::uint32_t answer_bytes = 0;  // of the bare server
  std::string command;             // as typed, for the result
};
std::vector<std::string> serve_arguments(const char* verb, const serve_options& options);
std::string command_line(const serve_options& options);

/// What `headrace bench freshness` was asked for: a live job that learns while it answers.
struct freshness_options {
  std::uint32_t rate = 50'000;     // samples a second, whatever comes of them
  std::uint32_t seconds = 20;      // that count
  std::uint32_t warm_seconds = 5;  // before them
  std::uint32_t push = 500;        // samples of one push
  std::uint32_t probe_ms = 20;     // between two probe events
  std::uint32_t ask_ms = 5;        // between two predictions
  std::uint32_t batch_max = 512;   // train.batch_max
  std::uint32_t wait_ms = 10;      // train.batch_wait
  std::uint32_t in_flight = 3;     // train.in_flight
  std::uint32_t interval_ms = 20;  // serve.interval
  std::uint32_t dim = 16;
  std::string arch = "deepfm";
  std::filesystem::path dir = std::filesystem::temp_directory_path();
  bool json = false;

  // Hidden.
  bool inside = false;
  std::string events;   // where a client pushes
  std::string address;  // host:port that it asks for predictions
  std::string status;   // host:port of the live job's status
  std::string command;

  std::uint32_t all_seconds() const { return warm_seconds + seconds + 1; }
};
std::vector<std::string> freshness_arguments(const char* verb, const freshness_options& options);
std::string command_line(const freshness_options& options);

}  // namespace headrace::bench
