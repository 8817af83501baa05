#pragma once

#include "base/second_chance.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace headrace::ps {

/// A CLOCK that takes every newcomer in, as a table must, but lets it stay only if it is known
/// better than the key it would replace.
///
/// Where it is not, the newcomer becomes a *first victim*: the hand passes it by, and first victims
/// make room for each other, oldest first, while the key the hand pointed at stays. So a stream of
/// keys used once washes through a tenth of the entries and leaves the others alone. TinyLFU's
/// admission (docs/caching.md) for a cache that cannot refuse; in a table, ps/table/eviction.hpp.
/// O(1) amortised; single-threaded.
class admitting_clock {
 public:
  static constexpr std::uint32_t none = second_chance::none;
  /// Measured: smaller ones lose on the real traces, larger ones on Zipf batches
  /// (bench/cache_traces).
  static constexpr std::size_t entries_per_first_victim = 10;

  admitting_clock(std::size_t capacity, std::uint8_t count_max, std::uint64_t seed)
      : kept_(capacity, count_max, seed),
        first_victims_(
            std::min(std::max<std::size_t>(1, capacity / entries_per_first_victim), capacity - 1)),
        spared_(capacity, false) {}

  std::size_t size() const { return kept_.size(); }
  std::size_t bytes() const {
    return kept_.bytes() + first_victims_.size() * sizeof(std::uint32_t) + spared_.size() / 8;
  }
  std::uint32_t find(std::uint64_t key) const { return kept_.find(key); }
  void touch(std::uint32_t slot) { kept_.touch(slot); }

  /// Takes in `key`, which is not kept. `beats(victim)` says whether it is known better than the
  /// key `victim`; asked only when full.
  template <class Beats>
  void install(std::uint64_t key, Beats&& beats) {
    if (!kept_.full()) {
      kept_.append(key);
      return;
    }
    const std::uint32_t victim = kept_.victim([this](std::uint32_t at) { return spared_[at]; });
    const bool stays = first_victims_.empty() || beats(kept_.key(victim));
    if (stays || marked_ < first_victims_.size()) {
      kept_.replace(victim, key);
      kept_.advance();
      if (!stays) mark(victim);
      return;
    }
    kept_.replace(first_victims_[oldest_], key);  // and is the newest first victim now
    oldest_ = oldest_ + 1 == first_victims_.size() ? 0 : oldest_ + 1;
  }

 private:
  void mark(std::uint32_t slot) {
    first_victims_[marked_++] = slot;
    spared_[slot] = true;
  }

  second_chance kept_;
  std::vector<std::uint32_t> first_victims_;  // a ring once full
  std::vector<bool> spared_;                  // by place: the hand passes it by
  std::size_t marked_ = 0;
  std::size_t oldest_ = 0;
};

}  // namespace headrace::ps
