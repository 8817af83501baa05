#pragma once

#include "base/frame.hpp"
#include "schemas/event.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <utility>
#include <vector>

namespace headrace::actors {

/// What a producer of events has on its way: which batch is sent next, which again, and who is told
/// in which order. No sockets and no clock: times are milliseconds that are handed in and only ever
/// grow. One thread at a time.
///
/// A batch that was not answered for good is sent again, the same bytes: after `resend_after_ms`
/// without an answer (twice as long each time, up to `resend_after_ms_max`), and after a refusal
/// that may pass, when the server said. Such a refusal holds back all others as well: the server
/// has no room for them either.
class event_window {
 public:
  struct settings {
    std::uint32_t in_flight_max = 16;               // batches sent and not answered
    std::size_t bytes_max = std::size_t{64} << 20;  // taken and not answered
    std::uint64_t resend_after_ms = 1'000;
    std::uint64_t resend_after_ms_max = 8'000;
    std::uint64_t hold_ms_max = 60'000;  // no server holds a producer back for longer
  };
  explicit event_window(settings how) : how_(how) {}

  using on_answer = std::function<void(const schemas::event_ack&)>;
  /// Whether `bytes` more are within the bound; one batch of any size is, when nothing waits.
  bool has_room(std::size_t bytes) const {
    return batches_.empty() || bytes_ + bytes <= how_.bytes_max;
  }
  void add(frame push, on_answer done);

  struct request {
    std::uint64_t id = 0;
    frame push;
  };
  /// What is to be sent now, oldest first; nothing when all has to wait. Counts it as sent.
  std::optional<request> next(std::uint64_t now_ms);
  /// When `next` may have something without anything else happening; nothing: never.
  std::optional<std::uint64_t> wake_at() const;

  /// An answer came. Late and second ones change nothing.
  void answer(std::uint64_t id, schemas::event_ack ack, std::uint64_t now_ms);
  using answered = std::pair<on_answer, schemas::event_ack>;
  /// Batches answered for good, in the order of `add`: none before the ones added earlier.
  std::vector<answered> take_answered();
  /// Everything that is left, without an answer.
  std::vector<on_answer> take_all();

  bool empty() const { return batches_.empty(); }
  std::size_t bytes() const { return bytes_; }
  std::size_t batches() const { return batches_.size(); }

  struct counters {
    std::uint64_t sent = 0;  // again ones included
    std::uint64_t sent_again = 0;
    std::uint64_t overloaded = 0;  // answers that said: later
  };
  const counters& count() const { return count_; }

 private:
  struct batch {
    frame push;
    on_answer done;
    std::uint64_t due_ms = 0;  // sent (again) then, not before
    std::uint64_t patience_ms = 0;
    bool sent = false;
    std::optional<schemas::event_ack> ack;
  };
  batch* find(std::uint64_t id);

  settings how_;
  std::deque<batch> batches_;
  std::uint64_t first_id_ = 1;  // of batches_.front()
  std::size_t bytes_ = 0;
  std::uint64_t held_until_ms_ = 0;
  counters count_;
};

}  // namespace headrace::actors
