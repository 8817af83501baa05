#pragma once

#include "worker/ingest/kafka_support.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace headrace::worker {

/// Writes messages to the dead-letter topic: key, value and content-type as they came, headers
/// `reason`, `partition` and `offset`. The producer starts with the first one. What the brokers
/// don't take within 30 s, or within 2 s at the end, is counted in `lost`. One thread.
class kafka_dead_letters {
 public:
  kafka_dead_letters(feed_spec spec, std::uint64_t& lost) : spec_(std::move(spec)), lost_(lost) {}
  ~kafka_dead_letters();
  kafka_dead_letters(const kafka_dead_letters&) = delete;
  kafka_dead_letters& operator=(const kafka_dead_letters&) = delete;

  /// False: it could not even be queued, and is not in `lost`.
  bool write(const broker_message& message, std::string_view reason);
  /// Takes in what the brokers said of earlier ones.
  void look();

 private:
  feed_spec spec_;
  std::uint64_t& lost_;
  kafka_handle producer_;
  bool failed_ = false;
};

}  // namespace headrace::worker
