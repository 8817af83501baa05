#include "worker/join/payload_pool.hpp"

#include "base/random.hpp"
#include "storage/memory_spill_store.hpp"

#include <gtest/gtest.h>

#include <cstddef>
#include <cstdint>
#include <map>
#include <vector>

namespace headrace::worker {
namespace {

using bytes = std::vector<std::byte>;

bytes some_bytes(std::uint64_t seed, std::size_t size) {
  bytes made(size);
  for (std::size_t i = 0; i < size; ++i)
    made[i] = static_cast<std::byte>(counter_draw(2, seed, i / 8) >> (i % 8 * 8));
  return made;
}

void expect_same(payload_pool& pool, const std::map<std::uint32_t, bytes>& model) {
  std::vector<std::uint32_t> places;
  for (const auto& [place, held] : model) places.push_back(place);
  std::size_t next = 0;
  const auto done = pool.read(places, [&](std::span<const std::byte> seen) {
    ASSERT_EQ(bytes(seen.begin(), seen.end()), model.at(places[next++]));
  });
  ASSERT_TRUE(done.ok());
  ASSERT_EQ(next, places.size());
}

// Adds, removes, fetches at random against a map; every few steps, everything is compared.
void is_a_map(std::uint64_t seed, std::uint64_t bytes_max, storage::memory_spill_store* store) {
  SCOPED_TRACE(seed);
  random_stream draw(seed);
  payload_pool pool(bytes_max, store);
  std::map<std::uint32_t, bytes> model;
  for (int step = 0; step < 3000; ++step) {
    const bool adds = draw.next_below(100) < (step / 500 % 2 == 0 ? 70 : 35);
    if (adds || model.empty()) {
      const std::size_t size =
          draw.next_below(40) == 0 ? draw.next_below(9000) : draw.next_below(300);
      const bytes fresh = some_bytes(draw.next(), size);
      ASSERT_TRUE(model.emplace(pool.add(fresh), fresh).second);
    } else {
      auto at = model.begin();
      std::advance(at, static_cast<std::ptrdiff_t>(draw.next_below(model.size())));
      if (draw.next_below(3) == 0) {
        const std::vector<std::uint32_t> wanted{at->first, model.begin()->first, at->first};
        ASSERT_TRUE(pool.fetch(wanted));
        for (const std::uint32_t place : wanted) {
          const auto seen = pool.get(place);
          ASSERT_EQ(bytes(seen.begin(), seen.end()), model.at(place));
        }
      } else {
        pool.remove(at->first);
        model.erase(at);
      }
    }
    if (step % 300 == 0) expect_same(pool, model);
  }
  expect_same(pool, model);
  for (const auto& [place, held] : model) pool.remove(place);
  EXPECT_EQ(pool.bytes_used(), 0U);
  EXPECT_EQ(pool.spilled(), 0U);
}

TEST(PayloadPool, IsAMapFromPlaces) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) is_a_map(seed, 0, nullptr);
}

TEST(PayloadPool, IsAMapFromPlacesThoughMostIsSpilled) {
  std::uint64_t written = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    storage::memory_spill_store store;
    is_a_map(seed, 6000, &store);
    written += store.written();
  }
  EXPECT_GT(written, 1000U);
}

// One of a hundred stays: blocks are emptied, or each would hold a block for itself.
TEST(PayloadPool, HoldsTwiceWhatItNeedsAndAFewBlocks) {
  payload_pool pool(0, nullptr);
  std::map<std::uint32_t, bytes> kept;
  const bytes one = some_bytes(1, 1000);
  for (int i = 0; i < 100'000; ++i) {
    const std::uint32_t place = pool.add(one);
    if (i % 100 == 0) {
      kept.emplace(place, one);
    } else {
      pool.remove(place);
    }
    ASSERT_LE(pool.bytes_in_memory(), 2 * pool.bytes_used() + (6U << 20));
  }
  expect_same(pool, kept);
}

TEST(PayloadPool, KeepsToItsBudgetWithAStore) {
  storage::memory_spill_store store;
  payload_pool pool(1 << 20, &store);
  const bytes one = some_bytes(1, 300);
  for (int i = 0; i < 30'000; ++i) {
    pool.add(one);
    ASSERT_LE(pool.bytes_in_memory(), (1U << 20) + (1U << 16));
  }
  EXPECT_GT(pool.spilled(), 26'000U);
  EXPECT_EQ(pool.spilled(), store.held());
}

}  // namespace
}  // namespace headrace::worker
