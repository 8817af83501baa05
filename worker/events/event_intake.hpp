#pragma once

#include "base/clock.hpp"
#include "base/frame.hpp"
#include "base/result.hpp"
#include "schemas/event.hpp"
#include "storage/ordered_log.hpp"
#include "worker/events/event_gate.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

namespace headrace::worker {

/// One committed record of the event log: a batch as it came and what was left out of it.
struct logged_events {
  lsn position;
  std::uint64_t arrived_ms = 0;  // the log's stamp: never decreasing
  frame batch;                   // empty: only the time went on
  frame left_out;
};
using logged_events_ptr = std::shared_ptr<const logged_events>;

/// Takes batches of events from every front (HTTP, ZeroMQ, brokers), judges them, appends them to
/// the event log, and answers when the log has them with its mode's durability: never before.
///
/// Fronts call `offer` from any thread; one thread of its own judges and appends, so batches of one
/// front stay in order. `done` runs once for each batch, on that thread or the log's, and must only
/// hand over. Bounded: what waits (`bytes_waiting_max`), and what was logged but not yet joined
/// (`bytes_unread_max`); beyond either a batch is answered `overloaded` with `retry_after_ms`.
class event_intake {
 public:
  using on_ack = std::function<void(schemas::event_ack)>;
  struct request {
    frame batch;  // an EventBatch, not yet decoded
    on_ack done;
    std::shared_ptr<const void> room = nullptr;  // let go of when `done` was called
  };
  struct settings {
    event_gate::settings gate;
    std::size_t bytes_waiting_max = std::size_t{64} << 20;
    std::size_t bytes_unread_max = std::size_t{1} << 30;
    std::uint32_t retry_after_ms = 100;
    std::uint64_t tick_ms = 100;  // an empty record when nothing came for so long, while a join waits
  };
  /// Reads the log's end: where each partition goes on, and the newest ids. Fails: corrupt,
  /// io_error.
  static result<std::unique_ptr<event_intake>> open(std::unique_ptr<storage::ordered_log> log,
                                                    event_schema schema,
                                                    settings how,
                                                    const clock& time);
  ~event_intake();

  /// Any thread; never blocks.
  void offer(request batch);

  /// Where each partition of a broker goes on, by what the log holds. Before the first `offer`.
  const std::map<std::string, std::uint64_t>& partitions() const;

  struct counters {
    std::uint64_t batches = 0;
    std::uint64_t bytes = 0;
    std::uint64_t overloaded = 0;
    event_gate::counters events;
  };
  counters count() const;
  /// Commits what was offered, closes the log. Idempotent.
  result<void> stop();
};

}  // namespace headrace::worker
