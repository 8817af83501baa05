#pragma once

#include "base/byte_io.hpp"
#include "base/process_secret.hpp"
#include "base/result.hpp"
#include "schemas/hash.hpp"
#include "worker/windows/window_counter.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace headrace::worker {

/// What a sliding window keeps, and within which bounds. Times are milliseconds.
struct window_bounds {
  std::uint64_t over_ms = 0;          // the window's length, at least 1
  std::uint64_t out_of_order_ms = 0;  // events may come so much later than one that happened after
  std::uint32_t newest_max = 0;  // so many of the newest are all that is ever asked for; 0: any
  std::uint64_t keys_max = 1'000'000;     // at least 1
  std::uint64_t key_events_max = 4'096;   // of one key, at least 1
  std::uint64_t events_max = 10'000'000;  // of all keys, at least key_events_max
};

/// One sliding window over the events of many keys, in event time: exact, and a pure function of
/// the calls. One thread.
///
/// The watermark W is the newest time given to `advance` less `out_of_order_ms`. It never goes
/// back.
///
/// - `add` takes an event whose time is W or newer and puts it where it belongs among those of its
///   key; one that is older is late: counted and ignored.
/// - `window(key, t)` is the events of `key` so far with a time in (t − over_ms, t], for any t from
///   W on. For an older t they are those of (W − over_ms, t], as far as `newest_max` kept them.
///
/// Bounds: a key's oldest event goes when it has more than `key_events_max`. At `keys_max` keys, or
/// more than `events_max` events, the key that was fed longest ago is forgotten. A key whose events
/// are all expired at W goes when none that was fed before it is left. All but the last are
/// counted. A key takes about 100 bytes, an event 16 to 64.
///
/// `secret` changes nothing of this: it says where in memory a key stands.
class window_table {
 public:
  explicit window_table(window_bounds how, std::uint64_t secret = process_secret());

  /// Before anything is asked or added of an event at `time_ms`.
  void advance(std::uint64_t time_ms);
  /// Oldest first; valid until the next call.
  std::span<const window_event> window(const schemas::hash128& key, std::uint64_t time_ms) const;
  /// False: late. `advance` was called with a time as new.
  bool add(const schemas::hash128& key, const window_event& one);

  struct counters {
    std::uint64_t added = 0;
    std::uint64_t late = 0;              // behind the watermark: ignored
    std::uint64_t overflowed = 0;        // events of a key that had too many: its oldest
    std::uint64_t forgotten = 0;         // keys for want of room
    std::uint64_t forgotten_events = 0;  // of those, expired ones included
    friend bool operator==(const counters&, const counters&) = default;
  };
  const counters& count() const { return count_; }
  std::uint64_t watermark_ms() const { return watermark_; }
  std::size_t keys() const { return keys_; }
  std::uint64_t events() const { return events_; }
  /// Slots that a look-up goes through at most; goes through them all.
  std::size_t longest_look() const;

  /// Everything it knows: u64 watermark, its counters, u64 keys; of each, from the one fed longest
  /// ago, hash, u32 events, and (u64 time, u64 value) of each.
  void save(byte_writer& out) const;
  /// Into a table that took nothing yet; unusable on failure. Bounds may be others than they were:
  /// smaller ones take effect at once. Fails: corrupt.
  result<void> load(byte_reader& in);

 private:
  static constexpr std::uint32_t none = UINT32_MAX;
  struct entry {
    schemas::hash128 key;
    window_counter events;
    std::uint32_t older = none;  // by the last event that came
    std::uint32_t newer = none;
  };
  std::size_t home(const schemas::hash128& key) const;
  std::size_t slot_of(const schemas::hash128& key) const;  // that holds it, or the free one
  std::uint32_t find_or_make(const schemas::hash128& key);
  void grow();
  void erase(std::size_t slot);
  void remove_oldest_key();
  void forget_oldest_key();
  void put_newest(std::uint32_t at);
  void take_out(std::uint32_t at);
  void drop(window_counter& from, std::size_t count);
  void trim(window_counter& of);
  void keep_bounds(window_counter& fed);

  window_bounds how_;
  std::uint64_t secret_;
  std::vector<entry> entries_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> index_;  // entries by hash; linear probing, at most half full
  std::size_t mask_ = 0;
  std::size_t keys_ = 0;
  std::uint64_t events_ = 0;
  std::uint32_t oldest_ = none;
  std::uint32_t newest_ = none;
  std::uint64_t watermark_ = 0;
  counters count_;
};

}  // namespace headrace::worker
