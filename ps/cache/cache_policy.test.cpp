#include "ps/cache/cache_policy.hpp"

#include "base/key_slots.hpp"
#include "base/random.hpp"
#include "base/zipf.hpp"
#include "ps/cache/clock_policy.hpp"
#include "ps/cache/frequency_sketch.hpp"
#include "ps/cache/use_history.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <list>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

namespace headrace::ps {
namespace {

std::uint64_t test_seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 10) : 20251125;
}

std::size_t hits_of(cache_policy& policy, const std::vector<std::uint64_t>& keys) {
  return static_cast<std::size_t>(
      std::count_if(keys.begin(), keys.end(), [&](auto key) { return policy.access(key); }));
}

std::vector<std::uint64_t> skewed_keys(std::size_t count, std::uint64_t rows, std::uint64_t seed) {
  const zipf_rejection_inversion draw(0.99, rows);
  random_stream random(seed);
  std::vector<std::uint64_t> keys(count);
  for (auto& key : keys) key = mix64(draw(random));
  return keys;
}

/// LRU as one would write it without a thought for speed.
class plain_lru {
 public:
  explicit plain_lru(std::size_t capacity) : capacity_(capacity) {}
  bool access(std::uint64_t key) {
    const auto found = std::find(keys_.begin(), keys_.end(), key);
    const bool hit = found != keys_.end();
    if (hit) keys_.erase(found);
    keys_.push_front(key);
    if (keys_.size() > capacity_) keys_.pop_back();
    return hit;
  }

 private:
  std::size_t capacity_;
  std::list<std::uint64_t> keys_;
};

/// CLOCK likewise.
class plain_clock {
 public:
  plain_clock(std::size_t capacity, int count_max) : capacity_(capacity), count_max_(count_max) {}
  bool access(std::uint64_t key) {
    for (auto& [held, count] : ring_) {
      if (held != key) continue;
      count = std::min(count + 1, count_max_);
      return true;
    }
    if (ring_.size() < capacity_) {
      ring_.push_back({key, 0});
      return false;
    }
    while (ring_[hand_].second > 0) {
      --ring_[hand_].second;
      hand_ = (hand_ + 1) % capacity_;
    }
    ring_[hand_] = {key, 0};
    hand_ = (hand_ + 1) % capacity_;
    return false;
  }

 private:
  std::size_t capacity_;
  int count_max_;
  std::vector<std::pair<std::uint64_t, int>> ring_;
  std::size_t hand_ = 0;
};

TEST(KeySlots, FindWhatAMapFindsThroughRandomInsertsAndErasures) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  random_stream random(seed);
  for (const std::size_t capacity : {1, 2, 3, 64, 100}) {
    key_slots slots(capacity, random.next());
    std::unordered_map<std::uint64_t, std::uint32_t> model;
    std::vector<std::uint32_t> free;
    for (std::uint32_t i = 0; i < capacity; ++i) free.push_back(i);
    for (int step = 0; step < 20'000; ++step) {
      const std::uint64_t key = random.next_below(capacity * 2);
      const auto held = model.find(key);
      ASSERT_EQ(slots.find(key), held == model.end() ? key_slots::none : held->second);
      if (held != model.end() && random.next_below(2) == 0) {
        slots.erase(held->second);
        free.push_back(held->second);
        model.erase(held);
      } else if (held == model.end() && !free.empty()) {
        slots.insert(key, free.back());
        ASSERT_EQ(slots.key(free.back()), key);
        model.emplace(key, free.back());
        free.pop_back();
      }
      ASSERT_EQ(slots.size(), model.size());
    }
  }
}

TEST(FrequencySketch, NeverCountsLessThanThereWasBeforeTheSweep) {
  frequency_sketch sketch(1000, 7);
  for (std::uint64_t key = 0; key < 300; ++key) {
    for (std::uint64_t use = 0; use <= key % 20; ++use) sketch.add(key);
  }
  // 3150 uses of a period of 10,000: a third of the counters may have been halved once.
  std::size_t halved = 0;
  for (std::uint64_t key = 0; key < 300; ++key) {
    const auto uses = static_cast<std::uint32_t>(std::min<std::uint64_t>(15, key % 20 + 1));
    const std::uint32_t known = sketch.estimate(key);
    EXPECT_LE(known, 15U);
    EXPECT_GE(known, uses / 2) << key;
    halved += known < uses ? 1 : 0;
  }
  EXPECT_LT(halved, 150U);
}

TEST(FrequencySketch, ForgetsWhatIsNotUsedAnyMore) {
  frequency_sketch sketch(512, 7);
  for (int use = 0; use < 40; ++use) sketch.add(1);
  ASSERT_GE(sketch.estimate(1), 14U);
  for (int use = 0; use < 5 * 5120; ++use) sketch.add(2);
  EXPECT_EQ(sketch.estimate(1), 0U);
  EXPECT_GE(sketch.estimate(2), 14U);
}

TEST(UseHistory, HalvesWithEveryHalfLifeOfIdleness) {
  EXPECT_EQ(standing(11, 0, 50), 11U);
  EXPECT_EQ(standing(11, 49, 50), 11U);
  EXPECT_EQ(standing(11, 50, 50), 5U);
  EXPECT_EQ(standing(11, 200, 50), 0U);
  EXPECT_EQ(standing(16, 0, 50), 15U);
  EXPECT_EQ(standing(UINT32_MAX, 50 * 3, 50), 1U);
  EXPECT_EQ(standing(UINT32_MAX, UINT64_MAX, 1), 0U);
  EXPECT_EQ(standing(7, 1'000'000, 0), 7U);  // no half-life, no forgetting
}

TEST(CachePolicy, LruHitsWhatAPlainListHits) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  for (const std::size_t capacity : {1, 2, 7, 100}) {
    const auto policy = make_cache_policy(cache_policy_kind::lru, capacity, seed);
    plain_lru model(capacity);
    for (const auto key : skewed_keys(20'000, 400, seed))
      ASSERT_EQ(policy->access(key), model.access(key));
  }
}

TEST(CachePolicy, ClockHitsWhatAPlainRingHitsForEveryWidthOfCounter) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  for (const int count_max : {0, 1, 3, 7}) {
    for (const std::size_t capacity : {1, 2, 7, 100}) {
      clock_policy policy(capacity, seed, static_cast<std::uint8_t>(count_max));
      plain_clock model(capacity, count_max);
      for (const auto key : skewed_keys(20'000, 400, seed))
        ASSERT_EQ(policy.access(key), model.access(key)) << count_max << " " << capacity;
    }
  }
}

TEST(CachePolicy, KeepsNoMoreThanItMayAndHitsExactlyWhatItKeeps) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  for (const auto kind : cache_policy_kinds) {
    for (const std::size_t capacity : {1, 2, 3, 10, 99, 250}) {
      const auto policy = make_cache_policy(kind, capacity, seed);
      for (const auto key : skewed_keys(20'000, 500, seed + capacity)) {
        const bool kept = policy->contains(key);
        ASSERT_EQ(policy->access(key), kept) << name(kind);
        ASSERT_TRUE(policy->contains(key)) << name(kind) << ": a table must take a row in";
        ASSERT_LE(policy->size(), capacity) << name(kind);
      }
      ASSERT_EQ(policy->size(), capacity) << name(kind);
    }
  }
}

TEST(CachePolicy, MissesOnlyFirstUsesWhenEverythingFits) {
  for (const auto kind : cache_policy_kinds) {
    const auto policy = make_cache_policy(kind, 500, 1);
    std::vector<std::uint64_t> keys;
    for (int round = 0; round < 5; ++round) {
      for (std::uint64_t key = 0; key < 500; ++key) keys.push_back(key);
    }
    EXPECT_EQ(hits_of(*policy, keys), 2000U) << name(kind);
  }
}

TEST(CachePolicy, AdmissionKeepsTheHotKeysThroughAScanThatClearsLru) {
  std::vector<std::uint64_t> warm;
  for (int round = 0; round < 8; ++round) {
    for (std::uint64_t key = 0; key < 800; ++key) warm.push_back(key);
  }
  for (const auto kind : cache_policy_kinds) {
    const auto policy = make_cache_policy(kind, 1000, 1);
    hits_of(*policy, warm);
    for (std::uint64_t key = 0; key < 6000; ++key) policy->access(1'000'000 + key);
    std::size_t kept = 0;
    for (std::uint64_t key = 0; key < 800; ++key) kept += policy->contains(key) ? 1 : 0;
    const bool admits = kind == cache_policy_kind::clock_sketch ||
                        kind == cache_policy_kind::clock_history ||
                        kind == cache_policy_kind::window_tinylfu;
    if (admits) {
      EXPECT_GE(kept, 700U) << name(kind);
    } else {
      EXPECT_EQ(kept, 0U) << name(kind);
    }
  }
}

TEST(CachePolicy, WhatIsHotNowReplacesWhatWasHotOnce) {
  for (const auto kind : cache_policy_kinds) {
    const auto policy = make_cache_policy(kind, 1000, 1);
    const auto former = skewed_keys(100'000, 5000, 1);
    auto current = skewed_keys(100'000, 5000, 2);
    for (auto& key : current) key = ~key;
    hits_of(*policy, former);
    hits_of(*policy, current);
    const std::size_t settled = hits_of(*policy, current);
    const auto fresh = make_cache_policy(kind, 1000, 1);
    hits_of(*fresh, current);
    const std::size_t never_knew = hits_of(*fresh, current);
    EXPECT_GT(static_cast<double>(settled), 0.98 * static_cast<double>(never_knew)) << name(kind);
  }
}

TEST(CachePolicy, AdmissionIsAsGoodAsWindowTinyLfuOnASkewedStream) {
  const auto keys = skewed_keys(400'000, 50'000, 3);
  std::vector<std::size_t> hits;
  for (const auto kind : cache_policy_kinds)
    hits.push_back(hits_of(*make_cache_policy(kind, 2500, 1), keys));
  const auto share = [&](cache_policy_kind kind) {
    return static_cast<double>(hits[static_cast<std::size_t>(kind)]) /
           static_cast<double>(keys.size());
  };
  const double best = share(cache_policy_kind::window_tinylfu);
  EXPECT_GT(share(cache_policy_kind::clock_history), best - 0.01);
  EXPECT_GT(share(cache_policy_kind::clock_sketch), best - 0.01);
  EXPECT_GT(best, share(cache_policy_kind::clock) + 0.01);
  EXPECT_GT(share(cache_policy_kind::clock), share(cache_policy_kind::lru) + 0.01);
}

TEST(CachePolicy, SameSeedAndStreamGiveTheSameHits) {
  const auto keys = skewed_keys(50'000, 5000, 9);
  for (const auto kind : cache_policy_kinds) {
    const auto one = make_cache_policy(kind, 300, 4);
    const auto other = make_cache_policy(kind, 300, 4);
    for (const auto key : keys) ASSERT_EQ(one->access(key), other->access(key)) << name(kind);
  }
}

}  // namespace
}  // namespace headrace::ps
