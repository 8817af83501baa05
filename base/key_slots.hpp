#pragma once

#include "base/check.hpp"
#include "base/random.hpp"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace {

/// Keys in numbered places: finds the place of a key, and knows the key of a place. For caches of a
/// fixed number of entries that keep what else they know of an entry in arrays beside it.
///
/// Open addressing, linear probing, at most half full, 16 bytes an entry; erasing moves what
/// follows back, so there are no tombstones. The seed makes a flood of keys with one hash
/// unpredictable. Single-threaded; nothing is allocated after construction.
class key_slots {
 public:
  static constexpr std::uint32_t none = UINT32_MAX;

  /// 1 ≤ entries_max < 2^31.
  key_slots(std::size_t entries_max, std::uint64_t seed)
      : keys_(entries_max), index_(std::bit_ceil(entries_max * 2), none), seed_(seed) {
    CHECK(entries_max >= 1);
    CHECK(entries_max < (std::size_t{1} << 31));
    mask_ = index_.size() - 1;
  }

  std::size_t capacity() const { return keys_.size(); }
  std::size_t size() const { return size_; }
  std::size_t bytes() const { return keys_.size() * 8 + index_.size() * 4; }
  /// The key of a place that holds one.
  std::uint64_t key(std::uint32_t slot) const { return keys_[slot]; }

  /// The place of `key`, or none.
  std::uint32_t find(std::uint64_t key) const {
    for (std::size_t at = home(key);; at = (at + 1) & mask_) {
      if (index_[at] == none || keys_[index_[at]] == key) return index_[at];
    }
  }
  /// Puts `key`, which is in no place, into the free place `slot` < capacity.
  void insert(std::uint64_t key, std::uint32_t slot) {
    CHECK(slot < keys_.size());
    CHECK(size_ < keys_.size());
    std::size_t at = home(key);
    while (index_[at] != none) at = (at + 1) & mask_;
    index_[at] = slot;
    keys_[slot] = key;
    ++size_;
  }
  /// Frees a place that holds a key.
  void erase(std::uint32_t slot) {
    std::size_t hole = home(keys_[slot]);
    while (index_[hole] != slot) {
      CHECK(index_[hole] != none);
      hole = (hole + 1) & mask_;
    }
    for (std::size_t at = (hole + 1) & mask_; index_[at] != none; at = (at + 1) & mask_) {
      // An entry may move back to the hole unless its home lies behind the hole.
      const std::size_t from_home = (at - home(keys_[index_[at]])) & mask_;
      if (from_home < ((at - hole) & mask_)) continue;
      index_[hole] = index_[at];
      hole = at;
    }
    index_[hole] = none;
    --size_;
  }

 private:
  std::size_t home(std::uint64_t key) const { return mix64(key ^ seed_) & mask_; }

  std::vector<std::uint64_t> keys_;   // by place
  std::vector<std::uint32_t> index_;  // places, by hash
  std::size_t mask_ = 0;
  std::uint64_t seed_;
  std::size_t size_ = 0;
};

}  // namespace headrace
