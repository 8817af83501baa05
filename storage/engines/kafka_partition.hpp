#pragma once

#include "base/result.hpp"
#include "storage/engines/broker_login.hpp"
#include "storage/engines/kafka_link.hpp"
#include "storage/engines/message_stream.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>

namespace headrace::storage {

/// The only partition of a topic, read from any position, which is Kafka's offset + 1: without a
/// consumer group, by one client that is kept from call to call.
///
/// Each call waits for the broker, up to `patience_ms`. Fails: unavailable (in its words),
/// io_error (it refuses, for good), bad_config. One thread.
class kafka_partition {
 public:
  /// What the broker says of the topic, where it does.
  struct topic_settings {
    std::optional<std::size_t> message_bytes_max;
    std::string cleanup;   // "delete", "compact" …; empty: not told
    bool forgets = false;  // by age or by bytes
  };
  /// Returns false to stop.
  using visitor =
      std::function<result<bool>(std::uint64_t position, const rd_kafka_message_t& message)>;

  kafka_partition(broker_login login, std::string topic, std::int64_t patience_ms);
  kafka_partition(const kafka_partition&) = delete;
  kafka_partition& operator=(const kafka_partition&) = delete;

  /// Before anything else. Fails also: not_found, bad_config (more than one partition).
  result<void> open();
  result<topic_settings> ask_settings();
  result<message_stream::extent> look();
  /// Every message of [from, end). Fails also: not_found (it begins behind `from` now), corrupt
  /// (one is not there), and what `visit` fails with.
  result<void> scan(std::uint64_t from, std::uint64_t end, const visitor& visit);
  /// False: the broker lets nobody do that, or not us.
  result<bool> remove_before(std::uint64_t position);
  /// "topic SAMPLES at host:port"
  const std::string& name() const { return name_; }

 private:
  template <class Ask>
  result<void> ask(const Ask& what);
  result<std::uint64_t> ask_offset(std::int64_t which);
  result<void> take(std::uint64_t from, std::uint64_t end, const visitor& visit);
  error missing(std::uint64_t position);
  error refused(rd_kafka_resp_err_t code) const;
  error unavailable(rd_kafka_resp_err_t code) const;

  broker_login login_;
  std::string topic_;
  std::string name_;
  std::int64_t patience_ms_;
  int ask_ms_;                // of one try
  std::string trouble_;       // what the library said last of its connections
  std::int32_t leader_ = -1;  // when it was opened
  kafka_handle client_;
  kafka_topic handle_;
};

}  // namespace headrace::storage
