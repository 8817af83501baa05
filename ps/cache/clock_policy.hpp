#pragma once

#include "base/second_chance.hpp"
#include "ps/cache/cache_policy.hpp"

namespace headrace::ps {

/// CLOCK with a counter of uses, 2 bits as in the tables' row headers; a new key starts at 0 and is
/// met by the hand one round later. 17 bytes an entry here; in a table 2 bits of a header that is
/// read anyway.
class clock_policy final : public cache_policy {
 public:
  clock_policy(std::size_t capacity, std::uint64_t seed, std::uint8_t count_max = 3)
      : kept_(capacity, count_max, seed) {}

  bool access(std::uint64_t key) override {
    const std::uint32_t slot = kept_.find(key);
    if (slot == second_chance::none) {
      kept_.install(key);
      return false;
    }
    kept_.touch(slot);
    return true;
  }
  bool contains(std::uint64_t key) const override { return kept_.find(key) != second_chance::none; }
  std::size_t size() const override { return kept_.size(); }
  std::size_t bytes() const override { return kept_.bytes(); }

 private:
  second_chance kept_;
};

}  // namespace headrace::ps
