#include "actors/http/http_server.hpp"

#include "actors/http/http_connection.hpp"
#include "actors/http/http_text.hpp"
#include "actors/transport/loopback.hpp"
#include "base/check.hpp"
#include "base/log.hpp"
#include "base/parse_number.hpp"

#include <algorithm>
#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_waitable_timer.hpp>
#include <boost/asio/post.hpp>
#include <chrono>
#include <exception>
#include <optional>
#include <thread>
#include <unordered_map>
#include <utility>

namespace headrace::actors {
namespace {

namespace asio = boost::asio;
using tcp = asio::ip::tcp;
using error_code = boost::system::error_code;
using executor = asio::io_context::executor_type;
using acceptor = asio::basic_socket_acceptor<tcp, executor>;
using timer = asio::basic_waitable_timer<std::chrono::steady_clock,
                                         asio::wait_traits<std::chrono::steady_clock>,
                                         executor>;

constexpr std::uint32_t tick_ms_max = 100;
constexpr std::uint32_t tick_ms_min = 5;

// Deadlines are looked at so often that none is overrun by more than a quarter, or 100 ms.
std::chrono::milliseconds tick_of(const http_options& how) {
  const std::uint32_t least = std::min({how.header_ms_max,
                                        how.body_ms_max,
                                        how.idle_ms_max,
                                        how.answer_ms_max,
                                        how.write_ms_max,
                                        how.stop_ms_max});
  return std::chrono::milliseconds(std::clamp(least / 4, tick_ms_min, tick_ms_max));
}

error not_bound(const std::string& endpoint, errc code, const std::string& why) {
  return {code,
          "cannot listen on '" + endpoint + "': " + why + "; use 127.0.0.1:PORT, with a free port"};
}

result<tcp::endpoint> parse_endpoint(const std::string& endpoint) {
  const auto colon = endpoint.rfind(':');
  if (colon == std::string::npos) {
    return not_bound(endpoint, errc::bad_config, "the port is missing");
  }
  if (!is_loopback(endpoint)) {
    return not_bound(
        endpoint, errc::bad_config, "not loopback: refused, as peers have no keys yet");
  }
  error_code failure;
  const auto address = asio::ip::make_address_v4(endpoint.substr(0, colon), failure);
  const auto port = parse_number<std::uint16_t>(std::string_view(endpoint).substr(colon + 1));
  if (failure || !port) return not_bound(endpoint, errc::bad_config, "this is no address and port");
  return tcp::endpoint(address, *port);
}

std::string text_of(const tcp::endpoint& endpoint) {
  return endpoint.address().to_string() + ':' + std::to_string(endpoint.port());
}

class beast_server final : public http_server {
 public:
  beast_server(std::vector<http_route> routes, const http_options& how)
      : host_(std::move(routes), how), io_(1), ticker_(io_), tick_(tick_of(how)) {
    host_.box = std::make_shared<answer_box>([this] { asio::post(io_, [this] { deliver(); }); });
    host_.end_turn_later = [this] { asio::post(io_, [this] { host_.end_turn(); }); };
    host_.forget = [this](std::uint64_t number) { forget(number); };
  }
  ~beast_server() override { stop(); }

  result<void> bind(const std::string& endpoint);
  void run();
  const std::vector<std::string>& endpoints() const override { return endpoints_; }
  counters count() const override;
  void stop() override;

 private:
  void accept(acceptor& from);
  void take(http_socket socket, const tcp::endpoint& peer);
  void turn_away(http_socket& socket);
  void deliver();
  void forget(std::uint64_t number);
  void on_tick();
  void begin_stop();

  connection_host host_;  // outlives what refers to it
  asio::io_context io_;
  std::vector<std::unique_ptr<acceptor>> acceptors_;
  std::vector<acceptor*> paused_;  // no descriptor was left; they go on at the next tick
  timer ticker_;
  const std::chrono::milliseconds tick_;
  std::vector<std::string> endpoints_;
  std::unordered_map<std::uint64_t, std::shared_ptr<http_connection>> connections_;
  std::uint64_t next_number_ = 0;
  std::vector<answer_box::letter> letters_;
  std::uint64_t stop_ns_ = 0;
  std::atomic<std::uint64_t> open_{0};
  std::atomic<std::uint64_t> bytes_{0};
  std::jthread thread_;
};

result<void> beast_server::bind(const std::string& endpoint) {
  const auto parsed = parse_endpoint(endpoint);
  if (!parsed) return parsed.error();
  auto made = std::make_unique<acceptor>(io_);
  error_code failure;
  made->open(parsed->protocol(), failure);
  if (!failure) made->set_option(acceptor::reuse_address(true), failure);
  if (!failure) made->bind(*parsed, failure);
  if (!failure) made->listen(asio::socket_base::max_listen_connections, failure);
  if (failure) {
    const bool taken = failure == asio::error::address_in_use;
    return not_bound(endpoint, taken ? errc::in_use : errc::bad_config, failure.message());
  }
  endpoints_.push_back(text_of(made->local_endpoint()));
  acceptors_.push_back(std::move(made));
  return {};
}

void beast_server::run() {
  host_.date = http_date(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()));
  for (auto& each : acceptors_) accept(*each);
  on_tick();
  thread_ = std::jthread([this] {
    while (!io_.stopped()) {
      try {
        io_.run();
      } catch (const std::exception& failure) {  // out of memory; the request that asked is lost
        log_error("http.failed", {{"reason", failure.what()}});
      }
    }
  });
}

void beast_server::accept(acceptor& from) {
  auto peer = std::make_shared<tcp::endpoint>();
  auto& where = *peer;
  from.async_accept(io_.get_executor(),
                    where,
                    [this, &from, kept = std::move(peer)](error_code failure, http_socket socket) {
                      if (host_.stopping || failure == asio::error::operation_aborted) return;
                      if (!failure) {
                        take(std::move(socket), *kept);
                      } else if (failure != asio::error::connection_aborted) {
                        return paused_.push_back(&from);
                      }
                      accept(from);
                    });
}

void beast_server::take(http_socket socket, const tcp::endpoint& peer) {
  ++host_.connections;
  if (connections_.size() >= host_.how.connections_max) return turn_away(socket);
  const std::uint64_t number = next_number_++;
  auto made = std::make_shared<http_connection>(host_, number, std::move(socket), text_of(peer));
  connections_.emplace(number, made);
  open_ = connections_.size();
  made->start();
}

// A new socket's buffer takes so little at once; whether the peer reads it is its own affair.
void beast_server::turn_away(http_socket& socket) {
  ++host_.refused;
  std::string text;
  append_answer(text,
                refusal_answer(503, "too many connections; try again later", 1),
                {.close = true, .date = host_.date});
  error_code ignored;
  socket.non_blocking(true, ignored);
  socket.write_some(asio::buffer(text), ignored);
  socket.shutdown(http_socket::shutdown_both, ignored);
}

void beast_server::deliver() {
  letters_.clear();
  host_.box->take(letters_);
  for (std::size_t i = 0; i < letters_.size(); ++i) {
    auto& letter = letters_[i];
    const auto found = connections_.find(letter.connection);
    if (found == connections_.end()) continue;
    const auto keep = found->second;
    if (letter.event) {
      keep->tell(std::move(letter.event));
    } else {
      keep->fill(letter.slot, std::move(letter.answer));
    }
    const bool more = i + 1 < letters_.size() && letters_[i + 1].connection == letter.connection;
    if (!more) keep->pump();
  }
}

void beast_server::forget(std::uint64_t number) {
  connections_.erase(number);
  open_ = connections_.size();
  if (host_.stopping && connections_.empty() && stop_ns_ != 0) io_.stop();
}

void beast_server::on_tick() {
  const std::uint64_t now = steady_ns();
  host_.date = http_date(std::chrono::system_clock::to_time_t(std::chrono::system_clock::now()));
  bytes_ = host_.room.used();
  std::vector<std::shared_ptr<http_connection>> all;  // one that closes leaves the map
  all.reserve(connections_.size());
  for (const auto& [number, each] : connections_) all.push_back(each);
  const bool out_of_time =
      stop_ns_ != 0 && now - stop_ns_ > std::uint64_t{host_.how.stop_ms_max} * 1'000'000;
  for (const auto& each : all) out_of_time ? each->close() : each->tick(now);
  for (acceptor* each : std::exchange(paused_, {})) accept(*each);
  ticker_.expires_after(tick_);
  ticker_.async_wait([this](error_code failure) {
    if (!failure) on_tick();
  });
}

void beast_server::begin_stop() {
  stop_ns_ = steady_ns();
  for (auto& each : acceptors_) {
    error_code ignored;
    each->close(ignored);
  }
  paused_.clear();
  std::vector<std::shared_ptr<http_connection>> all;
  for (const auto& [number, each] : connections_) all.push_back(each);
  for (const auto& each : all) each->pump();
  if (connections_.empty()) io_.stop();
}

void beast_server::stop() {
  if (!thread_.joinable()) return;
  CHECK(std::this_thread::get_id() != thread_.get_id());
  host_.stopping = true;
  asio::post(io_, [this] { begin_stop(); });
  thread_.join();
  host_.end_turn();  // of a turn that was cut short
  host_.box->close();
  connections_.clear();
  open_ = 0;
  bytes_ = 0;
}

http_server::counters beast_server::count() const {
  return {host_.connections.load(),
          host_.requests.load(),
          host_.refused.load(),
          host_.timed_out.load(),
          open_.load(),
          bytes_.load()};
}

}  // namespace

result<std::unique_ptr<http_server>> http_server::open(const std::vector<std::string>& endpoints,
                                                       std::vector<http_route> routes,
                                                       const http_options& how) {
  auto made = std::make_unique<beast_server>(std::move(routes), how);
  for (const auto& endpoint : endpoints) {
    if (auto bound = made->bind(endpoint); !bound) return bound.error();
  }
  made->run();
  return std::unique_ptr<http_server>(std::move(made));
}

}  // namespace headrace::actors
