#pragma once

#include "ps/delta/change_index.hpp"
#include "ps/shard/durable_shard.hpp"
#include "schemas/follow.hpp"
#include "schemas/value_codec.hpp"

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <vector>

namespace headrace::ps {

/// Those who follow one shard: a session for each, requests that wait, and when each is answered.
///
/// A request is answered at once when its session begins, when more waits than fits into a delta,
/// and when something changed and the last answer is `interval_ms` old; else when that has passed;
/// and when it has waited for `wait_ms`, with where the shard is now. One that does not acknowledge
/// the newest delta asks behind the last that it has: what got lost comes again, newer. A session
/// that is not the subscriber's here (another life of this shard, a lapsed one) is followed by one
/// that begins with every row; its number is larger than the one named and grows with the clock.
///
/// Nothing is kept or paid while nobody follows. Single-threaded: the shard's owner. No clock, no
/// thread: time comes with each call, and what waits for the disk ends on the owner's thread, who
/// then calls `advance`.
class followers {
 public:
  struct settings {
    std::size_t subscribers_max = 16;      // more are told `overloaded`
    std::uint64_t silent_ms = 120'000;     // then a subscriber is forgotten
    std::uint64_t yield_ms = 10'000;       // silent for so long, it makes room for another
    std::uint64_t wait_ms_max = 10'000;    // whatever a request says
    std::size_t bytes_least = 64 << 10;    // of a delta
    std::size_t bytes_most = 8 << 20;      // the same
    std::size_t cold_bytes_max = 1 << 20;  // the same, where rows come from the store
    std::size_t pending_max = feed_limits{}.pending_max;
  };
  struct moment {
    std::uint64_t steady_ns = 0;
    std::uint64_t wall_ms = 0;
  };
  /// `of` outlives this.
  followers(durable_shard& of, const settings& how);
  ~followers();
  followers(const followers&) = delete;
  followers& operator=(const followers&) = delete;

  using answer = std::function<void(const schemas::follow_reply& reply)>;
  /// Takes a request and answers who is due. `reply` is called at most once: never where a later
  /// request of the subscriber takes its place before it was due.
  void take(const schemas::follow_request& asks, answer reply, const moment& now);
  /// Answers who is due and forgets who fell silent: call it after whatever may have changed rows,
  /// and at `wake_ns`.
  void advance(const moment& now);
  /// When `advance` may have something to do without a change; steady clock, or never.
  std::uint64_t wake_ns(const moment& now) const;
  static constexpr std::uint64_t never = UINT64_MAX;

  struct figures {
    std::size_t subscribers = 0;
    std::uint64_t sessions = 0;  // begun
    std::uint64_t resumed = 0;   // requests that asked for what got lost
    std::uint64_t refused = 0;
    std::uint64_t deltas = 0;
    std::uint64_t rows = 0;         // in them, gone ones too
    std::size_t bytes = 0;          // of memory, for rows to tell of
    std::size_t unsorted_rows = 0;  // told by the shard and not looked at yet
  };
  figures count() const;

 private:
  struct waiting {
    answer reply;
    std::uint64_t interval_ns = 0;
    std::uint64_t until_ns = 0;
  };
  struct subscriber {
    std::uint64_t id = 0;
    delta_feed* feed = nullptr;
    std::uint64_t begun_from = 0;  // the session it named when this one began
    std::size_t bytes_max = 0;     // of a delta
    std::optional<waiting> asks;
    std::uint64_t heard_ns = 0;
    std::uint64_t told_ns = 0;  // the last delta was planned
    std::uint64_t told_version = 0;
    std::uint64_t told_accepted_ms = 0;
    bool first = true;          // nothing was told in this session
    bool backlog = false;       // more than fits waits
    bool building = false;      // a delta waits for rows
    bool told_waiting = false;  // the last delta did not know of all rows
  };

  subscriber* find(std::uint64_t id);
  subscriber* find(std::uint64_t id, std::uint64_t session);
  subscriber* enter(std::uint64_t id, const moment& now);
  void place(subscriber& who, const schemas::follow_request& asks, const moment& now);
  /// A session of a larger number than `above`.
  void begin(subscriber& who, std::uint64_t above, const moment& now);
  void forget(std::list<subscriber>::iterator who);
  bool has_news(const subscriber& who) const;
  std::uint64_t due_ns(const subscriber& who, const moment& now) const;
  void tell(subscriber& who, const moment& now);

  durable_shard& of_;
  settings how_;
  std::vector<schemas::value_codec> codecs_;
  std::size_t row_bytes_max_ = 0;
  change_index changes_;
  std::list<subscriber> all_;
  figures seen_;
};

}  // namespace headrace::ps
