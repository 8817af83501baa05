#include "worker/events/stream_cut.hpp"

#include "base/byte_io.hpp"
#include "base/random.hpp"
#include "schemas/hash.hpp"
#include "worker/events/packed_event.hpp"

#include <gtest/gtest.h>

namespace headrace::worker {
namespace {

stream_cut example() {
  stream_cut cut;
  cut.made_by = 0x0123'4567'89ab'cdef;
  cut.through = lsn{77};
  cut.samples = 12'345;
  cut.stamp_ms = 1'764'000'000'000;
  cut.unwritten_ms = 86'400'000;
  cut.partitions = {{"clicks/0", 9}, {"clicks/1", std::uint64_t{1} << 60}};
  cut.joiner = {std::byte{1}, std::byte{2}, std::byte{3}};
  cut.windows = {std::byte{4}, std::byte{5}};
  cut.texts = {std::byte{6}};
  cut.marks = {{lsn{5}, 1'000, 4'096}, {lsn{77}, 2'000, 65'536}};
  return cut;
}

TEST(StreamCut, ComesBackAsItWas) {
  const auto bytes = encode(example());
  const auto back = decode_stream_cut(bytes);
  ASSERT_TRUE(back) << describe(back.error());
  EXPECT_EQ(*back, example());
  EXPECT_EQ(*decode_stream_cut(encode(stream_cut{})), stream_cut{});
}

// Of an earlier format, from the bytes of a cut that has none of what came since.
stream_cut read_earlier(std::uint32_t format, std::span<const std::byte> body) {
  byte_writer old;
  old.number(format);
  old.numbers(body);
  const std::vector<std::byte> content = old.take();
  byte_writer file;
  file.number(schemas::hash64(content));
  file.numbers(std::span(content));
  const auto back = decode_stream_cut(file.take());
  EXPECT_TRUE(back) << describe(back.error());
  return back ? *back : stream_cut{};
}

constexpr std::size_t hash_and_format = 8 + 4;
constexpr std::size_t no_state = 8;  // its length

// It ends behind the joiner, and does not say what made it.
TEST(StreamCut, ReadsFilesOfFormatOne) {
  stream_cut expected = example();
  expected.windows.clear();
  expected.texts.clear();
  const std::vector<std::byte> now = encode(expected);
  expected.made_by = 0;
  constexpr std::size_t front = hash_and_format + 8;
  EXPECT_EQ(read_earlier(1, std::span(now).subspan(front, now.size() - front - 2 * no_state)),
            expected);
}

// It ends behind the windows.
TEST(StreamCut, ReadsFilesOfFormatTwo) {
  stream_cut expected = example();
  expected.texts.clear();
  const std::vector<std::byte> now = encode(expected);
  EXPECT_EQ(
      read_earlier(
          2, std::span(now).subspan(hash_and_format, now.size() - hash_and_format - no_state)),
      expected);
}

TEST(StreamCut, RefusesEveryFlippedBitAndEveryShorterFile) {
  auto bytes = encode(example());
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    const auto mask = std::byte{static_cast<unsigned char>(1U << (bit % 8))};
    bytes[bit / 8] ^= mask;
    ASSERT_FALSE(decode_stream_cut(bytes)) << "bit " << bit;
    bytes[bit / 8] ^= mask;
  }
  for (std::size_t size = 0; size < bytes.size(); ++size)
    ASSERT_FALSE(decode_stream_cut(std::span(bytes).first(size))) << size << " bytes";
}

TEST(PackedEvent, ComesBackAsItWas) {
  random_stream random(7);
  for (int round = 0; round < 200; ++round) {
    event made;
    made.label = static_cast<float>(random.next() % 2);
    made.event_time_ms = random.next();
    made.keys.resize(random.next() % 5);
    made.values.resize(random.next() % 5);
    made.more_labels.resize(random.next() % 3);
    made.lengths.resize(random.next() % 3);
    made.sequence_keys.resize(random.next() % 7);
    for (auto& key : made.keys) key = random.next();
    for (auto& value : made.values) value = static_cast<float>(random.next() % 100);
    for (auto& key : made.sequence_keys) key = random.next();
    std::vector<std::byte> bytes;
    pack(made, bytes);
    event back;
    back.keys.resize(3, 1);
    ASSERT_TRUE(unpack(bytes, back));
    EXPECT_EQ(back.label, made.label);
    EXPECT_EQ(back.event_time_ms, made.event_time_ms);
    EXPECT_EQ(back.keys, made.keys);
    EXPECT_EQ(back.values, made.values);
    EXPECT_EQ(back.more_labels, made.more_labels);
    EXPECT_EQ(back.lengths, made.lengths);
    EXPECT_EQ(back.sequence_keys, made.sequence_keys);
    bytes.push_back(std::byte{0});
    EXPECT_FALSE(unpack(bytes, back));
    bytes.resize(bytes.size() - 2);
    EXPECT_FALSE(unpack(bytes, back));
  }
}

}  // namespace
}  // namespace headrace::worker
