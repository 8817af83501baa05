#include "actors/transport/link.hpp"

#include "actors/transport/outbox.hpp"
#include "actors/transport/zmq_frame.hpp"

#include <zmq.hpp>

#include <atomic>
#include <thread>
#include <utility>

namespace headrace::actors {
namespace {

constexpr int high_water_mark_messages = 2'048;  // as the router's

struct outgoing {
  frame head;
  std::vector<frame> sections;
};

}  // namespace

struct link::state {
  zmq::socket_t socket;
  receiver receive;
  outbox<outgoing> requests;
  std::vector<outgoing> taken;
  std::atomic<bool> stopping{false};
  std::jthread thread;
};

link::link() : state_(std::make_unique<state>()) {}

result<std::unique_ptr<link>> link::open(transport_context& context,
                                         const std::string& endpoint,
                                         receiver receive) {
  std::unique_ptr<link> made(new link);
  try {
    auto& socket = made->state_->socket;
    socket =
        zmq::socket_t(*static_cast<zmq::context_t*>(context.native()), zmq::socket_type::dealer);
    socket.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(schemas::frame_bytes_max));
    socket.set(zmq::sockopt::linger, 200);
    socket.set(zmq::sockopt::rcvhwm, high_water_mark_messages);
    socket.set(zmq::sockopt::reconnect_ivl, 20);
    socket.set(zmq::sockopt::reconnect_ivl_max, 1'000);
    socket.connect(endpoint);
  } catch (const zmq::error_t& failure) {
    return error{errc::bad_config, "cannot connect to '" + endpoint + "': " + failure.what()};
  }
  made->state_->receive = std::move(receive);
  made->state_->thread = std::jthread([self = made.get()] { self->run(); });
  return made;
}

link::~link() { stop(); }

void link::stop() {
  state_->stopping = true;
  state_->requests.nudge();
  if (state_->thread.joinable()) state_->thread.join();
  state_->socket.close();
}

void link::send(const schemas::envelope& head, std::vector<frame> sections) {
  CHECK(head.sections.size() == sections.size());
  state_->requests.put({schemas::encode(head), std::move(sections)});
}

void link::run() {
  zmq::pollitem_t items[] = {{state_->socket.handle(), 0, ZMQ_POLLIN, 0},
                             {nullptr, state_->requests.fd(), ZMQ_POLLIN, 0}};
  while (true) {
    poll(items);
    if ((items[1].revents & ZMQ_POLLIN) != 0) send_requests();
    if (state_->stopping) return;
    while ((state_->socket.get(zmq::sockopt::events) & ZMQ_POLLIN) != 0) take_answer();
  }
}

void link::send_requests() {
  state_->requests.take(state_->taken);
  for (auto& request : state_->taken) {
    // Never blocks the thread: a full queue drops the request whole, the caller's deadline sends it
    // again.
    if (!state_->socket.send(to_message(request.head),
                             zmq::send_flags::sndmore | zmq::send_flags::dontwait)) {
      continue;
    }
    for (std::size_t i = 0; i < request.sections.size(); ++i) {
      const bool last = i + 1 == request.sections.size();
      (void)state_->socket.send(to_message(request.sections[i]),
                                last ? zmq::send_flags::none : zmq::send_flags::sndmore);
    }
  }
  state_->taken.clear();
}

void link::take_answer() {
  zmq::message_t first;
  if (!state_->socket.recv(first, zmq::recv_flags::dontwait)) return;
  std::vector<frame> parts;
  bool more = first.more();
  while (more) {
    zmq::message_t part;
    if (!state_->socket.recv(part, zmq::recv_flags::none)) return;
    more = part.more();
    if (parts.size() < 2) parts.push_back(to_frame(std::move(part)));
  }
  const auto head = schemas::decode_envelope(to_frame(std::move(first)));
  if (!head || !head->reply || parts.size() != 1) return;
  state_->receive(*head, std::move(parts[0]));
}

}  // namespace headrace::actors
