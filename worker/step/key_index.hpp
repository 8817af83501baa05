#pragma once

#include "base/random.hpp"

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace headrace::worker {

/// Numbers row keys 0, 1, 2 … in the order they are first seen.
///
/// Open addressing with linear probes, at most three quarters full; 12 to 24 bytes a key and about
/// 10 ns a look-up in cache, against 40 bytes and 60 ns of std::unordered_map: every occurrence of
/// every batch passes here before the freeze. Fewer than 2^32 − 1 keys. Keys come from our own
/// batches, so their hash needs no secret.
class key_index {
 public:
  static constexpr std::uint32_t absent = UINT32_MAX;

  /// The key's number, and whether it is new.
  std::pair<std::uint32_t, bool> insert(std::uint64_t key) {
    if ((keys_.size() + 1) * 4 > slots_.size() * 3) grow();
    const std::size_t at = find_slot(key);
    if (slots_[at] != absent) return {slots_[at], false};
    slots_[at] = static_cast<std::uint32_t>(keys_.size());
    keys_.push_back(key);
    return {slots_[at], true};
  }

  /// The key's number, or `absent`.
  std::uint32_t find(std::uint64_t key) const {
    return slots_.empty() ? absent : slots_[find_slot(key)];
  }

  /// Asks for what looking up keys[i + 2 * ahead] and then keys[i + ahead] will read: a large
  /// index is two cache misses a key otherwise. Call it for each i before that look-up. (The empty
  /// statement: kernels/runtime/prefetch.hpp.)
  void prefetch(std::span<const std::uint64_t> keys, std::size_t i) const {
    constexpr std::size_t ahead = 12;
    asm volatile("");
    if (slots_.empty()) return;
    const std::size_t mask = slots_.size() - 1;
    if (i + 2 * ahead < keys.size()) __builtin_prefetch(&slots_[mix64(keys[i + 2 * ahead]) & mask]);
    if (i + ahead >= keys.size()) return;
    const std::uint32_t number = slots_[mix64(keys[i + ahead]) & mask];
    if (number != absent) __builtin_prefetch(&keys_[number]);
  }

  std::span<const std::uint64_t> keys() const { return keys_; }
  std::size_t size() const { return keys_.size(); }
  std::size_t bytes() const {
    return keys_.capacity() * sizeof(std::uint64_t) + slots_.size() * sizeof(std::uint32_t);
  }

 private:
  // Where the key is, or the free slot where it belongs.
  std::size_t find_slot(std::uint64_t key) const {
    const std::size_t mask = slots_.size() - 1;
    std::size_t at = mix64(key) & mask;
    while (slots_[at] != absent && keys_[slots_[at]] != key) at = (at + 1) & mask;
    return at;
  }

  void grow() {
    slots_.assign(slots_.empty() ? 64 : slots_.size() * 2, absent);
    for (std::uint32_t i = 0; i < keys_.size(); ++i) slots_[find_slot(keys_[i])] = i;
  }

  std::vector<std::uint64_t> keys_;
  std::vector<std::uint32_t> slots_;  // a power of two; numbers of keys
};

}  // namespace headrace::worker
