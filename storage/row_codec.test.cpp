#include "storage/row_codec.hpp"

#include "storage/test_rows.hpp"

#include <gtest/gtest.h>

#include <span>
#include <string>
#include <vector>

namespace headrace::storage {
namespace {

// Golden: these bytes stay readable in every later version (docs/adr/0001).
std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte b : bytes) {
    text += "0123456789abcdef"[std::to_integer<unsigned>(b) >> 4];
    text += "0123456789abcdef"[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}
std::string hex(const std::string& bytes) { return hex(std::as_bytes(std::span(bytes))); }

TEST(RowCodec, WritesTheFrozenKeyValueAndPosition) {
  EXPECT_EQ(
      hex(encode_row_key(shard_id{0x01020304}, table_id{0x05060708}, row_key{0x1112131415161718})),
      "01020304"
      "05060708"
      "1112131415161718");
  const std::vector<float> floats{1.0F, -2.5F};
  std::vector<std::byte> value(100);  // what was there before goes
  encode_row({.table = table_id{1},
              .key = row_key{2},
              .lsn = lsn{0x0102},
              .last_seen_ms = 0x0304,
              .count = 0x0506,
              .flags = 0x0708,
              .payload = std::as_bytes(std::span(floats))},
             value);
  EXPECT_EQ(hex(value),
            "0201000000000000"
            "0403000000000000"
            "06050000"
            "08070000"
            "0000803f"
            "000020c0");
  shard_position position{lsn{0x0102}, epoch{3}, {std::byte{0xAA}, std::byte{0xBB}}};
  EXPECT_EQ(hex(encode_position(position)),
            "01000000"          // format version
            "8cae8132"          // CRC32C of the rest
            "0201000000000000"  // flushed
            "0300000000000000"  // epoch
            "0200000000000000"  // bytes of state
            "aabb");
}

TEST(RowCodec, RefusesADamagedPosition) {
  const std::string good = encode_position(position_of(25));
  EXPECT_TRUE(decode_position(std::as_bytes(std::span(good))).ok());
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(decode_position(std::as_bytes(std::span(bad))).ok()) << bit;
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(decode_position(std::as_bytes(std::span(good)).first(size)).ok()) << size;
  }
}

}  // namespace
}  // namespace headrace::storage
