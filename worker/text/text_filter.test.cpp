#include "worker/text/text_filter.hpp"

#include "base/random.hpp"
#include "worker/text/simhash.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <deque>
#include <memory>
#include <numbers>
#include <sstream>
#include <string>
#include <vector>

namespace headrace::worker {
namespace {

std::string drawn_text(random_stream& draw, std::size_t words) {
  std::string made;
  for (std::size_t w = 0; w < words; ++w)
    made += (w > 0 ? " w" : "w") + std::to_string(draw.next_below(5'000));
  return made;
}

// Of words of letters and digits between single spaces.
std::uint64_t simhash_by_words(const std::string& text, std::size_t shingle) {
  std::vector<std::uint64_t> words;
  std::istringstream in(text);
  for (std::string word; in >> word;) {
    std::uint64_t hash = 0;
    for (const char c : word) hash = mix64(hash ^ static_cast<std::uint64_t>(c)) | 1U;
    words.push_back(hash);
  }
  std::vector<std::uint64_t> hashes;
  const std::size_t length = std::min(shingle, words.size());
  for (std::size_t begin = 0; begin + length <= words.size(); ++begin) {
    std::uint64_t hash = 0;
    for (std::size_t i = 0; i < length; ++i) hash = mix64(hash ^ words[begin + i]);
    hashes.push_back(hash);
  }
  std::uint64_t made = 0;
  for (unsigned b = 0; b < 64; ++b) {
    std::size_t set = 0;
    for (const std::uint64_t hash : hashes) set += hash >> b & 1U;
    if (2 * set > hashes.size()) made |= std::uint64_t{1} << b;
  }
  return made;
}

TEST(Simhash, IsTheMajorityOfTheShingles) {
  for (std::uint64_t seed = 1; seed <= 500; ++seed) {
    random_stream draw(seed);
    const std::string text = drawn_text(draw, 1 + draw.next_below(40));
    const std::size_t shingle = 1 + draw.next_below(shingle_words_max);
    ASSERT_EQ(simhash(text, shingle), simhash_by_words(text, shingle)) << "seed " << seed;
  }
}

TEST(Simhash, LooksAtWordsOnly) {
  const auto of = [](std::string_view text) { return simhash(text, 2); };
  EXPECT_EQ(of("It rained, all day."), of("it RAINED all day"));
  EXPECT_EQ(of("\xC3\x89TÉ \xD0\x96"), of("\xC3\xA9té \xD0\xB6")) << "whatever the case";
  EXPECT_NE(of("it rained all day"), of("day all rained it"));
  EXPECT_EQ(of("... !"), std::nullopt);
  EXPECT_NE(of("one"), std::nullopt);
  // Han has a word for each letter, so that a comma changes nothing there either.
  EXPECT_EQ(of("\xE4\xB8\xAD\xE6\x96\x87\xE5\xAD\x97"),
            of("\xE4\xB8\xAD\xE3\x80\x81\xE6\x96\x87 \xE5\xAD\x97"));
}

TEST(Simhash, IsNearForTextsThatAreNearlyTheSame) {
  random_stream draw(5);
  int near = 0;
  int far = 0;
  for (int i = 0; i < 200; ++i) {
    const std::string text = drawn_text(draw, 600);
    const auto bits = [&](const std::string& other) {
      return std::popcount(*simhash(text, 3) ^ *simhash(other, 3));
    };
    if (bits(text + " appended") <= 3) ++near;
    if (bits(drawn_text(draw, 600)) > 10) ++far;
  }
  EXPECT_GE(near, 195);
  EXPECT_EQ(far, 200);
}

// docs/text.md says so.
TEST(Simhash, DiffersInAsManyBitsAsTheShareOfShinglesThatDiffer) {
  random_stream draw(6);
  for (const std::size_t words : {100U, 300U, 600U}) {
    double bits = 0;
    constexpr int texts = 200;
    for (int i = 0; i < texts; ++i) {
      const std::string front = drawn_text(draw, words / 2);
      const std::string back = drawn_text(draw, words - words / 2 - 1);
      const auto with = [&](const char* word) { return *simhash(front + word + back, 3); };
      bits += std::popcount(with(" one ") ^ with(" other "));
    }
    const double shingles = static_cast<double>(words) - 2;
    const double expected = 64 / std::numbers::pi * std::acos(1 - 3 / shingles);
    EXPECT_NEAR(bits / texts, expected, 0.2 * expected) << words;
  }
}

// Against a look at each hash of the window.
TEST(NearWindow, FindsWhatALookAtEachFinds) {
  std::uint64_t found = 0;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    random_stream draw(seed);
    const std::size_t room = 1 + draw.next_below(60);
    const auto distance = static_cast<unsigned>(draw.next_below(near_window::distance_most + 1));
    near_window window(room, distance);
    std::deque<std::uint64_t> all;
    for (int i = 0; i < 300; ++i) {
      std::uint64_t hash = counter_draw(seed, 1, draw.next_below(40));
      for (auto flips = draw.next_below(6); flips > 0; --flips)
        hash ^= std::uint64_t{1} << draw.next_below(64);
      bool expected = false;
      for (const std::uint64_t each : all)
        expected = expected || static_cast<unsigned>(std::popcount(each ^ hash)) <= distance;
      ASSERT_EQ(window.knows_near(hash), expected) << "seed " << seed << ", " << i;
      found += expected ? 1 : 0;
      if (draw.next_below(4) == 0) continue;  // near ones are added, too
      window.add(hash);
      all.push_back(hash);
      if (all.size() > room) all.pop_front();
      ASSERT_EQ(window.size(), all.size());
    }
    ASSERT_EQ(window.hashes(), std::vector<std::uint64_t>(all.begin(), all.end()));
  }
  EXPECT_GT(found, 1'000U);
}

std::vector<text_spec> two_texts() {
  text_spec body;
  body.column = "body";
  body.chars_min = 4;
  body.near = 3;
  body.near_window = 40;
  text_spec title;
  title.column = "title";
  title.chars_max = 30;
  return {body, title};
}

TEST(TextFilter, KnowsOnlyTextsOfEventsThatWereTaken) {
  text_filter filter(two_texts());
  const std::vector<std::string> long_title{"what it says", std::string(31, 'x')};
  const std::vector<std::string> good{"what it says", "x"};
  EXPECT_EQ(filter.judge(long_title)->why, text_fault::too_long);
  EXPECT_EQ(filter.judge(long_title)->text, 1U);
  EXPECT_EQ(filter.judge(good), std::nullopt) << "the one before was not taken";
  EXPECT_EQ(filter.judge(good)->why, text_fault::near_duplicate);
  EXPECT_EQ(filter.judge(std::vector<std::string>{"....", ""}), std::nullopt);
  EXPECT_EQ(filter.judge(std::vector<std::string>{"....", ""}), std::nullopt) << "no word, no copy";
  EXPECT_EQ(filter.count(text_fault::too_long), 2U);
  EXPECT_EQ(filter.count(text_fault::near_duplicate), 1U);
  EXPECT_EQ(filter.count(text_fault::too_short), 0U);
  EXPECT_EQ(filter.count().taken, 3U);
  EXPECT_EQ(filter.known(), 1U);
}

TEST(TextFilter, GoesOnFromWhatItSavedAsIfItHadNotStopped) {
  for (std::uint64_t seed = 1; seed <= 40; ++seed) {
    random_stream draw(seed);
    text_filter whole(two_texts());
    auto parts = std::make_unique<text_filter>(two_texts());
    for (int i = 0; i < 200; ++i) {
      random_stream words(draw.next_below(60));
      const std::vector<std::string> texts{drawn_text(words, 20), "t"};
      const auto expected = whole.judge(texts);
      const auto said = parts->judge(texts);
      ASSERT_EQ(said.has_value(), expected.has_value()) << "seed " << seed << ", " << i;
      if (draw.next_below(20) != 0) continue;
      const auto saved = parts->save();
      parts = std::make_unique<text_filter>(two_texts());
      const auto empty = parts->load(saved);
      ASSERT_TRUE(empty.ok());
      ASSERT_EQ(*empty, 0U);
      ASSERT_EQ(parts->save(), saved);
    }
    ASSERT_EQ(parts->save(), whole.save());
    ASSERT_EQ(parts->count(), whole.count());
  }
}

TEST(TextFilter, BeginsEmptyWhereTheTextIsAnotherAndRefusesDamage) {
  text_filter filter(two_texts());
  ASSERT_EQ(filter.judge(std::vector<std::string>{"what it says", ""}), std::nullopt);
  const auto saved = filter.save();
  auto changed = two_texts();
  changed[0].shingle_words = 2;
  text_filter other(changed);
  ASSERT_TRUE(other.load(saved).ok());
  EXPECT_EQ(other.judge(std::vector<std::string>{"what it says", ""}), std::nullopt);
  text_filter again(changed);
  EXPECT_EQ(*again.load(saved), 1U);
  for (std::size_t length = 0; length < saved.size(); ++length) {
    text_filter damaged(two_texts());
    EXPECT_FALSE(damaged.load(std::span(saved).first(length)).ok()) << length;
  }
}

}  // namespace
}  // namespace headrace::worker
