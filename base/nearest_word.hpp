#pragma once

#include <span>
#include <string>
#include <string_view>

namespace headrace {

/// The word that a person who wrote `word` most likely meant: the nearest by insertions, deletions,
/// replacements and swaps, at most a third of its length away (two for short ones). Of key paths
/// the last part counts on its own, too: the right key in the wrong section is near. Empty when
/// none is.
std::string nearest_word(std::string_view word, std::span<const std::string> words);

}  // namespace headrace
