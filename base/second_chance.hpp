#pragma once

#include "base/key_slots.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace {

/// The keys a CLOCK keeps: a hand goes round over numbered places, each with a counter of uses
/// since the hand passed, saturating at `count_max`; the hand takes one from every counter it meets
/// and stops at the first that is 0. One bit is second chance (Corbató, 1968); the tables' rows
/// have two (ps/table/row_header.hpp).
///
/// O(1): a step of the hand is paid for by the use it takes back. Single-threaded.
class second_chance {
 public:
  static constexpr std::uint32_t none = key_slots::none;

  second_chance(std::size_t capacity, std::uint8_t count_max, std::uint64_t seed)
      : slots_(capacity, seed), counts_(capacity, 0), count_max_(count_max) {}

  std::size_t capacity() const { return slots_.capacity(); }
  std::size_t size() const { return slots_.size(); }
  bool full() const { return size() == capacity(); }
  std::size_t bytes() const { return slots_.bytes() + counts_.size(); }

  std::uint32_t find(std::uint64_t key) const { return slots_.find(key); }
  std::uint64_t key(std::uint32_t slot) const { return slots_.key(slot); }
  void touch(std::uint32_t slot) {
    counts_[slot] = std::min<std::uint8_t>(counts_[slot] + 1, count_max_);
  }

  /// Moves the hand to the next place that was not used and that `skip(slot)` does not spare, and
  /// returns it; at least one place must not be spared. Requires full().
  template <class Skip>
  std::uint32_t victim(Skip&& skip) {
    for (;; advance()) {
      if (skip(hand_)) continue;
      if (counts_[hand_] == 0) return hand_;
      --counts_[hand_];
    }
  }
  std::uint32_t victim() {
    return victim([](std::uint32_t) { return false; });
  }
  /// Takes the hand one place on.
  void advance() { hand_ = hand_ + 1 == capacity() ? 0 : hand_ + 1; }

  /// Puts `key`, which is not kept, into the next free place. Requires !full().
  std::uint32_t append(std::uint64_t key) {
    const auto slot = static_cast<std::uint32_t>(size());
    slots_.insert(key, slot);
    counts_[slot] = 0;
    return slot;
  }
  /// Puts `key`, which is not kept, in the place of the key there.
  void replace(std::uint32_t slot, std::uint64_t key) {
    slots_.erase(slot);
    slots_.insert(key, slot);
    counts_[slot] = 0;
  }
  /// Keeps `key`, which is not kept yet, in place of a victim when full; returns its place. The
  /// hand moves on, so that the newest key is looked at last.
  std::uint32_t install(std::uint64_t key) {
    if (!full()) return append(key);
    const std::uint32_t slot = victim();
    replace(slot, key);
    advance();
    return slot;
  }

 private:
  key_slots slots_;
  std::vector<std::uint8_t> counts_;
  std::uint8_t count_max_;
  std::uint32_t hand_ = 0;
};

}  // namespace headrace
