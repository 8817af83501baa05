#pragma once

#include "base/key_slots.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace::ps {

/// Neighbours of numbered places, for lists that a place is in at most one of. 8 bytes a place.
struct slot_links {
  explicit slot_links(std::size_t places) : previous(places), next(places) {}
  std::size_t bytes() const { return (previous.size() + next.size()) * sizeof(std::uint32_t); }

  std::vector<std::uint32_t> previous;
  std::vector<std::uint32_t> next;
};

/// Places in order of use, the latest first. Every call is given the links its places live in.
class slot_list {
 public:
  static constexpr std::uint32_t none = key_slots::none;

  std::size_t size() const { return size_; }
  /// The place whose use is longest ago; none when empty.
  std::uint32_t last() const { return last_; }

  void push_front(slot_links& links, std::uint32_t slot) {
    links.previous[slot] = none;
    links.next[slot] = first_;
    (first_ == none ? last_ : links.previous[first_]) = slot;
    first_ = slot;
    ++size_;
  }
  void remove(slot_links& links, std::uint32_t slot) {
    const std::uint32_t before = links.previous[slot];
    const std::uint32_t after = links.next[slot];
    (before == none ? first_ : links.next[before]) = after;
    (after == none ? last_ : links.previous[after]) = before;
    --size_;
  }
  void move_to_front(slot_links& links, std::uint32_t slot) {
    remove(links, slot);
    push_front(links, slot);
  }

 private:
  std::uint32_t first_ = none;
  std::uint32_t last_ = none;
  std::size_t size_ = 0;
};

}  // namespace headrace::ps
