#include "base/clock.hpp"
#include "base/parse_number.hpp"
#include "bench/ingest/load.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>
#include <vector>

namespace headrace::bench {
namespace {

constexpr std::size_t answer_bytes = std::size_t{1} << 14;

error failed(const char* what) {
  return {errc::io_error, std::string("HTTP: ") + what + ": " + std::strerror(errno)};
}

/// Position behind the answer that `text` begins with; 0 when it is not whole yet.
std::size_t answer_end(std::string_view text) {
  const auto head = text.find("\r\n\r\n");
  const auto named = text.find("Content-Length: ");
  if (head == std::string_view::npos || named > head) return 0;
  const auto digits = text.substr(named + 16, text.find("\r\n", named) - named - 16);
  const auto length = parse_number<std::size_t>(digits);
  const std::size_t end = head + 4 + length.value_or(0);
  return text.size() >= end ? end : 0;
}

/// `depth` connections that are kept, a request at a time on each: how producers use HTTP. Requests
/// are made beforehand.
class http_sender final : public ingest_sender {
 public:
  static result<std::unique_ptr<ingest_sender>> open(const ingest_options& options) {
    std::unique_ptr<http_sender> made(new http_sender(options));
    const auto port =
        parse_number<std::uint16_t>(options.endpoint.substr(options.endpoint.rfind(':') + 1));
    if (!port) return error{errc::bad_config, "'" + options.endpoint + "' has no port"};
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(*port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int on = 1;
    for (std::uint32_t i = 0; i < options.depth; ++i) {
      const int socket = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
      made->lines_.push_back({socket, POLLIN, 0});
      made->answers_.emplace_back();
      made->begin_ns_.push_back(0);
      if (::connect(socket, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
        return failed("connect");
      ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    }
    return std::unique_ptr<ingest_sender>(std::move(made));
  }
  ~http_sender() override {
    for (const auto& line : lines_) ::close(line.fd);
  }

  result<bool> send(std::uint64_t number, std::chrono::milliseconds patience) override {
    if (busy_ == lines_.size()) {
      if (auto read = read_answers(patience); !read) return read.error();
      if (busy_ == lines_.size()) return false;
    }
    std::size_t free = 0;
    while (begin_ns_[free] != 0) ++free;
    begin_ns_[free] = time_.steady_ns();
    ++busy_;
    if (found_.begin_ns == 0) found_.begin_ns = begin_ns_[free];
    std::string_view left = requests_[number];
    while (!left.empty()) {
      const auto wrote = ::send(lines_[free].fd, left.data(), left.size(), MSG_NOSIGNAL);
      if (wrote < 0 && errno != EINTR) return failed("send");
      if (wrote > 0) left.remove_prefix(static_cast<std::size_t>(wrote));
    }
    return true;
  }
  result<void> finish() override {
    while (busy_ > 0) {
      if (auto read = read_answers(std::chrono::minutes(1)); !read) return read;
    }
    return {};
  }
  client_result look() const override { return found_; }

 private:
  explicit http_sender(const ingest_options& options)
      : expected_("\"accepted\":" + std::to_string(options.batch) + ","), batch_(options.batch) {
    for (std::uint64_t i = 0; i < options.batches_of_client(); ++i) {
      const std::string body = make_event_lines(options, i, time_.now_ms());
      requests_.push_back(
          "POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-ndjson\r\n"
          "Content-Length: " +
          std::to_string(body.size()) + "\r\n\r\n" + body);
    }
  }
  result<void> read_answers(std::chrono::milliseconds patience) {
    ::poll(lines_.data(), lines_.size(), static_cast<int>(patience.count()));
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      if (lines_[i].revents == 0) continue;
      char piece[answer_bytes];
      const auto got = ::recv(lines_[i].fd, piece, sizeof piece, 0);
      if (got <= 0) return failed("receive");
      answers_[i].append(piece, static_cast<std::size_t>(got));
      if (answer_end(answers_[i]) == 0) continue;
      if (answers_[i].find(expected_) == std::string::npos)
        return error{errc::io_error, "HTTP: answered " + answers_[i]};
      answers_[i].clear();
      found_.end_ns = time_.steady_ns();
      found_.acknowledged += batch_;
      found_.batch_us.push_back(
          static_cast<std::uint32_t>((found_.end_ns - std::exchange(begin_ns_[i], 0)) / 1'000));
      --busy_;
    }
    return {};
  }

  system_clock time_;
  const std::string expected_;
  const std::uint32_t batch_;
  std::vector<std::string> requests_;
  std::vector<pollfd> lines_;
  std::vector<std::string> answers_;     // so far, by line
  std::vector<std::uint64_t> begin_ns_;  // by line; 0: it is free
  std::size_t busy_ = 0;
  client_result found_;
};

}  // namespace

result<std::unique_ptr<ingest_sender>> open_http_sender(const ingest_options& options) {
  return http_sender::open(options);
}

}  // namespace headrace::bench
