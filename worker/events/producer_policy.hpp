#pragma once

#include "base/result.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// A secret that lets a producer push; of any producer where `producer` is empty.
struct producer_token {
  std::string producer;
  std::string token;
};

/// Whether two texts are the same, in a time that says nothing of where they differ: it follows
/// from the length of `given` alone.
bool is_same_secret(std::string_view given, std::string_view secret);

/// Who may push, and how much: a token, a rate in events and bytes for each producer, and
/// quarantine for one whose events are mostly bad. Asked before a batch is read, told after it was
/// judged.
///
/// A rate is a bucket of one second's worth that may go into debt by one batch, so a batch of any
/// size gets through and the rate holds on average. Time is handed in, in milliseconds; it may
/// stand still. Memory is bounded: of `producers_max` names the one that was silent longest is
/// forgotten first, those in quarantine last. Names are the producers' own, so this keeps mistakes
/// away and holders of a token within bounds; it doesn't tell them apart. Quarantine ends with
/// `release` or the process. Single-threaded.
class producer_policy {
 public:
  struct settings {
    std::vector<producer_token> tokens = {};  // empty: none is needed
    std::uint64_t events_per_second = 0;      // of each producer; 0 = no limit
    std::uint64_t bytes_per_second = 0;
    double quarantine_share = 0.0;          // of bad events in the window, above 0 … 1; 0 = never
    std::uint64_t quarantine_events = 100;  // with fewer in the window nobody is judged
    std::uint64_t window_ms = 60'000;
    std::size_t producers_max = 1'024;
  };
  explicit producer_policy(settings how);

  /// ok; unauthorized; quarantined, with the reason; overloaded: again after `retry_after_ms`.
  struct answer {
    errc status = errc::ok;
    std::string detail;
    std::uint32_t retry_after_ms = 0;
  };
  /// Whether a batch of `bytes` may come. Counts the bytes where it may.
  answer admit(std::string_view producer,
               std::string_view token,
               std::uint64_t bytes,
               std::uint64_t now_ms);
  /// What a batch that was admitted held: `bad` of its events were refused, `why` says the last.
  void judged(std::string_view producer,
              std::uint64_t events,
              std::uint64_t bad,
              std::string_view why,
              std::uint64_t now_ms);
  /// Ends the quarantine of a producer; false when it is in none.
  bool release(std::string_view producer);

  struct producer_state {
    std::string name;
    std::string quarantined;  // the reason; empty: it is not
    std::uint64_t events = 0;
    std::uint64_t bad = 0;
    std::uint64_t last_ms = 0;
  };
  /// Of those that are remembered, by name.
  std::vector<producer_state> producers() const;

  struct counters {
    std::uint64_t unauthorized = 0;  // batches
    std::uint64_t overloaded = 0;
    std::uint64_t quarantined = 0;
    std::uint64_t forgotten = 0;  // producers, for want of room
  };
  const counters& count() const { return count_; }

 private:
  static constexpr std::size_t slices = 8;  // of the window
  struct slice {
    std::uint64_t number = 0;  // now_ms / (window_ms / slices) when it was written
    std::uint64_t events = 0;
    std::uint64_t bad = 0;
  };
  struct known_producer {
    producer_state state;
    double event_room = 0.0;  // may be below 0
    double byte_room = 0.0;
    std::array<slice, slices> window{};
  };
  bool knows(std::string_view producer, std::string_view token) const;
  known_producer& find(std::string_view name, std::uint64_t now_ms);
  void forget_one();
  void refill(known_producer& of, std::uint64_t now_ms) const;
  answer overloaded(double room, std::uint64_t per_second, std::string_view what);
  void judge_window(known_producer& of, std::string_view why, std::uint64_t now_ms);

  settings how_;
  std::map<std::string, known_producer, std::less<>> producers_;
  counters count_;
};

}  // namespace headrace::worker
