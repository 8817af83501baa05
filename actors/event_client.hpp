#pragma once

#include "actors/event_window.hpp"
#include "actors/transport/context.hpp"
#include "base/result.hpp"
#include "schemas/event.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace headrace::actors {

/// Pushes batches of events to one intake over ZeroMQ, several in flight.
///
///     auto client = event_client::open(transport, "tcp://127.0.0.1:7412", {.token = "…"});
///     builder.begin("shop"); …
///     (*client)->push(builder.finish());
///     (*client)->flush(10s);
///
/// A batch is kept until it is answered for good, and sent again meanwhile, the same bytes: over
/// lost messages, broken connections, a full or a restarted server (event_window.hpp says when). So
/// an event arrives at least once; one with an id is taken once. An acknowledged event is in the
/// server's log. Bounded by bytes: beyond them `push` waits.
///
/// Any thread may call it. `done` runs once for each batch, in the order of `push`, on a thread of
/// the client's: it must only hand over.
class event_client {
 public:
  struct options {
    std::string sender = "producer";  // for the server's logs, ≤ 64 bytes
    std::string token = {};
    event_window::settings window = {};
  };
  /// Connects in the background. Fails: bad_config (the endpoint, or a token that is too long to
  /// be one).
  static result<std::unique_ptr<event_client>> open(transport_context& context,
                                                    const std::string& endpoint,
                                                    options how);
  ~event_client();

  using on_answer = event_window::on_answer;
  /// Takes an EventBatch as `encode` or event_batch_builder::finish made it. Waits for room up to
  /// `patience`. Fails: too_large (no message has room for it), overloaded (no room by then),
  /// cancelled (stopped); nothing was taken then.
  result<void> push(const frame& batch,
                    on_answer done = nullptr,
                    std::chrono::milliseconds patience = std::chrono::hours(24));
  /// Waits until everything pushed before is answered. Fails: timeout (it goes on being sent).
  result<void> flush(std::chrono::milliseconds patience);

  struct counters {
    std::uint64_t batches = 0;     // answered for good
    std::uint64_t accepted = 0;    // events in the server's log
    std::uint64_t duplicates = 0;  // were there before
    std::uint64_t refused = 0;     // events
    std::uint64_t failed = 0;      // batches refused whole: wrong token, too large …
    std::uint64_t waiting = 0;     // batches without an answer now
    std::uint64_t sent_again = 0;
    std::uint64_t overloaded = 0;
    std::string last_refusal = {};  // newest reason of a refused batch or event
  };
  counters count() const;

  /// Ends the threads; what has no answer is told `cancelled`. Idempotent.
  void stop();

 private:
  struct state;
  event_client();
  std::unique_ptr<state> state_;
};

}  // namespace headrace::actors
