#include "actors/transport/router.hpp"

#include "actors/transport/outbox.hpp"
#include "actors/transport/zmq_frame.hpp"
#include "schemas/wire.hpp"

#include <zmq.hpp>

#include <sys/eventfd.h>
#include <thread>
#include <utility>

namespace headrace::actors {
namespace {

constexpr std::size_t sections_max = 1024;   // shards × lanes of one message, with room
constexpr int requests_before_answers = 64;  // so that a busy socket cannot starve the outbox
constexpr int high_water_mark_messages =
    2'048;  // to and from one peer: two answers of 1,024 shards
constexpr std::size_t waiting_bytes_max = std::size_t{512}
                                          << 20;  // sections at shards, and answers in the outbox

struct outgoing {
  frame peer;
  frame head;
  frame section;
  std::shared_ptr<const void> room;
};

/// Bytes that wait somewhere; shared by whoever holds some of them, because jobs may outlive the
/// router.
class byte_budget {
 public:
  /// A token that gives the bytes back when the last copy goes; null when there is no room.
  static std::shared_ptr<const void> take(const std::shared_ptr<byte_budget>& from,
                                          std::size_t bytes) {
    if (from->used_.fetch_add(bytes) + bytes > waiting_bytes_max) {
      from->used_ -= bytes;
      return nullptr;
    }
    return {from.get(), [from, bytes](const void*) { from->used_ -= bytes; }};
  }

 private:
  std::atomic<std::size_t> used_{0};
};

}  // namespace

struct router::state {
  zmq::socket_t socket;
  handler handle;
  outbox<outgoing> answers;
  std::vector<outgoing> taken;
  std::atomic<bool> stopping{false};
  std::atomic<std::uint64_t> messages{0};
  std::atomic<std::uint64_t> malformed{0};
  std::atomic<std::uint64_t> undeliverable{0};
  std::atomic<std::uint64_t> overloaded{0};
  std::shared_ptr<byte_budget> waiting = std::make_shared<byte_budget>();
  std::jthread thread;
};

router::router() : state_(std::make_unique<state>()) {}

result<std::shared_ptr<router>> router::open(transport_context& context,
                                             const std::vector<std::string>& endpoints,
                                             handler handle) {
  std::shared_ptr<router> made(new router);
  std::string endpoint;
  try {
    auto& socket = made->state_->socket;
    socket =
        zmq::socket_t(*static_cast<zmq::context_t*>(context.native()), zmq::socket_type::router);
    socket.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(schemas::frame_bytes_max));
    socket.set(zmq::sockopt::router_mandatory, true);
    socket.set(zmq::sockopt::linger, 200);
    socket.set(zmq::sockopt::sndhwm, high_water_mark_messages);
    socket.set(zmq::sockopt::rcvhwm, high_water_mark_messages);
    for (const auto& each : endpoints) {
      if (auto allowed = check_listen_endpoint(each); !allowed) return allowed.error();
      endpoint = each;
      socket.bind(endpoint);
      made->endpoints_.push_back(socket.get(zmq::sockopt::last_endpoint));
    }
  } catch (const zmq::error_t& failure) {
    return error{failure.num() == EADDRINUSE ? errc::in_use : errc::bad_config,
                 "cannot listen on '" + endpoint + "': " + failure.what() +
                     "; choose another port with --set server.listen=tcp://127.0.0.1:PORT"};
  }
  made->state_->handle = std::move(handle);
  made->state_->thread = std::jthread([self = made.get()] { self->run(); });
  return made;
}

router::~router() { stop(); }

void router::stop() {
  state_->stopping = true;
  state_->answers.nudge();
  if (state_->thread.joinable()) state_->thread.join();
  state_->socket.close();
}

void router::reply(const reply_ticket& to,
                   schemas::message_kind kind,
                   shard_id from,
                   frame section) {
  schemas::envelope head;
  head.kind = kind;
  head.reply = true;
  head.request_id = to.request_id;
  head.first_section = to.section;
  head.sections.push_back({from});
  auto room = byte_budget::take(state_->waiting, section.size());
  if (!room) {
    ++state_->undeliverable;
    return;
  }
  state_->answers.put({to.peer, schemas::encode(head), std::move(section), std::move(room)});
}

router::counters router::count() const {
  return {state_->messages.load(),
          state_->malformed.load(),
          state_->undeliverable.load(),
          state_->overloaded.load()};
}

void router::run() {
  zmq::pollitem_t items[] = {{state_->socket.handle(), 0, ZMQ_POLLIN, 0},
                             {nullptr, state_->answers.fd(), ZMQ_POLLIN, 0}};
  while (true) {
    poll(items);
    if ((items[1].revents & ZMQ_POLLIN) != 0) send_answers();
    if (state_->stopping) return send_answers();
    if ((items[0].revents & ZMQ_POLLIN) == 0) continue;
    for (int i = 0; i < requests_before_answers; ++i) {
      if ((state_->socket.get(zmq::sockopt::events) & ZMQ_POLLIN) == 0) break;
      take_request();
    }
  }
}

void router::take_request() {
  std::vector<zmq::message_t> parts;
  bool more = true;
  while (more) {
    zmq::message_t part;
    if (!state_->socket.recv(part, zmq::recv_flags::none)) return;
    more = part.more();
    if (parts.size() <= sections_max + 2) parts.push_back(std::move(part));
  }
  const auto refuse = [this] { ++state_->malformed; };
  if (parts.size() < 3 || parts.size() > sections_max + 2) return refuse();
  const frame peer =
      frame::copy_of({static_cast<const std::byte*>(parts[0].data()), parts[0].size()});
  const auto head = schemas::decode_envelope(to_frame(std::move(parts[1])));
  if (!head || head->reply || head->sections.size() != parts.size() - 2) return refuse();
  ++state_->messages;
  for (std::uint32_t i = 0; i < head->sections.size(); ++i) {
    auto room = byte_budget::take(state_->waiting, parts[i + 2].size());
    if (!room) {  // more than the shards can chew: the worker's deadline asks again
      ++state_->overloaded;
      continue;
    }
    state_->handle(section_job{head->kind,
                               head->sections[i].shard,
                               to_frame(std::move(parts[i + 2])),
                               reply_ticket{peer, head->request_id, i},
                               shared_from_this(),
                               std::move(room)});
  }
}

void router::send_answers() {
  state_->answers.take(state_->taken);
  for (auto& answer : state_->taken) {
    try {
      // A peer that does not read must not stop the others: what it has no room for is dropped, and
      // it asks again.
      if (!state_->socket.send(to_message(answer.peer),
                               zmq::send_flags::sndmore | zmq::send_flags::dontwait)) {
        ++state_->undeliverable;
        continue;
      }
      state_->socket.send(to_message(answer.head), zmq::send_flags::sndmore);
      state_->socket.send(to_message(answer.section), zmq::send_flags::none);
    } catch (const zmq::error_t&) {
      ++state_->undeliverable;
    }
  }
  state_->taken.clear();
}

}  // namespace headrace::actors
