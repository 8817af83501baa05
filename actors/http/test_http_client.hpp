#pragma once

#include "base/check.hpp"
#include "base/parse_number.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <map>
#include <netinet/in.h>
#include <optional>
#include <poll.h>
#include <string>
#include <string_view>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace headrace::actors {

/// A blocking client over one plain socket, for tests: sends any bytes, reads answers one by one.
/// Every wait has a deadline.
class test_http_client {
 public:
  struct answer {
    unsigned status = 0;
    std::map<std::string, std::string> fields;  // names in lower case
    std::string body;
  };

  explicit test_http_client(const std::string& endpoint, int receive_buffer_bytes = 0) {
    const auto colon = endpoint.rfind(':');
    socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK(socket_ >= 0);
    if (receive_buffer_bytes > 0) {
      ::setsockopt(
          socket_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    }
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(parse_number<std::uint16_t>(endpoint.substr(colon + 1)).value());
    CHECK(::inet_pton(AF_INET, endpoint.substr(0, colon).c_str(), &to.sin_addr) == 1);
    connected_ = ::connect(socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0;
  }
  ~test_http_client() { close(); }
  test_http_client(const test_http_client&) = delete;
  test_http_client& operator=(const test_http_client&) = delete;

  bool connected() const { return connected_; }
  int socket() const { return socket_; }
  void close() {
    if (socket_ >= 0) ::close(std::exchange(socket_, -1));
  }
  void close_with_reset() {
    const linger now{1, 0};
    ::setsockopt(socket_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close();
  }
  void end_sending() { ::shutdown(socket_, SHUT_WR); }

  /// False when the peer takes no more, for `wait` or ever.
  bool send(std::string_view bytes, std::chrono::milliseconds wait = std::chrono::seconds(10)) {
    while (!bytes.empty()) {
      if (!ready(POLLOUT, wait)) return false;
      const auto done = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (done < 0 && errno == EAGAIN) continue;
      if (done <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(done));
    }
    return true;
  }

  /// The next answer, or nothing when the peer ended or was silent for ten seconds. `of_head`: it
  /// has no body, whatever its length says.
  std::optional<answer> read(bool of_head = false) {
    std::size_t end = 0;
    while ((end = bytes_.find("\r\n\r\n")) == std::string::npos) {
      if (!more()) return std::nullopt;
    }
    answer out = parse_head(std::string_view(bytes_).substr(0, end + 2));
    bytes_.erase(0, end + 4);
    const auto length = out.fields.find("content-length");
    if (of_head || length == out.fields.end()) return out;
    const auto size = parse_number<std::size_t>(length->second).value();
    while (bytes_.size() < size) {
      if (!more()) return std::nullopt;
    }
    out.body = bytes_.substr(0, size);
    bytes_.erase(0, size);
    return out;
  }

  /// What comes up to and with `end`, or nothing when the peer ended or was silent for ten seconds.
  std::optional<std::string> read_until(std::string_view end) {
    std::size_t at = 0;
    while ((at = bytes_.find(end)) == std::string::npos) {
      if (!more()) return std::nullopt;
    }
    std::string out = bytes_.substr(0, at + end.size());
    bytes_.erase(0, at + end.size());
    return out;
  }

  /// True when the peer ends the connection within ten seconds; drops what it still says.
  bool ended() {
    while (more()) bytes_.clear();
    return at_end_;
  }

  std::optional<answer> ask(std::string_view bytes) {
    if (!send(bytes)) return std::nullopt;
    return read();
  }

 private:
  bool ready(short what, std::chrono::milliseconds wait) const {
    pollfd item{socket_, what, 0};
    return ::poll(&item, 1, static_cast<int>(wait.count())) == 1;
  }
  bool more() {
    if (!ready(POLLIN, std::chrono::seconds(10))) return false;
    char buffer[16'384];
    const auto got = ::recv(socket_, buffer, sizeof buffer, 0);
    at_end_ = got <= 0;
    if (got <= 0) return false;
    bytes_.append(buffer, static_cast<std::size_t>(got));
    return true;
  }
  static answer parse_head(std::string_view head) {
    answer out;
    std::size_t at = head.find("\r\n");
    CHECK(head.starts_with("HTTP/1.1 "));
    out.status = parse_number<unsigned>(head.substr(9, 3)).value();
    for (at += 2; at < head.size();) {
      const auto end = head.find("\r\n", at);
      const auto line = head.substr(at, end - at);
      const auto colon = line.find(": ");
      CHECK(colon != std::string_view::npos);
      std::string name(line.substr(0, colon));
      std::transform(name.begin(), name.end(), name.begin(), [](unsigned char of) {
        return static_cast<char>(of >= 'A' && of <= 'Z' ? of + 32 : of);
      });
      CHECK(out.fields.emplace(name, line.substr(colon + 2)).second);  // each once
      at = end + 2;
    }
    return out;
  }

  int socket_ = -1;
  bool connected_ = false;
  bool at_end_ = false;
  std::string bytes_;
};

inline std::string get(const std::string& path, const std::string& fields = "") {
  return "GET " + path + " HTTP/1.1\r\nHost: here\r\n" + fields + "\r\n";
}
inline std::string post(const std::string& path,
                        const std::string& body,
                        const std::string& fields = "") {
  return "POST " + path + " HTTP/1.1\r\nHost: here\r\n" + fields +
         "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
}
/// The same in chunks of `chunk_bytes`.
inline std::string post_in_chunks(const std::string& path,
                                  const std::string& body,
                                  std::size_t chunk_bytes) {
  std::string out =
      "POST " + path + " HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (std::size_t at = 0; at < body.size(); at += chunk_bytes) {
    const auto chunk = body.substr(at, chunk_bytes);
    char head[32];
    std::snprintf(head, sizeof head, "%zx\r\n", chunk.size());
    out += head + chunk + "\r\n";
  }
  return out + "0\r\n\r\n";
}

}  // namespace headrace::actors
