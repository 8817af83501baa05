#include "actors/transport/router.hpp"

#include "actors/transport/ipc_socket.hpp"
#include "actors/transport/outbox.hpp"
#include "actors/transport/peer_credit.hpp"
#include "actors/transport/zmq_frame.hpp"
#include "schemas/event.hpp"
#include "schemas/follow.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"
#include "schemas/refusing.hpp"
#include "schemas/wire.hpp"

#include <zmq.hpp>

#include <algorithm>
#include <atomic>
#include <optional>
#include <span>
#include <thread>
#include <unordered_map>
#include <utility>

namespace headrace::actors {
namespace {

constexpr std::size_t sections_max = 1024;   // shards × lanes of one message, with room
constexpr int requests_before_answers = 64;  // so that a busy socket cannot starve the outbox
constexpr int high_water_mark_messages =
    2'048;  // to and from one peer: two answers of 1,024 shards
constexpr std::size_t peers_before_sweep = 64;

struct outgoing {
  frame peer;
  frame head;
  frame section;
  peer_credit::token room;
};

/// What a peer that has used up its credit is told. Nothing for the requests of people and starting
/// workers: they ask again by themselves and have a deadline.
std::optional<frame> overloaded_reply(schemas::message_kind kind,
                                      shard_id shard,
                                      std::uint32_t retry_after_ms) {
  const char* const why = "this peer has too much in flight; wait for answers before sending more";
  if (kind == schemas::message_kind::push) {
    schemas::push_ack ack;
    ack.shard = shard;
    ack.status = errc::overloaded;
    ack.detail = why;
    ack.retry_after_ms = retry_after_ms;
    return schemas::encode(ack);
  }
  if (kind == schemas::message_kind::pull) {
    schemas::pull_reply reply;
    reply.shard = shard;
    reply.status = errc::overloaded;
    reply.detail = why;
    return schemas::encode(reply);
  }
  if (kind == schemas::message_kind::follow)
    return schemas::encode(schemas::follow_reply{errc::overloaded, why, retry_after_ms, {}});
  if (kind == schemas::message_kind::events)
    return schemas::encode(schemas::refusing({errc::overloaded, why}, retry_after_ms));
  return std::nullopt;
}

frame envelope_of(const reply_ticket& to, schemas::message_kind kind, shard_id from) {
  schemas::envelope head;
  head.kind = kind;
  head.reply = true;
  head.request_id = to.request_id;
  head.first_section = to.section;
  head.sections.push_back({from});
  return schemas::encode(head);
}

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
  std::atomic<std::uint64_t> refused{0};
  router_options how;
  std::shared_ptr<byte_budget> waiting;
  std::unordered_map<std::string, std::shared_ptr<peer_credit>> peers;  // by ROUTER identity
  std::size_t sweep_at = peers_before_sweep;
  std::vector<ipc_socket> files;
  std::jthread thread;

  peer_credit& credit_of(const zmq::message_t& identity);
};

/// The peer's credit, made at its first message. Nothing says when a peer is gone: those with
/// nothing in flight, which nobody else holds, are forgotten whenever the number has doubled.
peer_credit& router::state::credit_of(const zmq::message_t& identity) {
  const auto bytes = identity.to_string();
  if (const auto known = peers.find(bytes); known != peers.end()) return *known->second;
  if (peers.size() >= sweep_at) {
    std::erase_if(peers, [](const auto& peer) { return peer.second.use_count() == 1; });
    sweep_at = std::max(peers_before_sweep, 2 * peers.size());
  }
  auto made = std::make_shared<peer_credit>(frame::copy_of(std::as_bytes(std::span(bytes))),
                                            waiting,
                                            how.peer_bytes_max,
                                            how.peer_requests_max);
  return *peers.emplace(bytes, std::move(made)).first->second;
}

router::router() : state_(std::make_unique<state>()) {}

result<std::shared_ptr<router>> router::open(transport_context& context,
                                             const std::vector<std::string>& endpoints,
                                             handler handle,
                                             const router_options& how) {
  std::shared_ptr<router> made(new router);
  state& inside = *made->state_;
  inside.how = how;
  inside.waiting = std::make_shared<byte_budget>(how.bytes_max);
  inside.handle = std::move(handle);
  std::string endpoint;
  try {
    auto& socket = inside.socket;
    socket =
        zmq::socket_t(*static_cast<zmq::context_t*>(context.native()), zmq::socket_type::router);
    socket.set(zmq::sockopt::maxmsgsize, static_cast<std::int64_t>(schemas::frame_bytes_max));
    socket.set(zmq::sockopt::router_mandatory, true);
    socket.set(zmq::sockopt::linger, 200);
    socket.set(zmq::sockopt::sndhwm, high_water_mark_messages);
    socket.set(zmq::sockopt::rcvhwm, high_water_mark_messages);
    for (const auto& each : endpoints) {
      endpoint = each;
      if (auto bound = made->bind(each); !bound) return bound.error();
    }
  } catch (const zmq::error_t& failure) {
    return error{failure.num() == EADDRINUSE ? errc::in_use : errc::bad_config,
                 "cannot listen on '" + endpoint + "': " + failure.what() +
                     "; choose another port with --set server.listen=tcp://127.0.0.1:PORT"};
  }
  inside.thread = std::jthread([self = made.get()] { self->run(); });
  return made;
}

result<void> router::bind(const std::string& endpoint) {
  if (auto allowed = check_listen_endpoint(endpoint); !allowed) return allowed;
  auto& socket = state_->socket;
  int descriptor = -1;
  if (is_ipc(endpoint)) {
    auto made = ipc_socket::listen(endpoint);
    if (!made) return made.error();
    descriptor = made->take_descriptor();
    state_->files.push_back(std::move(*made));
  }
  socket.set(zmq::sockopt::use_fd, descriptor);
  socket.bind(endpoint);
  endpoints_.push_back(socket.get(zmq::sockopt::last_endpoint));
  return {};
}

router::~router() { stop(); }

void router::stop() {
  state_->stopping = true;
  state_->answers.nudge();
  if (state_->thread.joinable()) state_->thread.join();
  state_->files.clear();  // before the socket: see ipc_socket
  state_->socket.close();
}

void router::reply(const reply_ticket& to,
                   schemas::message_kind kind,
                   shard_id from,
                   frame section) {
  peer_credit::token room;
  if (to.credit) {
    room = to.credit->take_answer(section.size());
    if (!room) {
      ++state_->undeliverable;
      return;
    }
  }
  state_->answers.put({to.peer, envelope_of(to, kind, from), std::move(section), std::move(room)});
}

router::counters router::count() const {
  return {state_->messages.load(),
          state_->malformed.load(),
          state_->undeliverable.load(),
          state_->overloaded.load(),
          state_->refused.load()};
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
  const auto malformed = [this] { ++state_->malformed; };
  if (parts.size() < 3 || parts.size() > sections_max + 2) return malformed();
  const auto head = schemas::decode_envelope(to_frame(std::move(parts[1])));
  if (!head || head->reply || head->sections.size() != parts.size() - 2) return malformed();
  ++state_->messages;
  std::size_t bytes = 0;
  for (std::size_t i = 2; i < parts.size(); ++i) bytes += parts[i].size();
  peer_credit& credit = state_->credit_of(parts[0]);
  if (!credit.has_room(bytes)) return refuse(credit, *head);
  const auto room = credit.take_request(bytes);
  if (!room) {  // more than all shards can chew: the worker's deadline asks again
    state_->overloaded += head->sections.size();
    return;
  }
  for (std::uint32_t i = 0; i < head->sections.size(); ++i) {
    state_->handle(
        section_job{head->kind,
                    head->sections[i].shard,
                    to_frame(std::move(parts[i + 2])),
                    reply_ticket{credit.identity(), head->request_id, i, credit.shared_from_this()},
                    shared_from_this(),
                    room});
  }
}

void router::refuse(const peer_credit& peer, const schemas::envelope& head) {
  state_->refused += head.sections.size();
  for (std::uint32_t i = 0; i < head.sections.size(); ++i) {
    const shard_id shard = head.sections[i].shard;
    auto reply = overloaded_reply(head.kind, shard, state_->how.retry_after_ms);
    if (!reply) return;
    const reply_ticket to{peer.identity(), head.request_id, i};
    state_->answers.put({to.peer, envelope_of(to, head.kind, shard), std::move(*reply), nullptr});
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
      state_->socket.send(to_message(answer.section, std::move(answer.room)),
                          zmq::send_flags::none);
    } catch (const zmq::error_t&) {
      ++state_->undeliverable;
    }
  }
  state_->taken.clear();
}

}  // namespace headrace::actors
