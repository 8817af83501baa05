#pragma once

#include "base/byte_io.hpp"
#include "base/process_secret.hpp"
#include "base/result.hpp"
#include "schemas/hash.hpp"

#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace headrace::worker {

/// Columns of impressions, by the key that joins them with their actions, for as long as the join
/// remembers that key: what an action may take from its impression. A pure function of the calls.
/// One thread. Times are milliseconds; a watermark never goes back.
///
/// An impression is known until the watermark passes its time plus `keep_ms`. Until then the first
/// of a key is the one that counts, as it is in the join. Beyond a bound the one that came first is
/// forgotten, and counted.
class impression_columns {
 public:
  static constexpr std::uint64_t entry_bytes = 120;  // about; beside the columns
  struct bounds {
    std::uint64_t keep_ms = 0;
    std::uint64_t entries_max = 0;  // 0: none is kept
    std::uint64_t bytes_max = 0;    // entry_bytes of each and its columns; 0: any
  };
  /// `secret` changes nothing that can be seen but how keys meet in memory.
  explicit impression_columns(bounds how, std::uint64_t secret = process_secret())
      : how_(how), by_key_(0, key_hash{secret}) {}

  void put(std::string_view key,
           std::uint64_t time_ms,
           std::uint64_t watermark_ms,
           std::span<const std::byte> columns);
  /// Empty where none is known. Valid until the next `put`.
  std::span<const std::byte> find(std::string_view key, std::uint64_t watermark_ms) const;

  std::uint64_t size() const { return by_key_.size(); }  // those that nobody looks for any more too
  std::uint64_t bytes() const { return bytes_; }
  std::uint64_t forgotten() const { return forgotten_; }  // while they were known, for want of room
  /// Entries that a look-up goes through at most; goes through them all.
  std::size_t longest_look() const;

  /// Everything it knows; docs/storage-format.md has the bytes.
  void save(byte_writer& out) const;
  /// Into one that took nothing yet; unusable on failure. Bounds may be others than they were.
  /// Fails: corrupt.
  result<void> load(byte_reader& in);

 private:
  struct entry {
    schemas::hash128 key;
    std::uint64_t until_ms = 0;
    std::vector<std::byte> columns;
  };
  struct key_hash {
    std::uint64_t secret;
    std::size_t operator()(const schemas::hash128& key) const;
  };
  void add(entry made);
  void keep_bounds(std::uint64_t watermark_ms);
  void drop_oldest();

  bounds how_;
  std::deque<entry> entries_;  // in the order they came; by_key_ has those that count
  std::uint64_t first_ = 0;    // number of entries_[0]
  std::unordered_map<schemas::hash128, std::uint64_t, key_hash> by_key_;  // number of its entry
  std::uint64_t bytes_ = 0;
  std::uint64_t forgotten_ = 0;
};

}  // namespace headrace::worker
