#include "actors/event_client.hpp"

#include "actors/transport/link.hpp"
#include "schemas/refusing.hpp"
#include "schemas/wire.hpp"

#include <condition_variable>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace headrace::actors {
namespace {

using steady = std::chrono::steady_clock;

// What an EventPush has beside its batch: the token and a few words.
constexpr std::size_t wrapping_bytes_max = schemas::push_token_bytes_max + 256;

std::uint64_t now_ms() {
  const auto since = steady::now().time_since_epoch();
  return static_cast<std::uint64_t>(
      std::chrono::duration_cast<std::chrono::milliseconds>(since).count());
}

}  // namespace

// `mutex` guards all but the link, whose `send` any thread may call. Requests are queued at the
// link under it, so that they leave in the window's order. Callbacks run without it: on the link's
// thread while there is one, then on the thread that stops.
struct event_client::state {
  mutable std::mutex mutex;
  std::condition_variable changed;  // room, answers, a time to wake at, or the end
  std::string sender;
  std::string token;
  event_window window{{}};
  counters seen;
  std::uint64_t pushed = 0;  // batches, ever
  std::uint64_t told = 0;    // of them: their `done` ran
  bool stopping = false;
  std::unique_ptr<link> wire;
  std::jthread timer;

  void send_due();
  void receive(const schemas::envelope& head, const frame& section);
  void count_in(const schemas::event_ack& ack);
  void tell(const std::vector<event_window::answered>& answered);
  void keep_time();
};

void event_client::state::send_due() {
  while (auto due = window.next(now_ms())) {
    schemas::envelope head;
    head.kind = schemas::message_kind::events;
    head.sender = sender;
    head.request_id = due->id;
    head.sections.push_back({shard_id{0}});
    wire->send(head, {std::move(due->push)});
  }
}

void event_client::state::receive(const schemas::envelope& head, const frame& section) {
  if (head.kind != schemas::message_kind::events) return;
  auto ack = schemas::decode_event_ack(section);
  if (!ack) return;  // asked again
  std::vector<event_window::answered> answered;
  {
    const std::lock_guard lock(mutex);
    if (stopping) return;
    window.answer(head.request_id, std::move(*ack), now_ms());
    answered = window.take_answered();
    for (const auto& [done, kept] : answered) count_in(kept);
    send_due();
  }
  tell(answered);
}

void event_client::state::count_in(const schemas::event_ack& ack) {
  ++seen.batches;
  seen.accepted += ack.accepted;
  seen.duplicates += ack.duplicates;
  seen.refused += ack.refused;
  if (ack.status != errc::ok) {
    ++seen.failed;
    seen.last_refusal = describe({ack.status, ack.detail});
  } else if (!ack.refusals.empty()) {
    seen.last_refusal =
        std::string(name(ack.refusals.back().fault)) + ": " + ack.refusals.back().detail;
  }
}

void event_client::state::tell(const std::vector<event_window::answered>& answered) {
  for (const auto& [done, ack] : answered) {
    if (done) done(ack);
  }
  const std::lock_guard lock(mutex);
  told += answered.size();
  changed.notify_all();
}

/// The timer's thread: sends again what has waited long enough.
void event_client::state::keep_time() {
  std::unique_lock lock(mutex);
  while (!stopping) {
    send_due();
    const auto wake = window.wake_at();
    if (!wake) {
      changed.wait(lock);
      continue;
    }
    const auto now = now_ms();
    if (*wake > now) changed.wait_for(lock, std::chrono::milliseconds(*wake - now));
  }
}

event_client::event_client() : state_(std::make_unique<state>()) {}

result<std::unique_ptr<event_client>> event_client::open(transport_context& context,
                                                         const std::string& endpoint,
                                                         options how) {
  if (how.token.size() > schemas::push_token_bytes_max) {
    return error{errc::bad_config,
                 "token of " + std::to_string(how.token.size()) + " bytes; at most " +
                     std::to_string(schemas::push_token_bytes_max) + " are accepted"};
  }
  std::unique_ptr<event_client> made(new event_client);
  state& inside = *made->state_;
  inside.sender = std::move(how.sender);
  inside.token = std::move(how.token);
  inside.window = event_window(how.window);
  auto opened = link::open(
      context, endpoint, [self = &inside](const schemas::envelope& head, const frame& section) {
        self->receive(head, section);
      });
  if (!opened) return opened.error();
  inside.wire = std::move(*opened);
  inside.timer = std::jthread([self = &inside] { self->keep_time(); });
  return made;
}

event_client::~event_client() { stop(); }

void event_client::stop() {
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->stopping) return;
    state_->stopping = true;
    state_->changed.notify_all();
  }
  if (state_->timer.joinable()) state_->timer.join();
  if (state_->wire) state_->wire->stop();
  std::vector<event_window::answered> left;
  {
    const std::lock_guard lock(state_->mutex);
    const schemas::event_ack ack = schemas::refusing(
        {errc::cancelled,
         "the client was stopped before an answer came; the events may be taken or not"});
    for (auto& done : state_->window.take_all()) left.emplace_back(std::move(done), ack);
  }
  state_->tell(left);
}

result<void> event_client::push(const frame& batch,
                                on_answer done,
                                std::chrono::milliseconds patience) {
  if (batch.size() > schemas::frame_bytes_max - wrapping_bytes_max) {
    return error{errc::too_large,
                 "batch of " + std::to_string(batch.size()) + " bytes; no message holds it"};
  }
  frame wrapped = schemas::encode(schemas::event_push{state_->token, batch});
  std::unique_lock lock(state_->mutex);
  const bool fits = state_->changed.wait_for(
      lock, patience, [&] { return state_->stopping || state_->window.has_room(wrapped.size()); });
  if (state_->stopping) return error{errc::cancelled, "the client was stopped"};
  if (!fits) {
    return error{errc::overloaded,
                 std::to_string(state_->window.bytes()) +
                     " bytes wait for answers already; is the server running, and is it full?"};
  }
  ++state_->pushed;
  state_->window.add(std::move(wrapped), std::move(done));
  state_->send_due();
  state_->changed.notify_all();  // the timer has a new time to wake at
  return {};
}

result<void> event_client::flush(std::chrono::milliseconds patience) {
  std::unique_lock lock(state_->mutex);
  const std::uint64_t through = state_->pushed;
  if (state_->changed.wait_for(lock, patience, [&] { return state_->told >= through; })) return {};
  return error{errc::timeout,
               std::to_string(through - state_->told) + " batches have no answer yet"};
}

event_client::counters event_client::count() const {
  const std::lock_guard lock(state_->mutex);
  counters now = state_->seen;
  now.waiting = state_->window.batches();
  now.sent_again = state_->window.count().sent_again;
  now.overloaded = state_->window.count().overloaded;
  return now;
}

}  // namespace headrace::actors
