#pragma once

#include "base/clock.hpp"
#include "worker/events/event_intake.hpp"
#include "worker/ingest/broker_feed.hpp"
#include "worker/ingest/feed_lane.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace headrace::worker {

/// Makes events of one message. The batch is the reader's own and valid until the next call;
/// `refused` tells, by their place, what in it is no event, while the rest is there. Fails:
/// malformed, too_large (nothing of it is an event).
using message_decoder = std::function<result<const schemas::event_batch*>(
    const broker_message& message, std::vector<schemas::event_refusal>& refused)>;

/// Brings the messages of a broker into the event log: polls, decodes, offers batches, and tells
/// the broker what the log holds.
///
/// Each event is logged once, in the order of its partition: a batch holds whole messages, carries
/// its partition and the offset behind it, and is the only one of its partition that is offered;
/// the next goes when it is in the log. So what the log holds of a partition is always a prefix,
/// and a restart goes on right behind it. A batch the intake has no room for is offered again, the
/// same, and until it is taken the feed is paused. Memory: per partition, `batches_waiting_max`
/// batches and one poll.
///
/// A message that is no event, or whose event is refused, is a dead letter; of one batch the
/// refusals that the ack tells of (schemas::refusals_max). It counts as read: also a batch without
/// any event goes to the log, for its offset.
///
/// One thread calls `step` (or `run`); acks may come from any.
class feed_reader {
 public:
  using offer = std::function<void(event_intake::request)>;
  struct settings {
    feed_lane::settings batches;
    std::size_t messages_at_once = 1'024;
    std::size_t batches_waiting_max = 2;
    std::chrono::milliseconds patience{20};  // of one poll, while nothing is under way
  };
  feed_reader(std::unique_ptr<broker_feed> feed,
              message_decoder decode,
              offer to,
              settings how,
              const clock& time);
  ~feed_reader();

  /// One round: takes acks in, polls, offers. Fails: what the feed fails with; what the log fails
  /// with (io_error, disk_full, …), when nothing more can be taken; io_error where a library throws
  /// or memory is out.
  result<void> step();
  /// Rounds until `stop`, then waits up to two seconds for what is in flight.
  result<void> run(const std::atomic<bool>& stop);

  struct counters {
    std::uint64_t messages = 0;
    std::uint64_t batches = 0;   // in the log
    std::uint64_t accepted = 0;  // events in the log
    std::uint64_t duplicates = 0;
    std::uint64_t refused = 0;  // events
    std::uint64_t overloaded = 0;
    std::size_t in_flight = 0;
  };
  /// From the thread of `step`.
  const counters& count() const { return count_; }
  broker_feed::state look() const { return feed_->look(); }

 private:
  struct mailbox;
  struct lane {
    lane(const std::string& partition, const feed_lane::settings& how) : gather(partition, how) {}
    feed_lane gather;
    std::optional<feed_lane::sealed_batch> sent;
    std::optional<std::uint64_t> again_at_ns;  // of what was sent, and found no room
  };

  result<void> round();
  result<void> take_acks(std::chrono::milliseconds patience);
  result<void> take_ack(lane& of, const schemas::event_ack& ack);
  result<void> bury(lane& of, const schemas::event_ack& ack);
  result<void> poll();
  result<void> decode(const broker_message& message);
  void send(lane& one);
  void send_what_is_due();
  bool has_room() const;
  lane& lane_of(std::string_view partition);

  std::unique_ptr<broker_feed> feed_;
  message_decoder decode_;
  offer to_;
  settings how_;
  const clock& time_;
  std::shared_ptr<mailbox> mail_;
  std::map<std::string, std::unique_ptr<lane>, std::less<>> lanes_;
  std::vector<broker_message> polled_;
  std::vector<schemas::event_refusal> refused_;
  counters count_;
  bool paused_ = false;
};

}  // namespace headrace::worker
