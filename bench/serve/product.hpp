#pragma once

#include "base/result.hpp"
#include "bench/serve/options.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>

/// Jobs that the benches of serving give to the product's own verbs, and what they ask of it.
namespace headrace::bench {

/// A port of loopback that was free a moment ago.
std::uint16_t free_port();

/// Columns u0 …, c0 … of one event by their ids; `draw` decides on all of them.
std::string user_columns(const serve_options& options, std::uint64_t draw);
std::string item_columns(const serve_options& options, std::uint64_t draw);
/// Body `number` of a prediction of one user and candidates, and of a lookup of items.
std::string predict_body(const serve_options& options, std::uint64_t number);
std::string lookup_body(const serve_options& options, std::uint64_t number);

/// Writes job.toml and what it learns, rows.csv, into `options.dir`. Fails: io_error.
result<std::filesystem::path> write_serve_job(const serve_options& options);

/// Writes job.toml of a live job into `options.dir`, whose events are pushed to `options.events`.
/// Fails: io_error.
result<std::filesystem::path> write_freshness_job(const freshness_options& options);

/// Asks `address` until it is ready. Fails: timeout, with its last answer.
result<void> wait_until_ready(const std::string& address, std::chrono::milliseconds patience);

/// The whole number behind "key": in one line of JSON; nothing where there is none.
std::uint64_t whole_in(const std::string& json, const std::string& key);

}  // namespace headrace::bench
