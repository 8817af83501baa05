#include "actors/http/http_connection.hpp"

#include "actors/http/http_text.hpp"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/error.hpp>
#include <chrono>
#include <exception>
#include <utility>

namespace headrace::actors {
namespace {

namespace asio = boost::asio;
using error_code = boost::system::error_code;

constexpr std::size_t scratch_bytes = std::size_t{256} * 1024;  // bodies are read so much at a time
constexpr std::size_t head_read_bytes =
    std::size_t{16} * 1024;  // and where a header may be: what is left over
constexpr std::size_t unsent_bytes_max =
    std::size_t{256} * 1024;  // then no further request is taken
constexpr std::size_t kept_capacity = std::size_t{64} * 1024;
constexpr std::size_t write_progress_bytes =
    std::size_t{16} * 1024;  // within write_ms_max, or it does not read
constexpr std::uint32_t linger_ms_max = 2'000;
constexpr std::uint32_t linger_at_stop_ms_max = 200;

bool passed(std::uint64_t since_ns, std::uint64_t now_ns, std::uint64_t ms_max) {
  return now_ns > since_ns && now_ns - since_ns > ms_max * 1'000'000;
}

}  // namespace

std::uint64_t steady_ns() {
  return static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::nanoseconds>(
                                        std::chrono::steady_clock::now().time_since_epoch())
                                        .count());
}

connection_host::connection_host(std::vector<http_route> with, const http_options& options)
    : how(options), routes(std::move(with)), room(options.bytes_max), scratch(scratch_bytes) {}

void connection_host::note_turn(const http_route& route) {
  if (!route.after_turn) return;
  if (std::find(told_later.begin(), told_later.end(), &route) != told_later.end()) return;
  if (told_later.empty()) end_turn_later();
  told_later.push_back(&route);
}

void connection_host::end_turn() {
  for (std::size_t i = 0; i < told_later.size(); ++i) told_later[i]->after_turn();
  told_later.clear();
}

http_connection::http_connection(connection_host& host,
                                 std::uint64_t number,
                                 http_socket socket,
                                 std::string peer)
    : host_(host),
      number_(number),
      socket_(std::move(socket)),
      reader_(host.routes, host.room, host.how.header_bytes_max, std::move(peer)) {}

http_connection::~http_connection() {
  if (feed_) feed_->leave(listener_);
  host_.room.give(queue_.body_bytes());
}

void http_connection::start() {
  error_code ignored;
  socket_.non_blocking(true, ignored);
  socket_.set_option(asio::ip::tcp::no_delay(true), ignored);
  active_ns_ = stage_ns_ = steady_ns();
  wait_for_bytes();
}

void http_connection::close() {
  if (std::exchange(closed_, true)) return;
  if (feed_) feed_->leave(listener_);
  error_code ignored;
  socket_.close(ignored);
  host_.forget(number_);
}

bool http_connection::may_take() const {
  return !ending_ && !host_.stopping && queue_.size() < host_.how.pipeline_max &&
         unsent() + queue_.answer_bytes() < unsent_bytes_max;
}

void http_connection::wait_for_bytes() {
  if (closed_ || waits_for_bytes_ || peer_ended_) return;
  if (linger_ns_ == 0 && !feed_ && !may_take()) return;
  waits_for_bytes_ = true;
  socket_.async_wait(http_socket::wait_read, [self = shared_from_this()](error_code failure) {
    self->waits_for_bytes_ = false;
    if (self->closed_) return;
    if (failure) return self->close();
    self->on_readable();
  });
}

void http_connection::wait_for_room() {
  if (closed_ || std::exchange(waits_for_room_, true)) return;
  socket_.async_wait(http_socket::wait_write, [self = shared_from_this()](error_code failure) {
    self->waits_for_room_ = false;
    if (self->closed_) return;
    if (failure) return self->close();
    self->pump();
  });
}

void http_connection::on_readable() {
  if (linger_ns_ != 0 || feed_) return discard();
  // No further than a body's end, if that is known: what lies behind a body may have to wait.
  const std::size_t most =
      std::min(std::max(reader_.body_left(), head_read_bytes), host_.scratch.size());
  error_code failure;
  const std::size_t bytes = socket_.read_some(asio::buffer(host_.scratch.data(), most), failure);
  if (failure == asio::error::would_block) return wait_for_bytes();
  if (failure && failure != asio::error::eof) return close();
  active_ns_ = steady_ns();
  peer_ended_ = failure == asio::error::eof;
  absorb({host_.scratch.data(), bytes});
  pump();
}

void http_connection::discard() {
  error_code failure;
  socket_.read_some(asio::buffer(host_.scratch), failure);
  if (failure && failure != asio::error::would_block) return close();
  wait_for_bytes();
}

void http_connection::absorb(std::string_view bytes) {
  if (leftover_.empty()) {
    const std::size_t used = parse(bytes);
    leftover_.assign(bytes.substr(used));
    return;
  }
  leftover_ += bytes;
  leftover_.erase(0, parse(leftover_));
}

// Returns how many bytes are done with.
std::size_t http_connection::parse(std::string_view bytes) {
  std::size_t used = 0;
  while (may_take()) {
    const auto before = reader_.at();
    used += reader_.take(bytes.substr(used));
    if (reader_.at() != before) stage_ns_ = active_ns_;
    if (reader_.wants_continue() && used == bytes.size()) owes_continue_ = true;
    if (reader_.at() == request_reader::stage::whole) {
      hand_over(reader_.take_request());
    } else if (reader_.at() == request_reader::stage::refused) {
      refuse(reader_.take_refusal());
    } else {
      break;
    }
  }
  return ending_ ? bytes.size() : used;
}

void http_connection::hand_over(whole_request whole) {
  answer_queue::slot slot;
  slot.head_only = whole.head_only;
  slot.close = whole.close;
  slot.version_1_0 = whole.version_1_0;
  slot.body_bytes = whole.request.body.size();
  slot.answer_bytes = whole.route->answer_bytes_max;
  slot.since_ns = active_ns_;
  owes_continue_ = false;
  ending_ = whole.close;
  ++host_.requests;
  auto once = std::make_shared<single_answer>(host_.box, number_, queue_.push(std::move(slot)));
  host_.note_turn(*whole.route);
  try {
    whole.route->handle(std::move(whole.request),
                        [once](http_answer answer) { once->give(std::move(answer)); });
  } catch (const std::exception&) {
    once->give(refusal_answer(500, "the request could not be handled"));
  }
}

void http_connection::refuse(refused_request refused) {
  ++host_.refused;
  owes_continue_ = false;
  ending_ = refused.close;
  answer_queue::slot slot;
  slot.head_only = refused.head_only;
  slot.close = refused.close;
  slot.version_1_0 = refused.version_1_0;
  slot.allow = std::move(refused.allow);
  auto answer = refused.answer ? std::move(*refused.answer)
                               : refusal_answer(refused.status, refused.why, refused.retry_after_s);
  queue_.fill(queue_.push(std::move(slot)), std::move(answer));
}

// The peer has been too slow with a request.
void http_connection::give_up(unsigned status, const char* why) {
  ++host_.timed_out;
  refused_request late;
  late.status = status;
  late.why = why;
  refuse(std::move(late));
  pump();
}

void http_connection::send_ready_answers() {
  while (!feed_ && queue_.front_is_ready() && unsent() < unsent_bytes_max) {
    answer_queue::slot slot = queue_.pop();
    host_.room.give(slot.body_bytes);
    const bool last =
        slot.close || slot.answer.feed || (queue_.empty() && (host_.stopping || peer_ended_));
    append_answer(out_,
                  slot.answer,
                  {.head_only = slot.head_only,
                   .close = last,
                   .version_1_0 = slot.version_1_0,
                   .allow = slot.allow,
                   .date = host_.date});
    if (!slot.answer.feed) continue;
    ending_ = true;
    if (!slot.head_only) listen(std::move(slot.answer.feed));
  }
  if (owes_continue_ && queue_.empty()) {
    owes_continue_ = false;
    stage_ns_ = steady_ns();
    out_ += "HTTP/1.1 100 Continue\r\n\r\n";
  }
}

void http_connection::listen(std::shared_ptr<event_feed> feed) {
  feed_ = std::move(feed);
  listener_ = feed_->listen([box = host_.box, number = number_](const event_feed::message& event) {
    box->put({number, 0, {}, event});
  });
}

// A message waits until the one before has gone: meanwhile a newer one takes its place.
void http_connection::take_event() {
  if (!event_ || unsent() > 0) return;
  out_ += *event_;
  event_ = nullptr;
}

// A peer that reads a little at a time never empties what is to be written: what it has goes.
void http_connection::drop_sent() {
  if (sent_ < kept_capacity) return;
  out_.erase(0, sent_);
  sent_at_mark_ -= sent_;  // may wrap: only differences count
  sent_ = 0;
}

void http_connection::write_out() {
  while (unsent() > 0) {
    error_code failure;
    const std::size_t bytes =
        socket_.write_some(asio::buffer(out_.data() + sent_, unsent()), failure);
    if (failure == asio::error::would_block) {
      if (stuck_ns_ == 0 || sent_ - sent_at_mark_ >= write_progress_bytes) {
        stuck_ns_ = steady_ns();
        sent_at_mark_ = sent_;
      }
      drop_sent();
      return wait_for_room();
    }
    if (failure) return close();
    sent_ += bytes;
  }
  if (sent_ > 0) active_ns_ = steady_ns();
  stuck_ns_ = 0;
  sent_ = sent_at_mark_ = 0;
  out_.clear();
  if (out_.capacity() > kept_capacity) out_.shrink_to_fit();
}

void http_connection::pump() {
  if (closed_) return;
  for (;;) {
    send_ready_answers();
    take_event();
    write_out();
    if (closed_) return;
    if (event_ && unsent() == 0) continue;
    if (feed_) break;
    if (queue_.front_is_ready() && unsent() == 0) continue;
    if (leftover_.empty() || !may_take()) break;
    const std::size_t used = parse(leftover_);
    leftover_.erase(0, used);
    if (used == 0) break;
  }
  if (feed_ && !host_.stopping) return wait_for_bytes();
  if ((queue_.empty() || feed_) && unsent() == 0 && (ending_ || peer_ended_ || host_.stopping))
    return end();
  wait_for_bytes();
}

// All is said. Closing while the peer still sends would reset the connection and could take the
// last answer with it, so the peer is told first and has a while to notice.
void http_connection::end() {
  if (peer_ended_) return close();
  if (linger_ns_ == 0) {
    error_code failure;
    socket_.shutdown(http_socket::shutdown_send, failure);
    if (failure) return close();
    linger_ns_ = steady_ns();
    leftover_.clear();
  }
  wait_for_bytes();
}

void http_connection::tick(std::uint64_t now_ns) {
  const http_options& how = host_.how;
  if (closed_) return;
  if (linger_ns_ != 0) {
    if (passed(linger_ns_, now_ns, host_.stopping ? linger_at_stop_ms_max : linger_ms_max)) close();
    return;
  }
  if (stuck_ns_ != 0 && passed(stuck_ns_, now_ns, how.write_ms_max)) {
    ++host_.timed_out;
    return close();
  }
  if (!queue_.empty()) {
    auto& front = queue_.front();
    if (front.ready || !passed(front.since_ns, now_ns, how.answer_ms_max)) return;
    ++host_.timed_out;
    front.ready = true;
    front.answer = refusal_answer(504, "no answer came in time");
    return pump();
  }
  if (ending_) return;
  switch (reader_.at()) {
    case request_reader::stage::idle:
      if (unsent() > 0 || !passed(active_ns_, now_ns, how.idle_ms_max)) return;
      ++host_.timed_out;
      return close();
    case request_reader::stage::header:
      if (passed(stage_ns_, now_ns, how.header_ms_max)) give_up(408, "the header came too slowly");
      return;
    case request_reader::stage::body:
      if (passed(stage_ns_, now_ns, how.body_ms_max)) give_up(408, "the body came too slowly");
      return;
    default:
      return;
  }
}

}  // namespace headrace::actors
