#pragma once

#include "schemas/event.hpp"
#include "worker/ingest/broker_feed.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// Messages of one partition on their way into batches: gathers the events of whole messages, in
/// order, and seals a batch when the next message would not fit. Keeps the messages of a batch, to
/// write those to the dead letters whose events are refused. One thread.
class feed_lane {
 public:
  struct settings {
    std::string producer = "broker";  // at most schemas::producer_bytes_max
    std::size_t batch_events_max = 4'096;
    std::size_t batch_bytes_max = std::size_t{4} << 20;  // more only where one message has more
  };
  /// A message of a sealed batch; its bytes lie in the batch.
  struct kept_message {
    std::uint64_t offset = 0;
    std::size_t key_bytes = 0;  // of texts, one behind the other
    std::size_t type_bytes = 0;
    std::size_t value_bytes = 0;
    std::uint32_t events_end = 0;  // of the batch, behind this message's
  };
  struct sealed_batch {
    frame events;
    std::uint64_t offset_end = 0;
    std::string texts;
    std::vector<kept_message> messages;

    /// The message that event `place` of the batch came in.
    std::size_t message_of(std::uint32_t place) const;
    /// Message i as it came, but for its time. Views into this batch and `partition`.
    broker_message message(std::size_t i, std::string_view partition) const;
  };

  feed_lane(std::string partition, const settings& how);

  const std::string& partition() const { return partition_; }
  /// Adds one message and its events, which may be none; `key` stands for those that have none.
  void add(const broker_message& message, const schemas::event_batch& events, std::string_view key);
  /// Whether there is a batch to send.
  bool has_batch() const { return !waiting_.empty() || !gathering_.messages.empty(); }
  /// How many batches wait, without the one that is being gathered.
  std::size_t waiting() const { return waiting_.size(); }
  /// The oldest batch, sealed now if need be. There is one (CHECKed).
  sealed_batch take();

 private:
  bool take_names(const schemas::event_batch& events);
  void add_event(const schemas::event_batch& events, std::size_t i, std::string_view key);
  void begin(std::uint32_t schema_version);
  void seal();

  std::string partition_;
  settings how_;
  schemas::event_batch_builder builder_;
  std::vector<std::uint16_t> names_;  // place in the message's events → in the builder
  sealed_batch gathering_;
  std::deque<sealed_batch> waiting_;
};

}  // namespace headrace::worker
