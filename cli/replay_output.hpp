#pragma once

#include "base/result.hpp"
#include "cli/event_log_view.hpp"

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

namespace headrace::cli {

/// Where `headrace replay` puts the events of a log. One thread.
class replay_output {
 public:
  virtual ~replay_output() = default;
  /// Takes the events of a record that were taken into the log. Waits while there is no room.
  virtual result<void> add(const event_log_view::record& record) = 0;
  /// Lets go of what was gathered: before a pause.
  virtual result<void> flush() = 0;
  /// Everything is where it belongs; pushed events are acknowledged.
  virtual result<void> finish() = 0;
  /// The last record of which that is known; 0 = none.
  virtual lsn reached() const = 0;

  struct counters {
    std::uint64_t accepted = 0;  // of standard output: written
    std::uint64_t duplicates = 0;
    std::uint64_t refused = 0;
    std::string last_refusal = {};
  };
  virtual counters count() const = 0;
};

struct replay_target {
  std::string uri;       // empty: JSON lines on standard output
  std::string token;     // of the producer
  std::string producer;  // in place of the one that pushed; empty: that one
  /// Waits so long, or until a signal came: then true, and what waits fails with cancelled.
  std::function<bool(std::chrono::milliseconds)> wait;
};
/// Fails: bad_config. A closed pipe shows as cancelled; a target that doesn't answer for a minute
/// as unavailable or timeout.
result<std::unique_ptr<replay_output>> open_replay_output(const replay_target& target);

}  // namespace headrace::cli
