#pragma once

#include "actors/http/http_server.hpp"
#include "actors/http/route_table.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace headrace::actors {

/// Bytes that all connections of a server hold together. One thread.
class byte_room {
 public:
  explicit byte_room(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  bool has(std::size_t bytes) const { return bytes <= bytes_max_ && used_ <= bytes_max_ - bytes; }
  bool take(std::size_t bytes) {
    if (!has(bytes)) return false;
    used_ += bytes;
    return true;
  }
  void give(std::size_t bytes) { used_ -= bytes; }
  std::size_t used() const { return used_; }

 private:
  std::size_t bytes_max_;
  std::size_t used_ = 0;
};

/// A request that is whole, with how it is to be answered.
struct whole_request {
  http_request request;
  const http_route* route = nullptr;
  bool head_only = false;
  bool close = false;  // the peer wants no further answer on this connection
  bool version_1_0 = false;
};

/// Why a request is not taken. With `close` the connection's further bytes mean nothing.
struct refused_request {
  unsigned status = 400;
  std::string why;
  std::string allow;
  std::uint32_t retry_after_s = 0;
  std::optional<http_answer> answer;  // of the route's `admit`: sent as it is
  bool close = true;
  bool head_only = false;
  bool version_1_0 = false;
};

/// Reads one connection's requests from its bytes, in pieces of any size: who asks for what is
/// checked at the end of the header, before a byte of the body is kept. Body bytes are taken from
/// the room as they come. Knows no socket and no time. One thread.
class request_reader {
 public:
  request_reader(const route_table& routes,
                 byte_room& room,
                 std::size_t header_bytes_max,
                 std::string peer);
  ~request_reader();
  request_reader(const request_reader&) = delete;
  request_reader& operator=(const request_reader&) = delete;

  enum class stage { idle, header, body, whole, refused };
  stage at() const;
  /// Takes from the front of `bytes` and says how many; what it leaves comes again, with more
  /// behind it. Takes nothing at `whole` and at `refused`.
  std::size_t take(std::string_view bytes);
  /// True once, when the peer waits for "100 Continue" before it sends the body.
  bool wants_continue();
  /// Of a body whose length was named, what has yet to come; else 0.
  std::size_t body_left() const;

  /// At `whole`: the request; its body's bytes stay taken from the room. Idle again.
  whole_request take_request();
  /// At `refused`: why. Idle again.
  refused_request take_refusal();

 private:
  struct parser;
  std::size_t take_header(std::string_view bytes);
  std::size_t take_body(std::string_view bytes);
  void end_header();
  std::optional<http_answer> turned_away(std::uint64_t body_bytes) const;
  void refuse(unsigned status, std::string why, bool close = true);
  void give_back();

  const route_table& routes_;
  byte_room& room_;
  std::size_t header_bytes_max_;
  std::string peer_;
  stage at_ = stage::idle;
  std::unique_ptr<parser> parser_;  // made again for every request
  std::size_t header_bytes_ = 0;
  bool wants_continue_ = false;
  const http_route* route_ = nullptr;
  refused_request refusal_;
};

}  // namespace headrace::actors
