#pragma once

#include "ps/cache/admitting_clock.hpp"
#include "ps/cache/cache_policy.hpp"
#include "ps/cache/frequency_sketch.hpp"

namespace headrace::ps {

/// CLOCK whose newcomers stay if a frequency sketch knows them better than the victim: TinyLFU for
/// a table. 26 bytes an entry here; in a table the sketch's 8 and an access to one more cache line
/// a use.
class clock_sketch_policy final : public cache_policy {
 public:
  clock_sketch_policy(std::size_t capacity, std::uint64_t seed, std::uint8_t count_max = 3)
      : kept_(capacity, count_max, seed), frequency_(capacity, mix64(seed)) {}

  bool access(std::uint64_t key) override {
    const std::uint32_t known = frequency_.add(key);
    const std::uint32_t slot = kept_.find(key);
    if (slot == admitting_clock::none) {
      kept_.install(key, [&](std::uint64_t victim) { return known > frequency_.estimate(victim); });
      return false;
    }
    kept_.touch(slot);
    return true;
  }
  bool contains(std::uint64_t key) const override {
    return kept_.find(key) != admitting_clock::none;
  }
  std::size_t size() const override { return kept_.size(); }
  std::size_t bytes() const override { return kept_.bytes() + frequency_.bytes(); }

 private:
  admitting_clock kept_;
  frequency_sketch frequency_;
};

}  // namespace headrace::ps
