#include "base/inflate.hpp"

#include "base/check.hpp"
#include "base/random.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <algorithm>
#include <string>
#include <zlib.h>

namespace headrace {
namespace {

using testing::HasSubstr;

std::string gzip(const std::string& text) {
  z_stream stream{};
  CHECK(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string out(deflateBound(&stream, text.size()), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

std::string zstd(const std::string& text, int window_log = 0) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  ZSTD_CCtx_setParameter(context, ZSTD_c_contentSizeFlag, window_log == 0 ? 1 : 0);
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  std::string out(ZSTD_compressBound(text.size()), '\0');
  ZSTD_inBuffer in{text.data(), text.size(), 0};
  ZSTD_outBuffer to{out.data(), out.size(), 0};
  if (window_log == 0) {
    to.pos = ZSTD_compress2(context, out.data(), out.size(), text.data(), text.size());
  } else {  // as a stream, so that the window is not made to fit the text
    CHECK(ZSTD_compressStream2(context, &to, &in, ZSTD_e_flush) == 0);
    CHECK(ZSTD_compressStream2(context, &to, &in, ZSTD_e_end) == 0);
  }
  ZSTD_freeCCtx(context);
  out.resize(to.pos);
  return out;
}

std::string sample_text(std::size_t bytes) {
  random_stream draw(7);
  std::string text;
  while (text.size() < bytes) text += std::to_string(draw.next_below(1'000)) + ',';
  text.resize(bytes);
  return text;
}

struct packing {
  content_encoding encoding;
  std::string (*pack)(const std::string&);
};
const packing packings[] = {
    {content_encoding::gzip, gzip},
    {content_encoding::zstd, [](const std::string& text) { return zstd(text); }},
};

TEST(Inflate, GivesBackWhatWasPackedUpToTheVeryBound) {
  for (const auto& [encoding, pack] : packings) {
    for (const std::size_t bytes : {0U, 1U, 65'535U, 65'536U, 65'537U, 1'000'000U}) {
      const auto text = sample_text(bytes);
      const auto packed = pack(text);
      const auto got = inflate(encoding, packed, bytes);
      ASSERT_TRUE(got.ok()) << bytes << ' ' << describe(got.error());
      EXPECT_EQ(*got, text);
      if (bytes == 0) continue;
      const auto less = inflate(encoding, packed, bytes - 1);
      ASSERT_FALSE(less.ok()) << bytes;
      EXPECT_EQ(less.error().code, errc::too_large);
      EXPECT_THAT(less.error().detail, HasSubstr(std::to_string(bytes - 1)));
    }
  }
}

TEST(Inflate, ABombEndsAtTheBound) {
  const std::string zeros(16U << 20, '\0');
  for (const auto& [encoding, pack] : packings) {
    const auto bomb = pack(zeros);
    EXPECT_LT(bomb.size(), 80'000U);
    const auto got = inflate(encoding, bomb, 1U << 20);
    ASSERT_FALSE(got.ok());
    EXPECT_EQ(got.error().code, errc::too_large);
  }
}

TEST(Inflate, MembersAndFramesOneBehindTheOtherReadAsOne) {
  for (const auto& [encoding, pack] : packings) {
    const auto got = inflate(encoding, pack("one,") + pack("") + pack("two"), 100);
    ASSERT_TRUE(got.ok()) << describe(got.error());
    EXPECT_EQ(*got, "one,two");
    EXPECT_FALSE(inflate(encoding, pack("one,") + pack("two"), 6).ok());
  }
}

TEST(Inflate, WhatEndsTooEarlyIsMalformedWhereverItEnds) {
  const auto text = sample_text(300);
  for (const auto& [encoding, pack] : packings) {
    const auto packed = pack(text) + pack("x");
    const auto first = pack(text).size();
    for (std::size_t bytes = 0; bytes < packed.size(); ++bytes) {
      if (bytes == first) continue;  // a whole member
      const auto got = inflate(encoding, std::string_view(packed).substr(0, bytes), 1'000);
      ASSERT_FALSE(got.ok()) << bytes;
      EXPECT_EQ(got.error().code, errc::malformed) << bytes;
    }
  }
}

TEST(Inflate, DamagedBytesAreMalformedOrWhatWasPacked) {
  random_stream draw(11);
  const auto text = sample_text(500);
  for (const auto& [encoding, pack] : packings) {
    const auto packed = pack(text);
    for (int round = 0; round < 2'000; ++round) {
      auto bad = packed;
      char& one = bad[draw.next_below(bad.size())];
      one = static_cast<char>(one ^ static_cast<int>(1 + draw.next_below(255)));
      const auto got = inflate(encoding, bad, 1'000);
      if (got.ok()) {
        EXPECT_EQ(*got, text);
      }
    }
    EXPECT_EQ(inflate(encoding, "not packed at all", 100).error().code, errc::malformed);
    EXPECT_EQ(inflate(encoding, packed + "rest", 1'000).error().code, errc::malformed);
  }
}

TEST(Inflate, AWindowThatAsksForMuchMemoryIsRefused) {
  const auto text = sample_text(1'000);
  EXPECT_TRUE(inflate(content_encoding::zstd, zstd(text, 23), 1'000).ok());
  const auto got = inflate(content_encoding::zstd, zstd(text, 27), 1'000);
  ASSERT_FALSE(got.ok());
  EXPECT_EQ(got.error().code, errc::malformed);
}

TEST(Inflate, WhatIsNotPackedIsBoundedToo) {
  EXPECT_EQ(*inflate(content_encoding::identity, "abc", 3), "abc");
  EXPECT_EQ(inflate(content_encoding::identity, "abc", 2).error().code, errc::too_large);
}

}  // namespace
}  // namespace headrace
