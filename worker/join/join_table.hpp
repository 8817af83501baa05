#pragma once

#include "schemas/hash.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace::worker {

enum class join_state : std::uint8_t {
  waiting = 0,  // an action whose impression has not come
  gone = 1,     // an action whose impression came; it only waits for its end
  pending = 2,  // an impression that is not decided
  decided = 3,  // one that is
};

/// What the joiner knows of one impression, or of one action that waits for it. 64 bytes.
struct join_entry {
  schemas::hash128 key;
  std::uint64_t time_ms = 0;
  std::uint64_t sequence = 0;  // of its coming
  std::uint64_t actions = 0;   // bits that count
  std::uint64_t behind = 0;    // bits that make a correction once it is decided
  std::uint32_t payload = UINT32_MAX;
  std::uint32_t previous =
      UINT32_MAX;  // of the actions that wait for one key; the first's: the last
  std::uint32_t next = UINT32_MAX;
  join_state state = join_state::waiting;
  std::uint8_t kind = 0;

  bool is_impression() const { return state >= join_state::pending; }
};

/// Entries by key. A key has one impression, or actions that wait for it in the order they came;
/// those that are gone have no key any more. Open addressing with linear probing, at most half
/// full; erasing moves what follows back. 64 bytes and 8 to 16 of the index an entry. Only where a
/// key stands in the index depends on `secret`.
class join_table {
 public:
  static constexpr std::uint32_t none = UINT32_MAX;

  explicit join_table(std::uint64_t secret);
  std::size_t size() const { return size_; }
  join_entry& at(std::uint32_t entry) { return entries_[entry]; }
  const join_entry& at(std::uint32_t entry) const { return entries_[entry]; }

  /// The impression of `key`, or the first action that waits for it, or none.
  std::uint32_t find(const schemas::hash128& key) const;
  /// An impression of a key that has nothing, or an action of one that has no impression, or one
  /// that is gone.
  std::uint32_t add(const join_entry& one);
  void remove(std::uint32_t entry);
  /// Takes the actions that wait for `key` from it, and gives the first: they are gone, and linked
  /// by `next`.
  std::uint32_t detach(const schemas::hash128& key);
  /// Slots that a look-up goes through at most; goes through them all.
  std::size_t longest_look() const;

 private:
  std::size_t home(const schemas::hash128& key) const;
  std::size_t slot_of(const schemas::hash128& key) const;  // that holds it, or the free one
  void erase(std::size_t slot);
  void grow();
  void append(std::uint32_t first, std::uint32_t entry);
  void unchain(std::uint32_t entry);

  std::uint64_t secret_;
  std::vector<join_entry> entries_;
  std::vector<std::uint32_t> free_;
  std::vector<std::uint32_t> index_;  // first entries of keys, by hash
  std::size_t mask_ = 0;
  std::size_t keys_ = 0;
  std::size_t size_ = 0;
};

}  // namespace headrace::worker
