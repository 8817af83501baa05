#pragma once

#include "base/result.hpp"

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// One message of a broker. Views are valid until the next poll.
struct broker_message {
  std::string_view partition;  // "topic/3", a stream's or subject's name: order holds within one
  std::uint64_t offset = 0;    // increasing within a partition
  std::string_view key;
  std::string_view value;
  std::uint64_t time_ms = 0;        // the broker's; 0: it says none
  std::string_view content_type;    // of a header; empty: by the first byte
  std::uint32_t schema_version = 1; // of a header
};

/// Where events come from that a broker keeps: Kafka, NATS JetStream, Redis Streams. One thread owns
/// it; calls may block up to `patience`.
///
/// The event log is the truth of how far a partition was read: it is opened with `next`, and goes on
/// there, whatever the broker remembers. The broker is told by `commit` what the log holds, so that
/// people see the lag with their own tools. A broker that is gone is tried again for ever (counted,
/// one line in the log); what it will never give (a topic that is not there, a wrong password) fails.
class broker_feed {
 public:
  virtual ~broker_feed() = default;

  /// Appends what came, at most about `messages_max`. Fails: bad_config, io_error (with the broker's words).
  virtual result<void> poll(std::chrono::milliseconds patience,
                            std::size_t messages_max,
                            std::vector<broker_message>& into) = 0;
  /// Everything before `next` of `partition` is in the log with its durability.
  virtual result<void> commit(const std::string& partition, std::uint64_t next) = 0;
  /// Stops fetching while the log is full (partitions paused where the broker knows that); and on.
  virtual void pause() = 0;
  virtual void resume() = 0;
  /// A message that is no event goes where people look for it, with the reason; then it counts as read.
  virtual result<void> dead_letter(const broker_message& message, std::string_view reason) = 0;

  struct state {
    bool connected = false;
    std::string last_error;              // newest, for status
    std::uint64_t reconnects = 0;
    std::uint64_t dead_letters = 0;
    std::map<std::string, std::uint64_t> lag;  // messages behind, by partition, where it is known
  };
  virtual state look() const = 0;
};

}  // namespace headrace::worker
