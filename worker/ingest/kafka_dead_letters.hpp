#pragma once

#include "storage/engines/kafka_link.hpp"
#include "worker/ingest/broker_feed.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace headrace::worker {

/// Writes messages to the dead-letter topic: key, value and content-type as they came, headers
/// `reason`, `partition` and `offset`. The producer starts with the first one. What the brokers
/// don't take within 30 s, or within 2 s at the end, is counted in `lost`. Holds at most 64 MiB;
/// whoever reads on only while there `has_room` does not come near that. One thread.
class kafka_dead_letters {
 public:
  kafka_dead_letters(feed_spec spec, std::uint64_t& lost)
      : spec_(std::move(spec)), waiting_{.lost = lost} {}
  ~kafka_dead_letters();
  kafka_dead_letters(const kafka_dead_letters&) = delete;
  kafka_dead_letters& operator=(const kafka_dead_letters&) = delete;

  /// Little waits for the brokers.
  bool has_room() const {
    return waiting_.bytes < bytes_wanted && waiting_.letters < letters_wanted;
  }
  /// False: it could not even be queued, and is not in `lost`. At the bound it waits for room, up
  /// to the 30 s after which the brokers are given up.
  bool write(const broker_message& message, std::string_view reason);
  /// Takes in what the brokers said of earlier ones.
  void look();

 private:
  static constexpr std::size_t bytes_wanted = std::size_t{16} << 20;
  static constexpr std::size_t letters_wanted = 4'096;
  struct backlog {
    std::size_t bytes = 0;  // of keys and values
    std::size_t letters = 0;
    std::uint64_t& lost;
  };
  static void count(rd_kafka_t* producer, const rd_kafka_message_t* letter, void* waiting);
  result<void> start();

  feed_spec spec_;
  backlog waiting_;  // for the brokers
  storage::kafka_handle producer_;
  bool failed_ = false;
};

}  // namespace headrace::worker
