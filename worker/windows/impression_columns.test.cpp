#include "worker/windows/impression_columns.hpp"

#include "base/random.hpp"
#include "schemas/hash.hpp"

#include <gtest/gtest.h>

#include <string>
#include <string_view>

namespace headrace::worker {
namespace {

std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

std::string found(const impression_columns& all, const std::string& key, std::uint64_t watermark) {
  const auto columns = all.find(key, watermark);
  return {reinterpret_cast<const char*>(columns.data()), columns.size()};
}

TEST(ImpressionColumns, AreKnownAsLongAsTheJoinRemembersTheKey) {
  impression_columns all({.keep_ms = 40, .entries_max = 10});
  all.put("a", 100, 90, bytes("first"));
  EXPECT_EQ(found(all, "a", 140), "first");
  EXPECT_EQ(found(all, "a", 141), "");
  EXPECT_EQ(found(all, "b", 100), "");
  all.put("a", 120, 140, bytes("a repetition"));
  EXPECT_EQ(found(all, "a", 140), "first");
  all.put("a", 150, 141, bytes("another"));
  EXPECT_EQ(found(all, "a", 190), "another");
  all.put("late", 100, 141, bytes("too late"));
  EXPECT_EQ(found(all, "late", 141), "");
  EXPECT_EQ(all.size(), 1U);
  EXPECT_EQ(all.forgotten(), 0U);
}

TEST(ImpressionColumns, ForgetThoseThatCameFirstForWantOfRoom) {
  constexpr std::uint64_t two = 2 * impression_columns::entry_bytes;
  impression_columns all({.keep_ms = 40, .entries_max = 2, .bytes_max = two + 10});
  all.put("a", 1, 0, bytes("aaa"));
  all.put("b", 1, 0, bytes("bbb"));
  all.put("c", 1, 0, bytes("ccc"));
  EXPECT_EQ(found(all, "a", 0), "");
  EXPECT_EQ(found(all, "b", 0), "bbb");
  all.put("d", 1, 0, bytes("ddddddd"));  // with c ten bytes
  EXPECT_EQ(found(all, "b", 0), "");
  EXPECT_EQ(found(all, "c", 0), "ccc");
  EXPECT_EQ(all.bytes(), two + 10);
  EXPECT_EQ(all.forgotten(), 2U);
  all.put("a", 100, 90, bytes("a"));  // the others' time is over
  EXPECT_EQ(all.forgotten(), 2U);
  EXPECT_EQ(all.size(), 1U);
  EXPECT_EQ(all.bytes(), two / 2 + 1);
}

TEST(ImpressionColumns, GoOnFromWhatWasSavedAndRefuseWhatIsCutShort) {
  const impression_columns::bounds how{.keep_ms = 40, .entries_max = 3};
  impression_columns all(how);
  all.put("z", 30, 0, bytes("z"));
  all.put("a", 1, 0, bytes("old"));
  all.put("a", 60, 50, bytes("new"));  // the old one's place is still taken
  byte_writer out;
  all.save(out);
  const auto saved = out.take();
  impression_columns back(how);
  byte_reader in(saved);
  ASSERT_TRUE(back.load(in));
  EXPECT_TRUE(in.at_end());
  for (impression_columns* each : {&all, &back}) {
    EXPECT_EQ(found(*each, "a", 60), "new");
    EXPECT_EQ(found(*each, "z", 60), "z");
    each->put("b", 60, 50, bytes("b"));
    EXPECT_EQ(found(*each, "z", 60), "");
    EXPECT_EQ(found(*each, "a", 60), "new");
    EXPECT_EQ(each->forgotten(), 1U);
    EXPECT_EQ(each->bytes(), 2 * impression_columns::entry_bytes + 4);
  }
  for (std::size_t size = 0; size < saved.size(); ++size) {
    byte_reader cut(std::span<const std::byte>(saved).first(size));
    EXPECT_FALSE(impression_columns(how).load(cut)) << size;
  }
}

// Keys whose hash under the public seed begins a bucket of the table that has as many: whoever
// pushes them knows all of that.
TEST(ImpressionColumns, KeysThatMeetUnderThePublicSeedDoNotMeetHere) {
  constexpr std::uint64_t buckets = 541;  // of libstdc++, for 258 to 541 entries
  constexpr std::size_t keys = 400;
  impression_columns all({.keep_ms = 40, .entries_max = 1'000});
  std::size_t put = 0;
  for (std::uint64_t i = 0; put < keys; ++i) {
    const std::string key = "r" + std::to_string(i);
    const auto hash = schemas::hash128_of(bytes(key), 0x696D7072);  // docs/storage-format.md
    if (hash.low % buckets != 0) continue;
    all.put(key, 100, 90, bytes("x"));
    ++put;
  }
  EXPECT_EQ(all.size(), keys);
  EXPECT_LT(all.longest_look(), 20U);
}

TEST(ImpressionColumns, NothingThatIsSeenDependsOnTheSecret) {
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    random_stream draw(seed);
    const impression_columns::bounds how{.keep_ms = 40, .entries_max = 1 + draw.next_below(60)};
    impression_columns one(how, draw.next());
    impression_columns other(how, draw.next());
    std::uint64_t time = 100;
    for (int i = 0; i < 1'000; ++i) {
      time += draw.next_below(3);
      const std::string key = std::to_string(draw.next_below(80));
      one.put(key, time, time, bytes(std::to_string(i)));
      other.put(key, time, time, bytes(std::to_string(i)));
      const std::string asked = std::to_string(draw.next_below(80));
      ASSERT_EQ(found(one, asked, time), found(other, asked, time)) << "seed " << seed;
    }
    byte_writer of_one;
    byte_writer of_other;
    one.save(of_one);
    other.save(of_other);
    ASSERT_EQ(of_one.take(), of_other.take()) << "seed " << seed;
  }
}

}  // namespace
}  // namespace headrace::worker
