#pragma once

#include "base/result.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace headrace::storage {

struct http_request {
  std::string method = "GET";
  std::string url;
  std::vector<std::pair<std::string, std::string>> headers;
  /// What a PUT or POST sends: bytes, or a whole file, which is streamed.
  std::span<const std::byte> body;
  std::optional<std::filesystem::path> body_file;
};

struct http_response {
  int status = 0;
  std::vector<std::pair<std::string, std::string>> headers;  // lower-case names
  std::string body;                                          // empty where a sink took it

  /// The value of a header, or "".
  const std::string& header(const std::string& name) const;
};

/// Takes the body of a 2xx answer piece by piece.
using http_sink = std::function<result<void>(std::span<const std::byte>)>;

/// One HTTP request after the other over kept connections. Follows no redirect, retries nothing.
/// One thread at a time.
class http_exchange {
 public:
  struct limits {
    std::chrono::seconds connect{10};
    std::chrono::seconds stall{30};  // without a byte in either direction
    std::size_t body_max = std::size_t{64} << 20;
  };

  explicit http_exchange(const limits& how);
  ~http_exchange();
  http_exchange(const http_exchange&) = delete;
  http_exchange& operator=(const http_exchange&) = delete;

  /// The answer, whatever its status. Fails: unavailable (no connection, a broken one, no libcurl),
  /// timeout, too_large (a body kept in memory), what reading the file or the sink fails with.
  result<http_response> send(const http_request& request, const http_sink& sink = {});

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace headrace::storage
