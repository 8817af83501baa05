#pragma once

#include "base/result.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace headrace::actors {

class event_feed;

struct http_request {
  std::string method;            // upper case; HEAD comes as GET where no route takes HEAD
  std::string path;              // without query; percent-decoded
  std::string query;             // behind '?', raw
  std::string content_type;      // lower case, without parameters
  std::string content_encoding;  // lower case
  std::string bearer;            // the token of "Authorization: Bearer …"
  std::string body;              // as sent, without chunks
  std::string peer;              // address:port
  /// Fields whose names begin with "x-headrace-", in lower case.
  std::vector<std::pair<std::string, std::string>> fields;

  /// The value of the field `name` (lower case); empty when it was not sent.
  std::string_view field(std::string_view name) const {
    for (const auto& [known, value] : fields) {
      if (known == name) return value;
    }
    return {};
  }
};

struct http_answer {
  unsigned status = 200;
  std::string body;
  std::string_view content_type = "application/json";  // of static storage
  std::uint32_t retry_after_s = 0;                     // sent when not 0
  /// Instead of a body: its messages for as long as the peer listens. Nothing that the peer sends
  /// behind this request is looked at.
  std::shared_ptr<event_feed> feed = nullptr;
};

/// Called once, from any thread; after that, or when the connection is gone, it does nothing. When
/// the last copy goes and none was called, the request is answered 500.
using http_reply = std::function<void(http_answer)>;
/// Runs on the server's thread and must only hand over.
using http_handler = std::function<void(http_request, http_reply)>;
/// Asked on the server's thread at the end of a header, before anything of the body is read:
/// nothing, or the answer that refuses the request. `head` has no body yet; `body_bytes` is its
/// length where the header names one, else 0.
using http_admit =
    std::function<std::optional<http_answer>(const http_request& head, std::uint64_t body_bytes)>;

struct http_route {
  std::string method;
  std::string path;  // whole; with '*' at its end, everything behind it too
  http_handler handle;
  std::size_t body_bytes_max = std::size_t{16} << 20;
  http_admit admit = nullptr;  // none: everyone
  /// Room that is set aside on a connection for each answer until it is there. Larger answers are
  /// sent, but count only from then on.
  std::size_t answer_bytes_max = 4'096;
  /// Called on the server's thread when it has handed over, to `handle`, whatever requests came
  /// together: once for any number of them, before it waits for more.
  std::function<void()> after_turn = nullptr;
};

struct http_options {
  std::uint32_t connections_max = 1'024;  // the next one is told 503 and closed
  std::uint32_t header_bytes_max = 16 * 1024;
  std::uint32_t header_ms_max = 10'000;  // from the first byte to the end of the header
  std::uint32_t body_ms_max = 30'000;
  std::uint32_t idle_ms_max = 60'000;    // keep-alive
  std::uint32_t answer_ms_max = 60'000;  // a handler that has not replied: 504
  std::uint32_t write_ms_max = 30'000;   // a peer that does not read what it asked for
  std::uint32_t stop_ms_max = 5'000;     // for handlers that owe an answer
  std::uint32_t pipeline_max = 64;       // requests of one connection that wait for their answer
  std::size_t bytes_max = std::size_t{256} << 20;  // of all bodies held; beyond it 503, Retry-After
};

/// HTTP/1.1 (and 1.0) on one plain thread: keep-alive, pipelined requests answered in order, a
/// bound on everything a peer can make it hold and for how long. Nothing a peer sends stops it;
/// what it refuses is answered (docs/http.md lists each) with a line of JSON {"error":"…"}, and
/// counted.
///
/// A body counts in `bytes_max` from its first byte until its request was answered; an answer's
/// size is for its handler to bound.
class http_server {
 public:
  /// Binds every "address:port" (port 0 is chosen by the system) and starts. Fails: bad_config for
  /// an address beyond loopback or none, in_use.
  static result<std::unique_ptr<http_server>> open(const std::vector<std::string>& endpoints,
                                                   std::vector<http_route> routes,
                                                   const http_options& how = {});
  /// Stops.
  virtual ~http_server() = default;
  /// As bound, in the order given.
  virtual const std::vector<std::string>& endpoints() const = 0;
  struct counters {
    std::uint64_t connections = 0;  // accepted, those beyond the limit too
    std::uint64_t requests = 0;     // handed to a handler
    std::uint64_t refused = 0;      // requests and connections
    std::uint64_t timed_out = 0;    // connections closed, or requests given up, at a deadline
    std::uint64_t open = 0;         // connections, now
    std::uint64_t bytes = 0;        // of bodies, now
  };
  virtual counters count() const = 0;
  /// Calls no handler from here on, answers what it has within `stop_ms_max`, then ends its thread.
  /// Idempotent; not for handlers.
  virtual void stop() = 0;
};

}  // namespace headrace::actors
