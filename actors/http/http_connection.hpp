#pragma once

#include "actors/http/answer_box.hpp"
#include "actors/http/answer_queue.hpp"
#include "actors/http/event_feed.hpp"
#include "actors/http/http_server.hpp"
#include "actors/http/request_reader.hpp"

#include <atomic>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::actors {

using http_socket =
    boost::asio::basic_stream_socket<boost::asio::ip::tcp, boost::asio::io_context::executor_type>;

/// What all connections of a server share; the atomics are read by any thread.
struct connection_host {
  connection_host(std::vector<http_route> with, const http_options& options);
  /// A request was handed to `route`, which is told at the end of this turn.
  void note_turn(const http_route& route);
  void end_turn();

  const http_options how;
  const route_table routes;
  byte_room room;
  std::shared_ptr<answer_box> box;
  std::vector<char> scratch;                  // what was just read, of whichever connection
  std::string date;                           // as answers say it; of this second
  std::function<void(std::uint64_t)> forget;  // a connection that closed
  std::function<void()> end_turn_later;       // calls `end_turn` behind what came with this request
  std::vector<const http_route*> told_later;  // with `after_turn`, each once
  std::atomic<bool> stopping{false};
  std::atomic<std::uint64_t> connections{0};
  std::atomic<std::uint64_t> requests{0};
  std::atomic<std::uint64_t> refused{0};
  std::atomic<std::uint64_t> timed_out{0};
};

/// One peer: reads requests, hands them over, sends answers in order, and closes at the first
/// deadline that passes. An idle one holds no buffer. Only ever on the server's thread.
class http_connection : public std::enable_shared_from_this<http_connection> {
 public:
  http_connection(connection_host& host,
                  std::uint64_t number,
                  http_socket socket,
                  std::string peer);
  ~http_connection();
  http_connection(const http_connection&) = delete;
  http_connection& operator=(const http_connection&) = delete;

  void start();
  /// The answer to one of its requests; sent by `pump`.
  void fill(std::uint64_t slot, http_answer answer) { queue_.fill(slot, std::move(answer)); }
  /// The newest message of the feed it listens to; sent by `pump`.
  void tell(event_feed::message event) { event_ = std::move(event); }
  /// Sends what can be sent, reads on where there is room, closes when all is done.
  void pump();
  /// Looks at the deadlines.
  void tick(std::uint64_t now_ns);
  void close();

 private:
  bool may_take() const;
  std::size_t unsent() const { return out_.size() - sent_; }
  void wait_for_bytes();
  void wait_for_room();
  void on_readable();
  void discard();
  void absorb(std::string_view bytes);
  std::size_t parse(std::string_view bytes);
  void hand_over(whole_request whole);
  void refuse(refused_request refused);
  void give_up(unsigned status, const char* why);
  void send_ready_answers();
  void listen(std::shared_ptr<event_feed> feed);
  void take_event();
  void drop_sent();
  void write_out();
  void end();

  connection_host& host_;
  const std::uint64_t number_;
  http_socket socket_;
  request_reader reader_;
  answer_queue queue_;
  std::string leftover_;  // read and not yet parsed: a torn header, or requests that must wait
  std::string out_;       // answers; the first sent_ bytes are gone
  std::size_t sent_ = 0;
  std::size_t sent_at_mark_ = 0;
  std::uint64_t active_ns_ = 0;       // the last byte read or written
  std::uint64_t stage_ns_ = 0;        // the reader came to where it is
  std::uint64_t stuck_ns_ = 0;        // the peer takes no more, since; 0: it does
  std::uint64_t linger_ns_ = 0;       // all is said; reading until the peer has noticed
  std::shared_ptr<event_feed> feed_;  // all that is sent from now on
  std::uint64_t listener_ = 0;
  event_feed::message event_;  // not yet among what is written
  bool waits_for_bytes_ = false;
  bool waits_for_room_ = false;
  bool owes_continue_ = false;
  bool ending_ = false;  // no request is taken behind those in the queue
  bool peer_ended_ = false;
  bool closed_ = false;
};

/// Nanoseconds that only grow.
std::uint64_t steady_ns();

}  // namespace headrace::actors
