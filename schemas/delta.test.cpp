#include "schemas/delta.hpp"

#include "base/random.hpp"
#include "schemas/wire.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <set>

namespace headrace::schemas {
namespace {

using ::testing::HasSubstr;

/// Rows of 64 columns of random keys, as a shard hands them on.
struct rows64 {
  explicit rows64(std::size_t rows) : scales(rows, 0x2000), codes(rows * 64) {
    random_stream random(4);
    std::set<std::uint64_t> drawn;
    while (drawn.size() < rows) drawn.insert(random.next());
    keys.assign(drawn.begin(), drawn.end());
    for (std::byte& code : codes) code = static_cast<std::byte>(random.next());
  }
  delta message() const {
    delta made;
    made.session = made.number = made.version = 1;
    made.blocks = {{table_id{0}, 64, value_codec::int8, keys, scales, codes, {}}};
    return made;
  }
  std::vector<std::uint64_t> keys;
  std::vector<std::uint16_t> scales;
  std::vector<std::byte> codes;
};

std::vector<std::byte> bytes_of(const frame& whole) {
  return {whole.bytes().begin(), whole.bytes().end()};
}

void seal(std::vector<std::byte>& bytes) {
  const std::uint64_t sum = delta_checksum(bytes);
  std::memcpy(bytes.data() + 16, &sum, sizeof sum);
}

TEST(Delta, ARowOf64ColumnsTakesLessThanTwoSeventhsOfItsFloats) {
  // An fp32 row is a key of 8 bytes and 256 of values.
  for (const std::size_t rows : {512U, 4'096U, 65'536U}) {
    const double bytes = static_cast<double>(encode(rows64(rows).message()).size());
    const double a_row = bytes / static_cast<double>(rows);
    RecordProperty("bytes_per_row_of_" + std::to_string(rows), std::to_string(a_row));
    EXPECT_GE(264.0 / a_row, 3.5) << rows << " rows at " << a_row << " bytes each";
  }
}

TEST(Delta, AFlippedBitIsRefusedWhereverItIs) {
  const auto whole = bytes_of(encode(rows64(9).message()));
  for (std::size_t bit = 0; bit < whole.size() * 8; ++bit) {
    auto bytes = whole;
    bytes[bit / 8] ^= std::byte{1} << (bit % 8);
    const auto got = decode_delta(frame::copy_of(bytes));
    ASSERT_FALSE(got.ok()) << "bit " << bit;
    // The segment table says how long the frame is, which is looked at first.
    EXPECT_EQ(got.error().code, bit < 64 ? errc::malformed : errc::corrupt) << "bit " << bit;
  }
}

TEST(Delta, ANewerFormatIsRefusedByName) {
  auto bytes = bytes_of(encode(rows64(3).message()));
  const std::uint16_t newer = delta_format + 1;
  // Protocol and format follow the checksum.
  std::memcpy(bytes.data() + 26, &newer, sizeof newer);
  seal(bytes);
  const auto got = decode_delta(frame::copy_of(bytes));
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, errc::bad_protocol);
  EXPECT_THAT(got.error().detail, HasSubstr("format 2, this build reads 1 to 1"));
}

TEST(Delta, TheLargestNumberOfRowsTravels) {
  std::vector<std::uint64_t> keys(block_rows_max);
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = i;
  delta message;
  for (std::uint32_t i = 0; i < 4; ++i)
    message.blocks.push_back({table_id{i}, 0, value_codec::int8, {}, {}, {}, keys});
  EXPECT_TRUE(decode_delta(encode(message)).ok());
}

}  // namespace
}  // namespace headrace::schemas
