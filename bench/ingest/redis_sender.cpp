#include "base/clock.hpp"
#include "base/parse_number.hpp"
#include "bench/ingest/load.hpp"

#include <arpa/inet.h>
#include <cerrno>
#include <cstring>
#include <deque>
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

constexpr std::size_t payload_bytes = 200;
constexpr std::size_t answers_bytes = std::size_t{1} << 16;

error failed(const char* what) {
  return {errc::io_error, std::string("Redis: ") + what + ": " + std::strerror(errno)};
}

/// The plainest fast producer for Redis Streams: one connection, a batch is one write of so many
/// XADDs with a payload of 200 bytes, made beforehand; answers are counted, not kept.
class redis_sender final : public ingest_sender {
 public:
  static result<std::unique_ptr<ingest_sender>> open(const ingest_options& options) {
    std::unique_ptr<redis_sender> made(new redis_sender(options));
    const auto port = parse_number<std::uint16_t>(options.endpoint);
    if (!port) return error{errc::bad_config, "'" + options.endpoint + "' is no port"};
    made->socket_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(*port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(made->socket_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0)
      return failed("connect");
    const int on = 1;
    ::setsockopt(made->socket_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return std::unique_ptr<ingest_sender>(std::move(made));
  }
  ~redis_sender() override {
    if (socket_ >= 0) ::close(socket_);
  }

  result<bool> send(std::uint64_t, std::chrono::milliseconds patience) override {
    while (sent_.size() >= depth_) {
      pollfd ready{socket_, POLLIN, 0};
      if (::poll(&ready, 1, static_cast<int>(patience.count())) == 0) return false;
      if (auto read = read_answers(); !read) return read.error();
    }
    sent_.push_back({time_.steady_ns(), batch_});
    if (found_.begin_ns == 0) found_.begin_ns = sent_.back().begin_ns;
    std::string_view left = request_;
    while (!left.empty()) {
      const auto wrote = ::send(socket_, left.data(), left.size(), MSG_NOSIGNAL);
      if (wrote < 0 && errno != EINTR) return failed("send");
      if (wrote > 0) left.remove_prefix(static_cast<std::size_t>(wrote));
    }
    return true;
  }
  result<void> finish() override {
    while (!sent_.empty()) {
      if (auto read = read_answers(); !read) return read;
    }
    return {};
  }
  client_result look() const override { return found_; }

 private:
  struct in_flight {
    std::uint64_t begin_ns = 0;
    std::uint32_t left = 0;
  };
  explicit redis_sender(const ingest_options& options)
      : depth_(options.depth), batch_(options.batch), answers_(answers_bytes) {
    const std::string payload(payload_bytes, 'x');
    const std::string one = "*5\r\n$4\r\nXADD\r\n$6\r\nevents\r\n$1\r\n*\r\n$1\r\nd\r\n$" +
                            std::to_string(payload_bytes) + "\r\n" + payload + "\r\n";
    for (std::uint32_t i = 0; i < batch_; ++i) request_ += one;
  }
  /// An answer is "$15\r\n1764237600123-0\r\n": two line ends; a refusal begins with '-'.
  result<void> read_answers() {
    const auto got = ::recv(socket_, answers_.data(), answers_.size(), 0);
    if (got <= 0) return failed("receive");
    for (std::size_t i = 0; i < static_cast<std::size_t>(got); ++i) {
      if (at_line_begin_ && lines_ % 2 == 0 && answers_[i] == '-')
        return error{errc::io_error, "Redis refused XADD"};
      at_line_begin_ = answers_[i] == '\n';
      if (!at_line_begin_ || ++lines_ % 2 != 0) continue;
      if (--sent_.front().left != 0) continue;
      found_.end_ns = time_.steady_ns();
      found_.acknowledged += batch_;
      found_.batch_us.push_back(
          static_cast<std::uint32_t>((found_.end_ns - sent_.front().begin_ns) / 1'000));
      sent_.pop_front();
    }
    return {};
  }

  system_clock time_;
  const std::uint32_t depth_;
  const std::uint32_t batch_;
  std::string request_;
  std::vector<char> answers_;
  std::uint64_t lines_ = 0;
  bool at_line_begin_ = true;
  std::deque<in_flight> sent_;
  client_result found_;
  int socket_ = -1;
};

}  // namespace

result<std::unique_ptr<ingest_sender>> open_redis_sender(const ingest_options& options) {
  return redis_sender::open(options);
}

}  // namespace headrace::bench
