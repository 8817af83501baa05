#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::actors {

struct http_request {
  std::string method;  // upper case
  std::string path;    // without query; percent-decoded
  std::string query;   // behind '?', raw
  std::string content_type;
  std::string content_encoding;
  std::string bearer;  // the token of "Authorization: Bearer …"
  std::string body;    // as sent
  std::string peer;    // address:port
};

struct http_answer {
  unsigned status = 200;
  std::string body;
  std::string content_type = "application/json";
  std::uint32_t retry_after_s = 0;  // sent when not 0
};

/// Called once, from any thread; after that, or when the connection is gone, it does nothing.
using http_reply = std::function<void(http_answer)>;
/// Runs on the server's thread and must only hand over.
using http_handler = std::function<void(http_request, http_reply)>;

struct http_route {
  std::string method;
  std::string path;  // whole; with '*' at its end, everything behind it too
  http_handler handle;
  std::size_t body_bytes_max = std::size_t{16} << 20;
};

struct http_options {
  std::uint32_t connections_max = 1'024;
  std::uint32_t header_bytes_max = 16 * 1024;
  std::uint32_t header_ms_max = 10'000;  // from the first byte to the end of the header
  std::uint32_t body_ms_max = 30'000;
  std::uint32_t idle_ms_max = 60'000;    // keep-alive
  std::size_t bytes_max = std::size_t{256} << 20;  // of all bodies held; beyond it 503 with Retry-After
};

/// HTTP/1.1 on one plain thread: keep-alive, pipelined requests answered in order, a bound on
/// everything a peer can make it hold. Nothing a peer sends stops it; what it refuses is answered
/// (400, 404, 405, 408, 413, 431, 503) with a line of JSON {"error":"…"}, and counted.
class http_server {
 public:
  /// Binds every "address:port" (port 0 is chosen by the system) and starts. Fails: bad_config beyond
  /// loopback, in_use.
  static result<std::unique_ptr<http_server>> open(const std::vector<std::string>& endpoints,
                                                   std::vector<http_route> routes,
                                                   const http_options& how = {});
  virtual ~http_server() = default;
  virtual const std::vector<std::string>& endpoints() const = 0;
  struct counters {
    std::uint64_t connections = 0;
    std::uint64_t requests = 0;
    std::uint64_t refused = 0;
    std::uint64_t timed_out = 0;
  };
  virtual counters count() const = 0;
  /// Answers what it has, then ends its thread. Idempotent.
  virtual void stop() = 0;
};

}  // namespace headrace::actors
