#pragma once

#include "base/result.hpp"

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::bench {

/// A request as it is sent. Without a body a GET.
std::string http_text(std::string_view path, std::string_view body = {});

struct http_answered {
  unsigned status = 0;
  std::string body;
};
/// One kept connection, a request at a time; waits for each answer. Fails: io_error, timeout.
class http_line {
 public:
  /// `address`: host:port of loopback.
  static result<std::unique_ptr<http_line>> connect(const std::string& address);
  virtual ~http_line() = default;
  virtual result<http_answered> ask(std::string_view request,
                                    std::chrono::milliseconds patience) = 0;
};

/// Requests that are due at fixed times, however long answers take, over connections that are kept.
/// One that is due while all of them wait for an answer goes out late, and counts from when it was
/// due.
struct http_load {
  std::string address;
  std::uint32_t connections = 8;
  std::uint32_t rate = 500;  // requests a second; 0: each connection sends when it was answered
  double seconds = 10;
  std::vector<std::string> requests;  // as sent, one after the other, over and over
};

struct http_figures {
  std::uint64_t sent = 0;
  std::uint64_t answered = 0;  // with 200
  std::uint64_t refused = 0;   // with 429 or 503
  double seconds = 0;
  double p50_ms = 0;  // from when it was due, of those answered with 200
  double p99_ms = 0;
  double p999_ms = 0;
  double max_ms = 0;
  double answer_bytes = 0;  // of a body, on average

  double per_second() const { return seconds > 0 ? static_cast<double>(answered) / seconds : 0; }
};
/// Fails: io_error (a connection ended, or an answer was none of the above), timeout.
result<http_figures> put_load(const http_load& load);

std::string to_line(const http_figures& figures);
result<http_figures> parse_http_figures(std::string_view line);

}  // namespace headrace::bench
