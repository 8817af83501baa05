#pragma once

#include "base/key_slots.hpp"
#include "ps/cache/cache_policy.hpp"
#include "ps/cache/frequency_sketch.hpp"
#include "ps/cache/slot_list.hpp"

#include <array>
#include <vector>

namespace headrace::ps {

/// W-TinyLFU (Einziger, Friedman, Manes, ACM ToS 2017): new keys pass through an LRU window of 1 %
/// of the entries; what falls out of it is admitted to the main part only if a frequency sketch
/// knows it better than the main part's victim. The main part is a segmented LRU: a key that is
/// used again there is protected, at most 80 % of it are. 33 bytes an entry.
class window_tinylfu_policy final : public cache_policy {
 public:
  window_tinylfu_policy(std::size_t capacity, std::uint64_t seed);

  bool access(std::uint64_t key) override;
  bool contains(std::uint64_t key) const override { return slots_.find(key) != key_slots::none; }
  std::size_t size() const override { return slots_.size(); }
  std::size_t bytes() const override;

 private:
  enum segment : std::uint8_t { window, probation, protected_part };

  void move(std::uint32_t slot, segment to);
  void on_hit(std::uint32_t slot);
  /// A free place; when full, that of the candidate or the victim, whichever is known less.
  std::uint32_t free_place();

  std::size_t window_max_;
  std::size_t protected_max_;
  key_slots slots_;
  slot_links links_;
  std::vector<segment> segment_;  // by place
  std::array<slot_list, 3> lists_;
  frequency_sketch frequency_;
};

}  // namespace headrace::ps
