#pragma once

#include "base/freed_by.hpp"
#include "storage/engines/broker_login.hpp"
#include "worker/ingest/broker_feed.hpp"

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// What the three feeds share. Single-threaded, as they are.
namespace headrace::worker {

using storage::reconnect_pace;

/// Keeps state.connected, last_error and reconnects, and writes one line when the broker goes and
/// one when it is back.
class link_watch {
 public:
  link_watch(std::string broker, broker_feed::state& state)
      : broker_(std::move(broker)), state_(state) {}
  void up();
  void down(std::string_view why);

 private:
  std::string broker_;
  broker_feed::state& state_;
  bool ever_up_ = false;
  bool told_ = false;
};

/// Counts dead letters, and says once a minute how many there were where none is written.
class dead_letter_count {
 public:
  explicit dead_letter_count(broker_feed::state& state) : state_(state) {}
  /// `written`: false counts as lost, too.
  void add(const broker_message& message, std::string_view reason, bool written);

 private:
  broker_feed::state& state_;
  std::chrono::steady_clock::time_point say_next_{};
  std::uint64_t unsaid_ = 0;
};

/// A schema version of a header: 1 when it is no number.
std::uint32_t parse_schema_version(std::string_view text);

/// Redis ids as offsets: "ms-seq" is ms · 2^21 + seq, so their order stays and they can be had
/// back. Fits ms below 2^43 (the year 2248) and seq below 2^21, but for the last of them, which has
/// no offset behind it; nothing for others, or for no id.
std::optional<std::uint64_t> offset_of_redis_id(std::string_view id);
std::string redis_id_of_offset(std::uint64_t offset);

}  // namespace headrace::worker
