#pragma once

#include "ps/cache/admitting_clock.hpp"
#include "ps/cache/cache_policy.hpp"
#include "ps/cache/use_history.hpp"

#include <unordered_map>

namespace headrace::ps {

/// CLOCK whose newcomers stay if their own record (ps/cache/use_history.hpp) beats the victim's:
/// what the tables do (ps/table/eviction.hpp). The records of all keys ever used stand for the rows
/// in DRAM and store; they cost a table nothing and are not in `bytes`. Unlike the other policies
/// it allocates with each new key.
class clock_history_policy final : public cache_policy {
 public:
  clock_history_policy(std::size_t capacity, std::uint64_t seed, std::uint8_t count_max = 3)
      : kept_(capacity, count_max, seed), half_life_(capacity * half_life_uses_per_entry) {}

  bool access(std::uint64_t key) override {
    ++now_;
    record& own = records_[key];
    const std::uint32_t known = standing_of(own) + 1;
    own.uses += own.uses < UINT32_MAX ? 1 : 0;
    own.last_use = now_;
    const std::uint32_t slot = kept_.find(key);
    if (slot == admitting_clock::none) {
      kept_.install(key, [&](std::uint64_t victim) {
        return known > standing_of(records_.find(victim)->second);
      });
      return false;
    }
    kept_.touch(slot);
    return true;
  }
  bool contains(std::uint64_t key) const override {
    return kept_.find(key) != admitting_clock::none;
  }
  std::size_t size() const override { return kept_.size(); }
  std::size_t bytes() const override { return kept_.bytes(); }

 private:
  struct record {
    std::uint32_t uses = 0;
    std::uint64_t last_use = 0;
  };
  std::uint32_t standing_of(const record& of) const {
    return standing(of.uses, now_ - of.last_use, half_life_);
  }

  admitting_clock kept_;
  std::unordered_map<std::uint64_t, record> records_;
  std::uint64_t half_life_;
  std::uint64_t now_ = 0;
};

}  // namespace headrace::ps
