#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>

namespace headrace::worker {

constexpr std::size_t shingle_words_max = 8;

/// 64 bits of which two texts that say nearly the same have nearly all in common (Charikar,
/// STOC'02; Manku et al., WWW'07): each bit is what the hashes of most of the shingles have there,
/// runs of `shingle_words` words, 1 … shingle_words_max. A text of fewer words is one shingle, one
/// without words has none. Words are runs of letters, marks and digits without regard to case; a
/// letter that is written without spaces (script_of) is a word by itself. The same on every build.
std::optional<std::uint64_t> simhash(std::string_view text, std::size_t shingle_words);

/// The letter in lower case, of Latin, Greek, Cyrillic and Armenian; another character as it is.
char32_t folded(char32_t character);

}  // namespace headrace::worker
