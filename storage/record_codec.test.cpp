#include "storage/record_codec.hpp"

#include "schemas/hash.hpp"
#include "storage/crc32c.hpp"
#include "storage/segment_files.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>
#include <vector>

namespace headrace::storage {
namespace {

frame text_frame(std::string_view text) { return frame::copy_of(std::as_bytes(std::span(text))); }

std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte b : bytes) {
    text += "0123456789abcdef"[std::to_integer<unsigned>(b) >> 4];
    text += "0123456789abcdef"[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}

log_record sample_record() {
  log_record record;
  record.lsn = lsn{0x0102030405060708};
  record.epoch = epoch{3};
  record.stamp_ms = 1'700'000'000'123;
  record.schema_version = 7;
  record.kind = record_kind::voided;
  record.reason = errc::not_finite;
  record.decisions = text_frame("abc");
  record.payload = text_frame("headrace!");
  return record;
}

TEST(Crc32c, GivesTheCheckValuesOfTheStandard) {
  const std::string digits = "123456789";
  EXPECT_EQ(crc32c(std::as_bytes(std::span(digits))),
            0xE3069283U);  // the CRC catalogue's check value
  EXPECT_EQ(crc32c({}), 0U);
  const std::vector<std::byte> zeros(32);
  EXPECT_EQ(crc32c(zeros), 0x8A9136AAU);  // RFC 3720, B.4
  const std::vector<std::byte> ones(32, std::byte{0xFF});
  EXPECT_EQ(crc32c(ones), 0x62A8AB43U);
}

TEST(Crc32c, GoesOnWhereItStopped) {
  const std::string text = "one update, from event to serving replica, in order";
  const auto bytes = std::as_bytes(std::span(text));
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    EXPECT_EQ(crc32c(bytes.subspan(cut), crc32c(bytes.first(cut))), crc32c(bytes)) << cut;
  }
}

// Golden: these bytes stay readable in every later version (docs/adr/0001).
TEST(RecordCodec, WritesTheFrozenHeader) {
  const auto header = describe_record(sample_record(), 0x1122334455667788);
  EXPECT_EQ(hex(encode_header(header)),
            "48525231"          // "HRR1"
            "0300"              // voided
            "1600"              // not_finite
            "0807060504030201"  // lsn
            "0300000000000000"  // epoch
            "7b68e5cf8b010000"  // stamp_ms
            "07000000"          // schema_version
            "03000000"          // decisions
            "09000000"          // payload
            "b5c8b62a"          // CRC32C of "abc", 5 zeros, "headrace!", 7 zeros
            "8877665544332211"  // prev_hash
            "00000000"          // flags
            "44e624d2");
  EXPECT_EQ(header.record_bytes(), 64U + 8U + 16U);
}

TEST(RecordCodec, WritesTheFrozenSegmentHeader) {
  EXPECT_EQ(hex(encode_segment_header({lsn{42}, 0x1122334455667788})),
            "48525345474c4f47"  // "HRSEGLOG"
            "01000000"          // format version
            "40000000"          // bytes of this header
            "2a00000000000000"  // first lsn
            "8877665544332211"  // prev_hash
            "00000000000000000000000000000000000000000000000000000000"
            "9913093a");
  EXPECT_EQ(segment_name(lsn{42}), "00000000000000000042.log");
  EXPECT_EQ(segment_name(lsn{UINT64_MAX}), "18446744073709551615.log");
}

TEST(RecordCodec, ReadsBackWhatItWrote) {
  const auto header = describe_record(sample_record(), 99);
  const auto decoded = decode_header(encode_header(header));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded, header);
  const auto segment = decode_segment_header(encode_segment_header({lsn{7}, 8}));
  ASSERT_TRUE(segment.ok());
  EXPECT_EQ(*segment, (segment_header{lsn{7}, 8}));
}

TEST(RecordCodec, ChecksumCoversThePadding) {
  const auto header = describe_record(sample_record(), 0);
  std::vector<std::byte> body(header.body_bytes());
  const auto part = [&](std::size_t at, const frame& bytes) {
    std::ranges::copy(bytes.bytes(), body.begin() + static_cast<std::ptrdiff_t>(at));
  };
  part(0, sample_record().decisions);
  part(8, sample_record().payload);
  EXPECT_TRUE(body_matches(header, body));
  for (std::size_t i = 0; i < body.size(); ++i) {
    body[i] ^= std::byte{0x10};
    EXPECT_FALSE(body_matches(header, body)) << i;
    body[i] ^= std::byte{0x10};
  }
  EXPECT_FALSE(body_matches(header, std::span(body).first(16)));
}

TEST(RecordCodec, RefusesEveryFlippedBit) {
  const auto good = encode_header(describe_record(sample_record(), 5));
  const auto segment = encode_segment_header({lsn{42}, 7});
  for (std::size_t bit = 0; bit < record_header_bytes * 8; ++bit) {
    const auto flip = [bit](header_bytes bytes) {
      bytes[bit / 8] ^= static_cast<std::byte>(1U << (bit % 8));
      return bytes;
    };
    const auto decoded = decode_header(flip(good));
    ASSERT_FALSE(decoded.ok()) << bit;
    EXPECT_EQ(decoded.error().code, errc::corrupt);
    EXPECT_FALSE(decode_segment_header(flip(segment)).ok()) << bit;
  }
}

TEST(RecordCodec, EmptyPartsTakeNoSpace) {
  log_record record;
  record.lsn = lsn{1};
  EXPECT_EQ(describe_record(record, 0).record_bytes(), record_header_bytes);
  EXPECT_EQ(describe_record(record, 0).body_crc, 0U);
}

}  // namespace
}  // namespace headrace::storage
