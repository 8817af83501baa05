#pragma once

#include "base/result.hpp"
#include "storage/engines/broker_login.hpp"
#include "storage/engines/kafka_link.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>

namespace headrace::storage {

/// The header that says for which position a message was written.
inline constexpr const char* written_for_header = "Headrace-At";

/// Writes to the only partition of a topic, one message at a time, and waits until all replicas in
/// sync have it: by an idempotent producer, which begins anew behind a failure, so that nothing of
/// an earlier call is sent by a later one. One thread.
class kafka_sender {
 public:
  struct message {
    std::span<const std::byte> bytes;
    std::string records;      // header records_header
    std::string written_for;  // header written_for_header
  };
  struct delivery {
    rd_kafka_resp_err_t failed = RD_KAFKA_RESP_ERR_NO_ERROR;
    bool may_be_there = false;              // though it failed
    std::optional<std::uint64_t> position;  // offset + 1, where the broker told
    std::string words;
  };

  /// A message is tried for `timeout_ms`, and about a second more until that is noticed.
  kafka_sender(broker_login login, std::string topic, std::int64_t timeout_ms);
  kafka_sender(const kafka_sender&) = delete;
  kafka_sender& operator=(const kafka_sender&) = delete;

  /// Of one message, with its headers; from the next one on. 1,000 … 1,000,000,000.
  void set_bytes_max(std::size_t bytes);
  /// Fails: bad_config.
  result<delivery> send(const message& what);

 private:
  result<void> start();
  static void hear(rd_kafka_t* producer, const rd_kafka_message_t* message, void* self);

  broker_login login_;
  std::string topic_;
  std::int64_t timeout_ms_;
  std::size_t bytes_max_ = 1'000'000;
  std::uintptr_t sent_ = 0;  // names a message to hear()
  std::optional<delivery> told_;
  std::string trouble_;  // what the library said last of its connections
  kafka_handle producer_;
};

}  // namespace headrace::storage
