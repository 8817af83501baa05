#include "schemas/index_list.hpp"

#include "base/random.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <vector>

namespace headrace::schemas {
namespace {

constexpr std::uint64_t seed = 20'261'127;

/// k of n at random, ascending (Knuth vol. 2, algorithm 3.4.2S).
std::vector<std::uint32_t> choose(random_stream& random, std::uint64_t n, std::uint64_t k) {
  std::vector<std::uint32_t> chosen;
  for (std::uint64_t i = 0; i < n && chosen.size() < k; ++i) {
    if (random.next_below(n - i) < k - chosen.size())
      chosen.push_back(static_cast<std::uint32_t>(i));
  }
  return chosen;
}

std::vector<std::byte> packed(std::span<const std::uint32_t> indices, std::uint64_t n) {
  std::vector<std::byte> bytes(index_list_bytes(n, indices.size()), std::byte{0xAA});
  pack_indices(indices, n, bytes);
  return bytes;
}

TEST(IndexList, ComesBackWhateverIsChosen) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  random_stream random(seed);
  for (const std::uint64_t n : {0, 1, 2, 3, 7, 8, 9, 63, 64, 65, 1'000, 5'000}) {
    for (int round = 0; round < 40; ++round) {
      const auto indices = choose(random, n, random.next_below(n + 1));
      std::vector<std::uint32_t> back(indices.size(), 77);
      ASSERT_TRUE(unpack_indices(packed(indices, n), n, back)) << indices.size() << " of " << n;
      ASSERT_EQ(back, indices);
    }
  }
}

TEST(IndexList, TakesTheFirstAndTheLastOfFourMilliards) {
  const std::uint64_t n = UINT32_MAX;
  const std::vector<std::uint32_t> indices = {0, 1, UINT32_MAX - 1};
  std::vector<std::uint32_t> back(3);
  ASSERT_TRUE(unpack_indices(packed(indices, n), n, back));
  EXPECT_EQ(back, indices);
}

// Of 300 ways to set a byte of a list each gives another list or is refused.
TEST(IndexList, ChangedBytesAreRefusedOrAnotherListInOrder) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  random_stream random(seed + 1);
  constexpr std::uint64_t n = 999;
  const auto indices = choose(random, n, 50);
  const auto good = packed(indices, n);
  int refused = 0;
  for (int round = 0; round < 300; ++round) {
    auto bytes = good;
    bytes[random.next_below(bytes.size())] = static_cast<std::byte>(random.next());
    std::vector<std::uint32_t> back(indices.size());
    if (!unpack_indices(bytes, n, back)) {
      ++refused;
      continue;
    }
    EXPECT_EQ(packed(back, n), bytes) << "two ways to write one list";
    for (std::size_t i = 0; i < back.size(); ++i) {
      EXPECT_LT(back[i], n);
      if (i > 0) {
        EXPECT_LT(back[i - 1], back[i]);
      }
    }
  }
  EXPECT_GT(refused, 30);
}

TEST(IndexList, RefusesWhatIsEqualFallsOrLiesBehindTheEnd) {
  std::vector<std::uint32_t> back(2);
  // n = 8, k = 2: two low bits each, then the upper ones.
  const auto list = [](unsigned lows, unsigned high) {
    return std::vector<std::byte>{static_cast<std::byte>(lows), static_cast<std::byte>(high)};
  };
  EXPECT_TRUE(unpack_indices(list(0b1001, 0b101), 8, back));  // 1 and 6
  EXPECT_EQ(back, (std::vector<std::uint32_t>{1, 6}));
  EXPECT_FALSE(unpack_indices(list(0b0101, 0b011), 8, back));    // 1 and 1
  EXPECT_FALSE(unpack_indices(list(0b0010, 0b011), 8, back));    // 2 and 0
  EXPECT_FALSE(unpack_indices(list(0b1001, 0b1001), 8, back));   // 1 and 10
  EXPECT_FALSE(unpack_indices(list(0b1001, 0b001), 8, back));    // one only
  EXPECT_FALSE(unpack_indices(list(0b1001, 0b111), 8, back));    // three
  EXPECT_FALSE(unpack_indices(list(0b1'1001, 0b101), 8, back));  // a bit that is nobody's
  EXPECT_FALSE(unpack_indices(list(0b1001, 0b1'0101), 8, back));
}

TEST(IndexList, IsSmallerThanTheOtherWays) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  random_stream random(seed + 2);
  constexpr std::uint64_t n = 400'000;
  for (const double share : {0.05, 0.10}) {
    const auto k = static_cast<std::uint64_t>(share * n);
    const auto indices = choose(random, n, k);
    const double bits = 8.0 * static_cast<double>(index_list_bytes(n, k)) / static_cast<double>(k);
    double by_128 = 0.0;  // deltas, bit-packed by 128 behind a byte for their width
    for (std::size_t begin = 0; begin < k; begin += 128) {
      std::uint32_t largest = 0;
      const std::size_t end = std::min<std::size_t>(k, begin + 128);
      for (std::size_t i = begin; i < end; ++i)
        largest = std::max(largest, indices[i] - (i == 0 ? 0 : indices[i - 1]));
      by_128 += 8.0 + static_cast<double>(end - begin) * std::bit_width(largest);
    }
    const double packed_bits = by_128 / static_cast<double>(k);
    RecordProperty("bits_at_" + std::to_string(share), std::to_string(bits));
    std::printf("%.2f: %.2f bits an index, %.2f as deltas by 128, %.2f as a bitmap, 16 as u16\n",
                share,
                bits,
                packed_bits,
                1.0 / share);
    EXPECT_LT(bits, packed_bits);
    EXPECT_LT(bits, 1.0 / share);
  }
}

}  // namespace
}  // namespace headrace::schemas
