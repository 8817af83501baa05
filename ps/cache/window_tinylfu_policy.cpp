#include "ps/cache/window_tinylfu_policy.hpp"

#include "base/random.hpp"

#include <algorithm>

namespace headrace::ps {

window_tinylfu_policy::window_tinylfu_policy(std::size_t capacity, std::uint64_t seed)
    : window_max_(std::max<std::size_t>(1, capacity / 100)),
      protected_max_((capacity - window_max_) * 4 / 5),
      slots_(capacity, seed),
      links_(capacity),
      segment_(capacity, window),
      frequency_(capacity, mix64(seed)) {}

std::size_t window_tinylfu_policy::bytes() const {
  return slots_.bytes() + links_.bytes() + segment_.size() + frequency_.bytes();
}

void window_tinylfu_policy::move(std::uint32_t slot, segment to) {
  lists_[segment_[slot]].remove(links_, slot);
  lists_[to].push_front(links_, slot);
  segment_[slot] = to;
}

void window_tinylfu_policy::on_hit(std::uint32_t slot) {
  move(slot, segment_[slot] == window ? window : protected_part);
  if (lists_[protected_part].size() > protected_max_) {
    move(lists_[protected_part].last(), probation);
  }
}

std::uint32_t window_tinylfu_policy::free_place() {
  if (lists_[window].size() >= window_max_ && slots_.size() < slots_.capacity()) {
    move(lists_[window].last(), probation);  // the main part has room
  }
  if (slots_.size() < slots_.capacity()) return static_cast<std::uint32_t>(slots_.size());

  const std::uint32_t candidate = lists_[window].last();
  const bool has_probation = lists_[probation].size() > 0;
  const std::uint32_t victim = lists_[has_probation ? probation : protected_part].last();
  std::uint32_t loser = candidate;
  if (victim != slot_list::none &&
      frequency_.estimate(slots_.key(candidate)) > frequency_.estimate(slots_.key(victim))) {
    move(candidate, probation);
    loser = victim;
  }
  lists_[segment_[loser]].remove(links_, loser);
  slots_.erase(loser);
  return loser;
}

bool window_tinylfu_policy::access(std::uint64_t key) {
  frequency_.add(key);
  const std::uint32_t found = slots_.find(key);
  if (found != key_slots::none) {
    on_hit(found);
    return true;
  }
  const std::uint32_t slot = free_place();
  slots_.insert(key, slot);
  segment_[slot] = window;
  lists_[window].push_front(links_, slot);
  return false;
}

}  // namespace headrace::ps
