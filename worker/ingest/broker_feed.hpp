#pragma once

#include "base/result.hpp"
#include "storage/engines/broker_login.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// Which broker, where, and under which names. Plain data.
struct feed_spec : storage::broker_login {
  enum class kind : std::uint8_t { kafka, jetstream, redis };
  kind broker = kind::kafka;
  /// Kafka: topics. JetStream: one stream. Redis: streams (their keys).
  std::vector<std::string> topics;
  std::string subject;      // JetStream: of the stream's messages, wildcards too; empty: all
  std::string group;        // consumer group, or durable consumer; named after the job
  std::string dead_letter;  // Kafka topic, JetStream subject, Redis stream; empty: only counted
  std::size_t poll_bytes_max = std::size_t{16} << 20;  // fetched ahead, or of one poll
};

/// One message of a broker. Views are valid until the next poll.
struct broker_message {
  std::string_view partition;  // "topic/3", "stream", "stream/subject": order holds within one
  std::uint64_t offset = 0;    // increasing within a partition
  std::string_view key;
  std::string_view value;
  std::uint64_t time_ms = 0;         // the broker's; 0: it says none
  std::string_view content_type;     // of a header; empty: by the first byte
  std::uint32_t schema_version = 1;  // of a header
  bool tombstone = false;            // a Kafka message without a value: read, but no event
};

/// Where next to read, by partition: the offset behind the last one that was taken.
using feed_positions = std::map<std::string, std::uint64_t, std::less<>>;

/// Where events come from that a broker keeps: Kafka, NATS JetStream, Redis Streams. One thread
/// owns it; calls may block up to `patience`, and a while longer when they meet the broker anew.
///
/// The event log is the truth of how far a partition was read: a feed is opened with `next` of each
/// partition the log knows, and goes on there, whatever the broker remembers. Where the log knows
/// nothing, it goes on where the broker's group stands, else at the oldest message. The broker is
/// told by `commit` what the log holds, so that people see the lag with their own tools. Messages
/// of a partition come in order, each once, also when the broker was gone in between.
///
/// A broker that is gone is tried again for ever (counted, one line in the log); what it will never
/// give (a topic that is not there, a wrong password, a log that is ahead of it) fails.
class broker_feed {
 public:
  virtual ~broker_feed() = default;

  /// Appends what came, at most about `messages_max`; nothing while the broker is gone. Fails:
  /// bad_config, bad_input, io_error (with the broker's words).
  virtual result<void> poll(std::chrono::milliseconds patience,
                            std::size_t messages_max,
                            std::vector<broker_message>& into) = 0;
  /// Everything before `next` of `partition` is in the log with its durability. A broker that is
  /// gone is told later, or never: the log knows.
  virtual result<void> commit(const std::string& partition, std::uint64_t next) = 0;
  /// Stops fetching while the log is full (partitions paused where the broker knows that); and on.
  virtual void pause() = 0;
  virtual void resume() = 0;
  /// A message that is no event goes where people look for it, with the reason; then it counts as
  /// read. Best effort: what the broker does not take is counted, and the event log goes on.
  virtual result<void> dead_letter(const broker_message& message, std::string_view reason) = 0;

  struct state {
    bool connected = false;
    std::string last_error;  // newest, for status
    std::uint64_t reconnects = 0;
    std::uint64_t dead_letters = 0;       // given to dead_letter
    std::uint64_t dead_letters_lost = 0;  // of those: not written, or nowhere to write them
    std::uint64_t tombstones = 0;
    std::uint64_t missing = 0;  // messages the broker no longer had when they were wanted
    std::map<std::string, std::uint64_t> lag;  // messages behind, by partition, where it is known
  };
  virtual state look() const = 0;
};

/// Checks `spec` and makes the feed; the broker may come later. Fails: bad_config, naming what is
/// missing.
result<std::unique_ptr<broker_feed>> open_feed(const feed_spec& spec, const feed_positions& next);

}  // namespace headrace::worker
