#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace headrace::worker {

/// What letters a character is one of; kana is both hiragana and katakana.
enum class script : std::uint8_t {
  latin,
  greek,
  cyrillic,
  armenian,
  hebrew,
  arabic,
  devanagari,
  bengali,
  gurmukhi,
  gujarati,
  tamil,
  telugu,
  kannada,
  malayalam,
  sinhala,
  thai,
  lao,
  tibetan,
  myanmar,
  georgian,
  hangul,
  ethiopic,
  khmer,
  kana,
  han,
  other,  // a letter of none of these
  // No letters:
  mark,    // combines with the character in front of it, or shapes it
  digit,   // and other numbers
  symbol,  // punctuation, pictures, unassigned signs, white space, control characters
};
constexpr std::size_t letter_scripts = 26;  // those of letters stand first
constexpr bool is_letter(script what) { return what < script::mark; }

/// By Unicode blocks (Unicode 15), some of which are cut where letters and signs share them:
/// vowel signs count as letters of their script. Of any code point.
script script_of(char32_t character);
std::string_view name(script what);
/// A script of letters by its name; not `other`.
std::optional<script> script_named(std::string_view name);

/// Written without spaces between words: each letter stands for a word.
constexpr bool is_unspaced(script what) {
  return what == script::han || what == script::kana || what == script::thai ||
         what == script::lao || what == script::khmer || what == script::myanmar ||
         what == script::tibetan;
}

}  // namespace headrace::worker
