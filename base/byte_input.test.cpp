#include "base/byte_input.hpp"

#include "base/check.hpp"
#include "base/random.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <zstd.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>
#include <unistd.h>
#include <zlib.h>

namespace headrace {
namespace {

using testing::HasSubstr;

constexpr std::size_t over_one_chunk = 500'000;

class scratch_file {
 public:
  explicit scratch_file(const std::string& bytes) {
    path_ = std::filesystem::temp_directory_path() / "headrace-input-XXXXXX";
    const int made = ::mkstemp(path_.data());
    CHECK(made >= 0);
    ::close(made);
    std::ofstream(path_, std::ios::binary) << bytes;
  }
  ~scratch_file() { std::remove(path_.c_str()); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

// Text whose compressed form is longer than one read as well.
std::string sample_text(std::size_t bytes) {
  random_stream draw(7);
  std::string text;
  while (text.size() < bytes)
    text += std::to_string(draw.next()) + (draw.next_below(9) == 0 ? "\n" : ",");
  text.resize(bytes);
  return text;
}

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

std::string zstd(const std::string& text) {
  ZSTD_CCtx* context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_checksumFlag, 1);
  std::string out(ZSTD_compressBound(text.size()), '\0');
  const std::size_t size =
      ZSTD_compress2(context, out.data(), out.size(), text.data(), text.size());
  ZSTD_freeCCtx(context);
  CHECK(ZSTD_isError(size) == 0);
  out.resize(size);
  return out;
}

result<std::string> read_all(const std::string& path, std::size_t piece) {
  auto input = byte_input::open(path);
  if (!input) return input.error();
  std::string text;
  std::string buffer(piece, '\0');
  for (;;) {
    const auto got = (*input)->read(buffer);
    if (!got) return got.error();
    if (*got == 0) return text;
    text.append(buffer, 0, *got);
  }
}

void expect_reads(const std::string& bytes, const std::string& text) {
  const scratch_file file(bytes);
  for (const std::size_t piece : {std::size_t{1}, std::size_t{4093}, std::size_t{1} << 20}) {
    if (piece == 1 && text.size() > 10'000) continue;
    const auto got = read_all(file.path(), piece);
    ASSERT_TRUE(got.ok()) << describe(got.error());
    EXPECT_TRUE(*got == text) << "pieces of " << piece << ": " << got->size() << " bytes";
  }
}

void expect_bad_input(const std::string& bytes, const std::string& why) {
  const scratch_file file(bytes);
  const auto got = read_all(file.path(), 4096);
  ASSERT_FALSE(got.ok()) << bytes.size();
  EXPECT_EQ(got.error().code, errc::bad_input);
  EXPECT_THAT(got.error().detail, HasSubstr(file.path()));
  EXPECT_THAT(got.error().detail, HasSubstr(why));
}

TEST(ByteInput, ReadsPlainGzipAndZstdAlike) {
  for (const std::size_t size :
       {std::size_t{0}, std::size_t{1}, std::size_t{3}, std::size_t{9'999}, over_one_chunk}) {
    const std::string text = sample_text(size);
    expect_reads(text, text);
    expect_reads(gzip(text), text);
    expect_reads(zstd(text), text);
  }
}

TEST(ByteInput, ConcatenatedFramesAreOneStream) {
  const std::string a = sample_text(over_one_chunk);
  const std::string b = "the end\n";
  expect_reads(gzip(a) + gzip("") + gzip(b), a + b);
  expect_reads(zstd(a) + zstd("") + zstd(b), a + b);
}

TEST(ByteInput, ZstdAfterASkippableFrameIsStillZstd) {
  const std::string skippable("\x50\x2A\x4D\x18\x03\x00\x00\x00xyz", 11);
  expect_reads(skippable + zstd("hello"), "hello");
}

TEST(ByteInput, HighlyCompressibleDataComesInPieces) {
  const std::string zeros(3'000'000, '0');
  expect_reads(zstd(zeros), zeros);
  expect_reads(gzip(zeros), zeros);
}

TEST(ByteInput, EveryTruncationIsBadInput) {
  const std::string text = sample_text(300);
  for (const std::string& whole : {gzip(text), zstd(text)}) {
    for (std::size_t size = 4; size < whole.size(); ++size)
      expect_bad_input(whole.substr(0, size), "ends too early");
  }
  const std::string long_one = gzip(sample_text(over_one_chunk));
  expect_bad_input(long_one.substr(0, long_one.size() / 2), "ends too early");
}

TEST(ByteInput, DamageIsBadInputWithItsPosition) {
  const std::string text = sample_text(over_one_chunk);
  for (std::string whole : {gzip(text), zstd(text)}) {
    whole[whole.size() / 2] = static_cast<char>(whole[whole.size() / 2] ^ 0x55);
    expect_bad_input(whole, "at byte ");
  }
  expect_bad_input(gzip(text) + "garbage", "damaged compressed data");
  expect_bad_input(zstd(text) + "garbage", "damaged compressed data");
}

TEST(ByteInput, FailsTheSameWayWhenReadAgain) {
  const scratch_file file(gzip("hello").substr(0, 20));
  auto input = byte_input::open(file.path());
  ASSERT_TRUE(input.ok());
  std::string buffer(100, '\0');
  auto got = (*input)->read(buffer);
  while (got.ok()) got = (*input)->read(buffer);
  const auto again = (*input)->read(buffer);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().detail, got.error().detail);
}

TEST(ByteInput, MissingFilesAndFoldersAreNamed) {
  const auto missing = byte_input::open("/nonexistent/events.csv");
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, errc::not_found);
  EXPECT_THAT(missing.error().detail, HasSubstr("/nonexistent/events.csv"));
  const auto folder = byte_input::open(std::filesystem::temp_directory_path());
  ASSERT_FALSE(folder.ok());
  EXPECT_EQ(folder.error().code, errc::bad_input);
}

}  // namespace
}  // namespace headrace
