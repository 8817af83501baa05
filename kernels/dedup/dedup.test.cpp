#include "kernels/dedup/dedup.hpp"

#include "kernels/runtime/test_cases.hpp"
#include "tests/support/allocation_count.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <limits>

namespace headrace::kernels {
namespace {

struct dedup_result {
  std::vector<std::uint64_t> unique;
  std::vector<std::uint32_t> inverse;
  std::vector<std::uint32_t> counts;
  bool operator==(const dedup_result&) const = default;
};

void run(std::span<const std::uint64_t> keys, dedup_scratch& scratch, dedup_result& result) {
  dedup_cpu({.keys = keys,
             .scratch = scratch,
             .unique = result.unique,
             .inverse = result.inverse,
             .counts = result.counts});
}

dedup_result reference(std::span<const std::uint64_t> keys) {
  dedup_result result;
  dedup_scratch unused;
  dedup_ref({.keys = keys,
             .scratch = unused,
             .unique = result.unique,
             .inverse = result.inverse,
             .counts = result.counts});
  return result;
}

void expect_exact(std::span<const std::uint64_t> keys, dedup_scratch& scratch) {
  SCOPED_TRACE(std::to_string(keys.size()) + " keys, HEADRACE_SEED=" + std::to_string(test_seed()));
  dedup_result got;
  run(keys, scratch, got);
  ASSERT_TRUE(got == reference(keys));
}

/// Keys drawn from `distinct` values spread over 64 bits.
std::vector<std::uint64_t> drawn_keys(std::size_t n, std::uint64_t distinct, std::uint64_t seed) {
  random_stream random(seed);
  std::vector<std::uint64_t> keys(n);
  for (std::uint64_t& key : keys) key = mix64(seed ^ random.next_below(distinct));
  return keys;
}

/// Different keys whose hash (Fibonacci on key ^ key >> 32) is 0 in all but its low bits: all want
/// the first slot of any index.
std::vector<std::uint64_t> colliding_keys(std::size_t n) {
  std::uint64_t inverse = 1;  // of the multiplier modulo 2^64, by Newton's iteration
  for (int i = 0; i < 6; ++i) inverse *= 2 - 0x9E3779B97F4A7C15ULL * inverse;
  std::vector<std::uint64_t> keys(n);
  for (std::size_t i = 0; i < n; ++i) {
    const std::uint64_t folded = i * inverse;
    keys[i] = folded ^ (folded >> 32);
  }
  return keys;
}

TEST(DedupReference, ListsKeysAscendingWithPlacesAndCounts) {
  const std::vector<std::uint64_t> keys = {
      9, 3, 9, std::numeric_limits<std::uint64_t>::max(), 0, 9};
  const dedup_result result = reference(keys);
  EXPECT_EQ(result.unique, (std::vector<std::uint64_t>{0, 3, 9, keys[3]}));
  EXPECT_EQ(result.inverse, (std::vector<std::uint32_t>{2, 1, 2, 3, 0, 2}));
  EXPECT_EQ(result.counts, (std::vector<std::uint32_t>{1, 1, 3, 1}));
}

TEST(Dedup, EqualsTheReferenceForSizesAtEveryEdgeInOneScratch) {
  for_each_cpu_target([] {
    dedup_scratch scratch;
    std::uint64_t seed = test_seed();
    for (const std::size_t n : {0U,
                                1U,
                                2U,
                                3U,
                                8U,
                                31U,
                                32U,
                                33U,
                                63U,
                                64U,
                                65U,
                                1023U,
                                1024U,
                                1025U,
                                4096U,
                                20'001U,
                                5U,
                                0U,
                                300U}) {
      for (const std::uint64_t distinct :
           {std::uint64_t{1}, std::uint64_t{n / 4 + 1}, std::uint64_t{n + 1} << 20}) {
        expect_exact(drawn_keys(n, distinct, ++seed), scratch);
      }
    }
  });
}

TEST(Dedup, TakesTheSmallestAndTheLargestKey) {
  dedup_scratch scratch;
  constexpr std::uint64_t most = std::numeric_limits<std::uint64_t>::max();
  expect_exact(std::vector<std::uint64_t>{0}, scratch);
  expect_exact(std::vector<std::uint64_t>{most, 0, most, 0, most - 1, 1}, scratch);
  std::vector<std::uint64_t> keys(100, 0);
  for (std::size_t i = 0; i < keys.size(); i += 2) keys[i] = most - i;
  expect_exact(keys, scratch);
}

/// 1 to 8 keys share 16 slots, so keys that differ in few bits meet in one.
TEST(Dedup, TellsNeighbouringKeysApartInSmallTables) {
  dedup_scratch scratch;
  random_stream random(test_seed());
  for (int round = 0; round < 2000; ++round) {
    const std::uint64_t shift = 8 * random.next_below(8);
    std::vector<std::uint64_t> keys(1 + random.next_below(8));
    for (std::uint64_t& key : keys) key = random.next_below(256) << shift;
    expect_exact(keys, scratch);
  }
}

TEST(Dedup, TakesKeysInOrderInReverseAndAllEqual) {
  dedup_scratch scratch;
  std::vector<std::uint64_t> keys(5000);
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = i;
  expect_exact(keys, scratch);
  std::reverse(keys.begin(), keys.end());
  expect_exact(keys, scratch);
  for (std::uint64_t& key : keys) key <<= 40;  // differences in the high half only
  expect_exact(keys, scratch);
  std::fill(keys.begin(), keys.end(), 77);
  expect_exact(keys, scratch);
}

TEST(Dedup, EqualsTheReferenceForKeysChosenToCollide) {
  dedup_scratch scratch;
  expect_exact(colliding_keys(3000), scratch);
  std::vector<std::uint64_t> twice = colliding_keys(1500);
  const std::vector<std::uint64_t> again = colliding_keys(1500);
  twice.insert(twice.end(), again.begin(), again.end());
  expect_exact(twice, scratch);
  expect_exact(drawn_keys(3000, 700, test_seed()), scratch);  // the scratch is sound afterwards
}

double seconds(const std::function<void()>& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

/// Probing each key past all before it would be 5 * 10^9 steps here, hundreds of times the sort.
TEST(Dedup, CostsASortNotQuadraticTimeForKeysChosenToCollide) {
  const std::vector<std::uint64_t> keys = colliding_keys(100'000);
  dedup_scratch scratch;
  dedup_result result;
  const double sorting = seconds([&keys] { reference(keys); });
  EXPECT_LT(seconds([&] { run(keys, scratch, result); }), 20.0 * sorting);
}

TEST(Dedup, AllocatesNothingOnceItsBuffersHaveGrown) {
  dedup_scratch scratch;
  dedup_result result;
  const auto large = drawn_keys(5000, 1 << 20, test_seed());
  const auto attack = colliding_keys(5000);
  const auto small = drawn_keys(100, 50, test_seed() + 1);
  run(large, scratch, result);
  run(attack, scratch, result);
  const tests::allocation_count allocations;
  for (int round = 0; round < 3; ++round) {
    run(small, scratch, result);
    run(large, scratch, result);
    run(attack, scratch, result);
  }
  EXPECT_EQ(allocations.made(), 0U);
}

TEST(Dedup, MovesItsScratch) {
  dedup_scratch first;
  expect_exact(drawn_keys(500, 90, test_seed()), first);
  dedup_scratch second = std::move(first);
  expect_exact(drawn_keys(700, 90, test_seed()), second);
}

}  // namespace
}  // namespace headrace::kernels
