#include "ps/cache/lru_policy.hpp"

namespace headrace::ps {

bool lru_policy::access(std::uint64_t key) {
  const std::uint32_t found = slots_.find(key);
  if (found != key_slots::none) {
    order_.move_to_front(links_, found);
    return true;
  }
  auto slot = static_cast<std::uint32_t>(slots_.size());
  if (slots_.size() == slots_.capacity()) {
    slot = order_.last();
    order_.remove(links_, slot);
    slots_.erase(slot);
  }
  slots_.insert(key, slot);
  order_.push_front(links_, slot);
  return false;
}

}  // namespace headrace::ps
