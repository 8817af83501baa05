#pragma once

#include "base/frame.hpp"
#include "base/result.hpp"
#include "bench/ingest/options.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

/// What client processes push, and what they report.
namespace headrace::bench {

/// Batch `number` of a client as a producer sends it: impressions of 200 bytes each, with ids of
/// their own, three columns, a key and a time of now.
frame make_event_batch(const ingest_options& options, std::uint64_t number, std::uint64_t now_ms);

/// The same events as JSON, one a line.
std::string make_event_lines(const ingest_options& options,
                             std::uint64_t number,
                             std::uint64_t now_ms);

/// Bytes of one event in a batch of so many.
double event_bytes(const ingest_options& options);

/// One client's part of a round. Times are of the monotonic clock, which processes share.
struct client_result {
  std::uint64_t acknowledged = 0;  // events
  std::uint64_t begin_ns = 0;
  std::uint64_t end_ns = 0;
  std::vector<std::uint32_t> batch_us = {};  // from push to acknowledgement, each batch
  friend bool operator==(const client_result&, const client_result&) = default;
};
/// As one line, and back. Fails: malformed.
std::string to_line(const client_result& found);
result<client_result> parse_client_result(std::string_view line);

/// All clients of one round as one.
struct ingest_round {
  double events_per_second = 0;
  std::uint64_t acknowledged = 0;
  double p50_ms = 0;
  double p99_ms = 0;
};
ingest_round sum_of(const std::vector<client_result>& clients);

/// A client's connection to a server, with `depth` batches in flight. One thread.
class ingest_sender {
 public:
  virtual ~ingest_sender() = default;
  /// Sends the next batch once there is room; false when there was none within `patience`.
  virtual result<bool> send(std::uint64_t number, std::chrono::milliseconds patience) = 0;
  /// Waits until all are acknowledged.
  virtual result<void> finish() = 0;
  virtual client_result look() const = 0;
};
/// Make `options.batches_of_client()` batches beforehand, and connect. Fail: io_error, unavailable.
result<std::unique_ptr<ingest_sender>> open_headrace_sender(const ingest_options& options);
result<std::unique_ptr<ingest_sender>> open_redis_sender(const ingest_options& options);
result<std::unique_ptr<ingest_sender>> open_http_sender(const ingest_options& options);

}  // namespace headrace::bench
