#include "worker/text/text_cleaning.hpp"

#include "base/random.hpp"
#include "worker/text/text_quality.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace headrace::worker {
namespace {

std::string utf8(char32_t c) {
  const auto byte = [](char32_t bits) {
    return static_cast<char>(static_cast<unsigned char>(bits));
  };
  if (c < 0x80) return {byte(c)};
  if (c < 0x800) return {byte(0xC0 | c >> 6), byte(0x80 | (c & 0x3F))};
  if (c < 0x10000)
    return {byte(0xE0 | c >> 12), byte(0x80 | (c >> 6 & 0x3F)), byte(0x80 | (c & 0x3F))};
  return {byte(0xF0 | c >> 18),
          byte(0x80 | (c >> 12 & 0x3F)),
          byte(0x80 | (c >> 6 & 0x3F)),
          byte(0x80 | (c & 0x3F))};
}

std::string utf8(const std::vector<char32_t>& text) {
  std::string made;
  for (const char32_t c : text) made += utf8(c);
  return made;
}

std::string cleaned(std::string_view text) {
  std::string made = "of before";
  EXPECT_TRUE(clean_text(text, made));
  return made;
}

TEST(CleanText, TakesOutWhatIsNotSeenAndKeepsOneSpaceBetweenWords) {
  EXPECT_EQ(cleaned("  two \t\r\n words \n"), "two words");
  EXPECT_EQ(cleaned("a\x01\x7F"
                    "b"),
            "ab");
  EXPECT_EQ(cleaned("a \x02 b"), "a b");
  EXPECT_EQ(cleaned("\xEF\xBB\xBF"
                    "caf\xC3\xA9\xC2\xA0noir\xE3\x80\x80!"),
            "caf\xC3\xA9 noir !");
  EXPECT_EQ(cleaned("soft\xC2\xADhyphen"), "softhyphen");
  EXPECT_EQ(cleaned("\xE2\x80\xAEgnp\xE2\x80\xAC"), "gnp");
  EXPECT_EQ(cleaned("\xD9\x85\xDB\x8C\xE2\x80\x8C\xD8\xAE"), "\xD9\x85\xDB\x8C\xE2\x80\x8C\xD8\xAE")
      << "a non-joiner shapes letters";
  EXPECT_EQ(cleaned(""), "");
  EXPECT_EQ(cleaned(" \x03 "), "");
}

TEST(CleanText, RefusesWhatIsNoUtf8) {
  std::string into;
  for (const std::string& text :
       {std::string("a\xFF"), std::string("\xC3"), std::string("\xED\xA0\x80")})
    EXPECT_FALSE(clean_text(text, into));
}

// Against whole passes over the characters, one for each rule.
TEST(CleanText, IsWhatItsRulesSayOneByOne) {
  const std::vector<char32_t> drawn_from{
      ' ',    ' ',    'a',    'Z',    '7',    '.',    '\t',   '\n',    0x00,    0x1B,
      0x85,   0xA0,   0xAD,   0xE9,   0x3B1,  0x430,  0x5D0,  0x200B,  0x200D,  0x2003,
      0x202E, 0x2028, 0x3042, 0x4E2D, 0xAC00, 0xFEFF, 0xFFFE, 0x1F600, 0xE0041, 0x10FFFF};
  for (std::uint64_t seed = 1; seed <= 3'000; ++seed) {
    random_stream draw(seed);
    std::vector<char32_t> text(draw.next_below(30));
    for (char32_t& c : text) c = drawn_from[draw.next_below(drawn_from.size())];
    std::vector<char32_t> seen;
    for (const char32_t c : text) {
      if (!is_invisible(c)) seen.push_back(is_space(c) ? U' ' : c);
    }
    std::string expected = utf8(seen);
    for (auto at = expected.find("  "); at != std::string::npos; at = expected.find("  "))
      expected.erase(at, 1);
    if (expected.starts_with(' ')) expected.erase(0, 1);
    if (expected.ends_with(' ')) expected.pop_back();
    const std::string made = cleaned(utf8(text));
    ASSERT_EQ(made, expected) << "seed " << seed;
    ASSERT_EQ(cleaned(made), made) << "seed " << seed;
  }
}

TEST(LetterTable, KnowsTheScriptsAndWhatIsNoLetter) {
  const std::pair<char32_t, script> known[]{
      {'a', script::latin},        {0xDF, script::latin},      {0x1EF9, script::latin},
      {0x3A9, script::greek},      {0x416, script::cyrillic},  {0x587, script::armenian},
      {0x5E9, script::hebrew},     {0x645, script::arabic},    {0x939, script::devanagari},
      {0x93F, script::devanagari}, {0x9AC, script::bengali},   {0xBA4, script::tamil},
      {0xE17, script::thai},       {0x10D0, script::georgian}, {0x1100, script::hangul},
      {0xD55C, script::hangul},    {0x3042, script::kana},     {0x30A2, script::kana},
      {0x4E2D, script::han},       {0x20000, script::han},     {0x13A0, script::other},
      {0x301, script::mark},       {'5', script::digit},       {0x663, script::digit},
      {' ', script::symbol},       {'$', script::symbol},      {0x2014, script::symbol},
      {0x3002, script::symbol},    {0x1F600, script::symbol},  {0xE000, script::symbol},
      {0xD7, script::symbol},      {0x110000, script::symbol}};
  for (const auto& [character, is] : known)
    EXPECT_EQ(script_of(character), is) << std::hex << static_cast<std::uint32_t>(character);
  EXPECT_EQ(script_named("kana"), script::kana);
  EXPECT_EQ(script_named("other"), std::nullopt);
  EXPECT_EQ(script_named("digit"), std::nullopt);
  for (std::size_t s = 0; s + 1 < letter_scripts; ++s)
    EXPECT_EQ(script_named(name(static_cast<script>(s))), static_cast<script>(s));
}

TEST(TextQuality, CountsCharactersByWhatTheyAre) {
  const auto found = figures_of("Caf\xC3\xA9 24\xE2\x82\xAC \xD0\x96!");
  EXPECT_EQ(found.all, 11U);
  EXPECT_EQ(found.spaces, 2U);
  EXPECT_EQ(found.letters, 5U);
  EXPECT_EQ(found.of_script[static_cast<std::size_t>(script::latin)], 4U);
  EXPECT_EQ(found.of_script[static_cast<std::size_t>(script::cyrillic)], 1U);
  EXPECT_EQ(found.digits, 2U);
  EXPECT_EQ(found.symbols, 2U);
}

TEST(TextQuality, NamesTheFirstBoundThatIsNotKept) {
  text_spec spec;
  EXPECT_EQ(judge_text(spec, ""), std::nullopt) << "nothing is asked";
  spec.chars_min = 3;
  spec.chars_max = 12;
  spec.symbols_max = 0.25;
  spec.scripts = 1U << static_cast<unsigned>(script::latin);
  spec.script_share = 0.75;
  EXPECT_EQ(judge_text(spec, "ab"), text_fault::too_short);
  EXPECT_EQ(judge_text(spec, "abc"), std::nullopt);
  EXPECT_EQ(judge_text(spec, "twelve chars"), std::nullopt);
  EXPECT_EQ(judge_text(spec, "thirteen char"), text_fault::too_long);
  EXPECT_EQ(judge_text(spec, "ab c!"), std::nullopt) << "one of four, spaces aside";
  EXPECT_EQ(judge_text(spec, "ab !"), text_fault::symbols);
  EXPECT_EQ(judge_text(spec, "abc\xD0\xB6"), std::nullopt) << "three of four";
  EXPECT_EQ(judge_text(spec, "ab\xD0\xB6"), text_fault::script);
  EXPECT_EQ(judge_text(spec, "2026"), std::nullopt) << "no letter is of another script";
}

}  // namespace
}  // namespace headrace::worker
