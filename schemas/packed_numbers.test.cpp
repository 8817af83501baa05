#include "schemas/packed_numbers.hpp"

#include "base/random.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace headrace::schemas {
namespace {

constexpr std::uint64_t seed = 20'261'127;
constexpr std::uint64_t most = ~std::uint64_t{0};

std::vector<std::byte> packed(const std::vector<std::uint64_t>& keys) {
  std::vector<std::byte> bytes;
  pack_keys(keys, bytes);
  return bytes;
}

std::vector<std::byte> packed_counts(const std::vector<std::uint32_t>& counts) {
  std::vector<std::byte> bytes;
  pack_counts(counts, bytes);
  return bytes;
}

std::vector<std::byte> bytes_of(std::initializer_list<unsigned> values) {
  std::vector<std::byte> bytes;
  for (const unsigned value : values) bytes.push_back(static_cast<std::byte>(value));
  return bytes;
}

TEST(PackedKeys, ComeBackFromEveryKindOfTable) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  random_stream random(seed);
  for (const unsigned bits : {1U, 3U, 8U, 20U, 40U, 64U}) {
    for (int round = 0; round < 50; ++round) {
      std::vector<std::uint64_t> keys(random.next_below(70));
      for (auto& key : keys) key = random.next() >> (64 - bits);
      std::sort(keys.begin(), keys.end());
      keys.erase(std::unique(keys.begin(), keys.end()), keys.end());
      std::vector<std::uint64_t> back(keys.size());
      ASSERT_TRUE(unpack_keys(packed(keys), back));
      ASSERT_EQ(back, keys);
    }
  }
  std::vector<std::uint64_t> back(2);
  ASSERT_TRUE(unpack_keys(packed({0, most}), back));
  EXPECT_EQ(back, (std::vector<std::uint64_t>{0, most}));
}

TEST(PackedKeys, OfAWholeMatrixTakeHalfAByteEach) {
  std::vector<std::uint64_t> keys(300);
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = i;
  EXPECT_EQ(packed(keys).size(), 150U);
}

TEST(PackedKeys, RefusesWhatGoesAroundTooLongAndTooShort) {
  std::vector<std::uint64_t> back(2);
  EXPECT_TRUE(unpack_keys(bytes_of({0x10, 5}), back));  // 0 and 6
  EXPECT_EQ(back[1], 6U);
  EXPECT_FALSE(unpack_keys(bytes_of({0x10}), back));        // its byte is missing
  EXPECT_FALSE(unpack_keys(bytes_of({0x10, 5, 0}), back));  // a rest
  EXPECT_FALSE(unpack_keys(bytes_of({0x90, 1, 1, 1, 1, 1, 1, 1, 1, 1}), back));
  EXPECT_FALSE(unpack_keys({}, back));
  auto wraps = packed({most - 1, most});
  wraps[0] = std::byte{0x18};  // the second is 2 further
  wraps.push_back(std::byte{1});
  EXPECT_FALSE(unpack_keys(wraps, back));
  back.resize(1);
  EXPECT_FALSE(unpack_keys(bytes_of({0x10}), back)) << "a length that is nobody's";
}

TEST(PackedCounts, ComeBackAndTakeHalfAByteWhereAllAreOne) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  random_stream random(seed + 1);
  for (int round = 0; round < 100; ++round) {
    std::vector<std::uint32_t> counts(random.next_below(40));
    for (auto& count : counts)
      count = static_cast<std::uint32_t>(random.next() >> random.next_below(64));
    std::vector<std::uint32_t> back(counts.size());
    ASSERT_TRUE(unpack_counts(packed_counts(counts), back));
    ASSERT_EQ(back, counts);
  }
  EXPECT_EQ(packed_counts(std::vector<std::uint32_t>(256, 128)).size(), 4U + 128U);
}

TEST(PackedCounts, RefusesWhatDoesNotFitOrIsNotThere) {
  std::vector<std::uint32_t> back(1);
  EXPECT_TRUE(unpack_counts(bytes_of({0xFF, 0xFF, 0xFF, 0xFF, 0}), back));
  EXPECT_FALSE(unpack_counts(bytes_of({0xFF, 0xFF, 0xFF, 0xFF, 1, 1}), back));
  EXPECT_FALSE(unpack_counts(bytes_of({1, 0}), back));
  back.clear();
  EXPECT_FALSE(unpack_counts(bytes_of({1}), back));
}

}  // namespace
}  // namespace headrace::schemas
