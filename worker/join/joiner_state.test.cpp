#include "storage/memory_spill_store.hpp"
#include "worker/join/joiner.hpp"
#include "worker/join/test_join_draw.hpp"
#include "worker/join/test_joins.hpp"

#include <gmock/gmock.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

namespace headrace::worker {
namespace {

using testing::HasSubstr;

join_spec some_join() {
  join_spec how;
  how.window_ms = 100;
  how.out_of_order_ms = 50;
  how.correct_ms = 300;
  how.actions = 2;
  return how;
}

// Every kind of entry, and samples that were not taken.
std::vector<std::byte> some_state() {
  joiner join(some_join());
  for (const join_call& one : {action("e", 900, 1),
                               impression("a", 900),
                               action("a", 950, 0),
                               action("a", 1020, 1),
                               impression("b", 1000),
                               action("b", 1001, 0),
                               action("b", 1001, 1),
                               action("c", 1030, 1),
                               impression("c", 1020),
                               action("d", 1070, 0),
                               action("d", 1070, 0),
                               action("g", 1095, 1),
                               impression("g", 1090),
                               impression("f", 1100)})
    apply(join, one);
  return *join.save();
}

std::string refusal(const join_spec& how, const std::vector<std::byte>& saved) {
  joiner join(how);
  const auto loaded = join.load(saved);
  if (loaded.ok()) return "";
  EXPECT_EQ(loaded.error().code, errc::corrupt);
  EXPECT_EQ(join.pending(), 0U);
  EXPECT_EQ(join.watermark_ms(), 0U);
  return loaded.error().detail;
}

void sign(std::vector<std::byte>& saved) {
  const std::uint64_t sum = schemas::hash64(std::span(saved).subspan(8));
  std::memcpy(saved.data(), &sum, sizeof sum);
}

TEST(JoinerState, SavesEveryKindOfEntry) {
  joiner join(some_join());
  ASSERT_TRUE(join.load(some_state()).ok());
  EXPECT_EQ(join.pending(), 8U);
  EXPECT_EQ(*join.save(), some_state());
  using testing::ElementsAre;
  std::vector<sent_sample> sent;
  take_all(join, sent);
  EXPECT_THAT(sent,
              ElementsAre(sent_sample{"b", 1000, 3, 0, join_outcome::complete},
                          sent_sample{"a", 900, 1, 0, join_outcome::closed},
                          sent_sample{"a", 900, 3, 0, join_outcome::correction}));
}

TEST(JoinerState, RefusesEveryFlippedBit) {
  auto saved = some_state();
  for (std::size_t at = 0; at < saved.size(); ++at) {
    const std::byte was = saved[at];
    saved[at] ^= std::byte{1} << (at % 8);
    ASSERT_THAT(refusal(some_join(), saved), HasSubstr("its checksum is wrong")) << at;
    saved[at] = was;
  }
  EXPECT_EQ(refusal(some_join(), saved), "");
}

TEST(JoinerState, RefusesWhatIsCutShortThoughItsChecksumIsRight) {
  const auto whole = some_state();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    std::vector<std::byte> cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    if (size >= 8) sign(cut);
    ASSERT_NE(refusal(some_join(), cut), "") << size;
  }
  auto longer = whole;
  longer.push_back(std::byte{0});
  sign(longer);
  EXPECT_THAT(refusal(some_join(), longer), HasSubstr("longer than it says"));
}

TEST(JoinerState, RefusesOtherSettingsAndFormatsByName) {
  const auto other = [](auto change) {
    join_spec how = some_join();
    change(how);
    return refusal(how, some_state());
  };
  EXPECT_THAT(other([](join_spec& how) { how.window_ms = 7; }),
              HasSubstr("window_ms was 100 and is 7"));
  EXPECT_THAT(other([](join_spec& how) { how.out_of_order_ms = 7; }), HasSubstr("out_of_order_ms"));
  EXPECT_THAT(other([](join_spec& how) { how.correct_ms = 7; }), HasSubstr("correct_ms"));
  EXPECT_THAT(other([](join_spec& how) { how.early_ms = 7; }), HasSubstr("early_ms"));
  EXPECT_THAT(other([](join_spec& how) { how.actions = 3; }), HasSubstr("actions was 2 and is 3"));
  EXPECT_THAT(other([](join_spec& how) { how.seed = 7; }), HasSubstr("seed"));
  EXPECT_THAT(other([](join_spec& how) { how.negative_share = 0.5F; }),
              HasSubstr("negative_share"));
  EXPECT_EQ(other([](join_spec& how) { how.pending_max = 3; }), "");
  auto newer = some_state();
  newer[8] = std::byte{2};
  sign(newer);
  EXPECT_THAT(refusal(some_join(), newer), HasSubstr("format 2, this program reads 1"));
}

// Bytes that are wrong but signed: never more than a refusal, or a state that can be used.
TEST(JoinerState, SurvivesAnyBytesThatAreSigned) {
  const auto whole = some_state();
  random_stream draw(5);
  int loaded = 0;
  for (int i = 0; i < 20'000; ++i) {
    auto bytes = whole;
    for (std::uint64_t n = 1 + draw.next_below(3); n > 0; --n)
      bytes[8 + draw.next_below(bytes.size() - 8)] = static_cast<std::byte>(draw.next());
    sign(bytes);
    joiner join(some_join());
    if (const auto done = join.load(bytes); !done.ok()) continue;
    ++loaded;
    ASSERT_EQ(*join.save(), bytes);
    std::vector<sent_sample> sent;
    for (const join_call& one : {action("a", 960, 1),
                                 impression("d", 1060),
                                 action("b", 1010, 0),
                                 impression("e", 4000),
                                 finish()}) {
      apply(join, one);
      take_all(join, sent);
    }
    ASSERT_EQ(join.pending(), 0U);
  }
  EXPECT_GT(loaded, 1000);
}

TEST(JoinerState, LoadsIntoLessRoom) {
  join_spec how = some_join();
  how.pending_max = 3;
  joiner join(how);
  ASSERT_TRUE(join.load(some_state()).ok());
  EXPECT_EQ(join.pending(), 8U);
  apply(join, impression("h", 1100));
  EXPECT_EQ(join.pending(), 3U);
}

}  // namespace
}  // namespace headrace::worker
