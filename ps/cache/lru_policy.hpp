#pragma once

#include "base/key_slots.hpp"
#include "ps/cache/cache_policy.hpp"
#include "ps/cache/slot_list.hpp"

namespace headrace::ps {

/// Keeps the keys used last: the yardstick. 24 bytes an entry.
class lru_policy final : public cache_policy {
 public:
  lru_policy(std::size_t capacity, std::uint64_t seed) : slots_(capacity, seed), links_(capacity) {}

  bool access(std::uint64_t key) override;
  bool contains(std::uint64_t key) const override { return slots_.find(key) != key_slots::none; }
  std::size_t size() const override { return slots_.size(); }
  std::size_t bytes() const override { return slots_.bytes() + links_.bytes(); }

 private:
  key_slots slots_;
  slot_links links_;
  slot_list order_;
};

}  // namespace headrace::ps
