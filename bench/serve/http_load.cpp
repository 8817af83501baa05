#include "bench/serve/http_load.hpp"

#include "base/clock.hpp"
#include "base/parse_number.hpp"

#include <algorithm>
#include <arpa/inet.h>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <deque>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <optional>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include <utility>

namespace headrace::bench {
namespace {

constexpr std::size_t piece_bytes = std::size_t{1} << 16;
constexpr std::uint64_t second_ns = 1'000'000'000;
constexpr std::uint64_t drain_ns = 10 * second_ns;  // for the last answers

error failed(const char* what) {
  return {errc::io_error, std::string("HTTP: ") + what + ": " + std::strerror(errno)};
}

/// A socket that closes with its owner.
class connected {
 public:
  static result<connected> to(const std::string& address) {
    const auto colon = address.rfind(':');
    const auto port = parse_number<std::uint16_t>(std::string_view(address).substr(colon + 1));
    sockaddr_in at{};
    at.sin_family = AF_INET;
    if (colon == std::string::npos || !port ||
        ::inet_pton(AF_INET, address.substr(0, colon).c_str(), &at.sin_addr) != 1)
      return error{errc::bad_config, "'" + address + "' is no address:port"};
    at.sin_port = htons(*port);
    connected made;
    made.fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (::connect(made.fd_, reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0)
      return failed("connect");
    const int on = 1;
    ::setsockopt(made.fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return made;
  }
  connected(connected&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), came_(std::move(other.came_)) {}
  connected& operator=(connected&&) = delete;
  ~connected() {
    if (fd_ >= 0) ::close(fd_);
  }

  int fd() const { return fd_; }
  result<void> send(std::string_view left) const {
    while (!left.empty()) {
      const auto wrote = ::send(fd_, left.data(), left.size(), MSG_NOSIGNAL);
      if (wrote < 0 && errno != EINTR) return failed("send");
      if (wrote > 0) left.remove_prefix(static_cast<std::size_t>(wrote));
    }
    return {};
  }
  /// What has come: an answer, once it is whole.
  result<std::optional<http_answered>> receive() {
    char piece[piece_bytes];
    const auto got = ::recv(fd_, piece, sizeof piece, 0);
    if (got == 0) return error{errc::io_error, "HTTP: the connection ended"};
    if (got < 0) return failed("receive");
    came_.append(piece, static_cast<std::size_t>(got));
    return take();
  }

 private:
  connected() = default;
  std::optional<http_answered> take() {
    const auto head = came_.find("\r\n\r\n");
    const auto named = came_.find("Content-Length: ");
    if (head == std::string::npos || named > head) return std::nullopt;
    const auto digits =
        std::string_view(came_).substr(named + 16, came_.find("\r\n", named) - named - 16);
    const std::size_t length = parse_number<std::size_t>(digits).value_or(0);
    if (came_.size() < head + 4 + length) return std::nullopt;
    http_answered answer;
    answer.status = parse_number<unsigned>(std::string_view(came_).substr(9, 3)).value_or(0);
    answer.body = came_.substr(head + 4, length);
    came_.erase(0, head + 4 + length);
    return answer;
  }

  int fd_ = -1;
  std::string came_;
};

class blocking_line final : public http_line {
 public:
  explicit blocking_line(connected socket) : socket_(std::move(socket)) {}
  result<http_answered> ask(std::string_view request, std::chrono::milliseconds patience) override {
    if (auto sent = socket_.send(request); !sent) return sent.error();
    const std::uint64_t until =
        time_.steady_ns() + static_cast<std::uint64_t>(patience.count()) * 1'000'000;
    while (time_.steady_ns() < until) {
      pollfd wait{socket_.fd(), POLLIN, 0};
      const auto left = static_cast<int>((until - time_.steady_ns()) / 1'000'000 + 1);
      if (::poll(&wait, 1, left) <= 0) continue;
      auto came = socket_.receive();
      if (!came) return came.error();
      if (*came) return std::move(**came);
    }
    return error{errc::timeout, "HTTP: no answer in time"};
  }

 private:
  system_clock time_;
  connected socket_;
};

/// What `put_load` does, step by step.
class running_load {
 public:
  explicit running_load(const http_load& load) : load_(load) {}

  result<http_figures> run() {
    for (std::uint32_t i = 0; i < load_.connections; ++i) {
      auto opened = connected::to(load_.address);
      if (!opened) return opened.error();
      waits_.push_back({opened->fd(), POLLIN, 0});
      lines_.push_back(std::move(*opened));
      due_ns_.push_back(0);
    }
    begin_ns_ = time_.steady_ns() + 1'000'000;
    end_ns_ = begin_ns_ + static_cast<std::uint64_t>(load_.seconds * 1e9);
    while (true) {
      const std::uint64_t now = time_.steady_ns();
      if (auto sent = send_due(now); !sent) return sent.error();
      if (now >= end_ns_ && busy_ == 0) break;
      if (now >= end_ns_ + drain_ns) return error{errc::timeout, "HTTP: no answer in time"};
      if (auto read = read_answers(); !read) return read.error();
    }
    return figures();
  }

 private:
  std::uint64_t next_due_ns() const {
    if (load_.rate == 0) return begin_ns_;
    return begin_ns_ + found_.sent * second_ns / load_.rate;
  }
  result<void> send_due(std::uint64_t now) {
    while (busy_ < lines_.size()) {
      const std::uint64_t due = next_due_ns();
      // What was due before the end goes out; without a rate nothing is due behind it.
      if (due > now || due >= end_ns_ || (load_.rate == 0 && now >= end_ns_)) return {};
      const auto free = static_cast<std::size_t>(std::ranges::find(due_ns_, 0U) - due_ns_.begin());
      due_ns_[free] = load_.rate == 0 ? now : due;
      ++busy_;
      if (auto sent = lines_[free].send(load_.requests[found_.sent++ % load_.requests.size()]);
          !sent)
        return sent;
    }
    return {};
  }
  result<void> read_answers() {
    const std::uint64_t now = time_.steady_ns();
    const std::uint64_t due = busy_ == lines_.size() ? UINT64_MAX : next_due_ns();
    const std::uint64_t wait = std::min(due > now ? due - now : 0, second_ns / 10);
    const timespec most{0, static_cast<long>(wait)};
    if (::ppoll(waits_.data(), waits_.size(), &most, nullptr) <= 0) return {};
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      if (waits_[i].revents == 0) continue;
      auto came = lines_[i].receive();
      if (!came) return came.error();
      if (!*came) continue;
      if (auto counted = count(**came, std::exchange(due_ns_[i], 0)); !counted) return counted;
      --busy_;
    }
    return {};
  }
  result<void> count(const http_answered& answer, std::uint64_t due_ns) {
    if (answer.status == 429 || answer.status == 503) {
      ++found_.refused;
      return {};
    }
    if (answer.status != 200)
      return error{errc::io_error,
                   "HTTP: " + std::to_string(answer.status) + " " + answer.body.substr(0, 200)};
    ++found_.answered;
    bytes_ += answer.body.size();
    last_ns_ = time_.steady_ns();
    took_ns_.push_back(last_ns_ - due_ns);
    return {};
  }
  http_figures figures() {
    found_.seconds = static_cast<double>(std::max(last_ns_, end_ns_) - begin_ns_) / 1e9;
    if (took_ns_.empty()) return found_;
    std::ranges::sort(took_ns_);
    const auto at = [this](double share) {
      const auto place =
          static_cast<std::size_t>(std::ceil(share * static_cast<double>(took_ns_.size())));
      return static_cast<double>(took_ns_[std::max<std::size_t>(place, 1) - 1]) / 1e6;
    };
    found_.p50_ms = at(0.5);
    found_.p99_ms = at(0.99);
    found_.p999_ms = at(0.999);
    found_.max_ms = at(1.0);
    found_.answer_bytes = static_cast<double>(bytes_) / static_cast<double>(found_.answered);
    return found_;
  }

  const http_load& load_;
  system_clock time_;
  std::vector<connected> lines_;
  std::vector<pollfd> waits_;
  std::vector<std::uint64_t> due_ns_;  // by line: of what it waits for; 0: it is free
  std::size_t busy_ = 0;
  std::uint64_t begin_ns_ = 0;
  std::uint64_t end_ns_ = 0;
  std::uint64_t last_ns_ = 0;
  std::uint64_t bytes_ = 0;
  std::vector<std::uint64_t> took_ns_;
  http_figures found_;
};

}  // namespace

std::string http_text(std::string_view path, std::string_view body) {
  std::string text(body.empty() ? "GET " : "POST ");
  text.append(path).append(" HTTP/1.1\r\nHost: localhost\r\n");
  if (!body.empty())
    text +=
        "Content-Type: application/json\r\nContent-Length: " + std::to_string(body.size()) + "\r\n";
  return text.append("\r\n").append(body);
}

result<std::unique_ptr<http_line>> http_line::connect(const std::string& address) {
  auto socket = connected::to(address);
  if (!socket) return socket.error();
  return std::unique_ptr<http_line>(std::make_unique<blocking_line>(std::move(*socket)));
}

result<http_figures> put_load(const http_load& load) { return running_load(load).run(); }

std::string to_line(const http_figures& figures) {
  char text[320];
  std::snprintf(text,
                sizeof text,
                "%llu %llu %llu %.17g %.17g %.17g %.17g %.17g %.17g",
                static_cast<unsigned long long>(figures.sent),
                static_cast<unsigned long long>(figures.answered),
                static_cast<unsigned long long>(figures.refused),
                figures.seconds,
                figures.p50_ms,
                figures.p99_ms,
                figures.p999_ms,
                figures.max_ms,
                figures.answer_bytes);
  return text;
}

result<http_figures> parse_http_figures(std::string_view line) {
  http_figures made;
  unsigned long long sent = 0;
  unsigned long long answered = 0;
  unsigned long long refused = 0;
  const int read = std::sscanf(std::string(line).c_str(),
                               "%llu %llu %llu %lf %lf %lf %lf %lf %lf",
                               &sent,
                               &answered,
                               &refused,
                               &made.seconds,
                               &made.p50_ms,
                               &made.p99_ms,
                               &made.p999_ms,
                               &made.max_ms,
                               &made.answer_bytes);
  if (read != 9) return error{errc::malformed, "a client said '" + std::string(line) + "'"};
  made.sent = sent;
  made.answered = answered;
  made.refused = refused;
  return made;
}

}  // namespace headrace::bench
