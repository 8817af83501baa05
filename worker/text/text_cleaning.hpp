#pragma once

#include "base/utf8.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace headrace::worker {

/// The first character of `text`, and its bytes; 0 bytes where it is empty or no UTF-8.
struct next_character {
  char32_t is = 0;
  std::size_t bytes = 0;
};
next_character first_character(std::string_view text);

/// Any of Unicode's White_Space.
bool is_space(char32_t character);
/// Control characters that are no white space, what has no width and joins nothing (soft hyphens,
/// direction marks, byte order marks, tags), and noncharacters.
bool is_invisible(char32_t character);

/// `text` without invisible characters, each run of white space one space, none at either end, into
/// `into`, replaced. What is clean stays as it is; letters are not changed (no Unicode
/// normalisation form). False, and `into` means nothing, where it is no UTF-8.
[[nodiscard]] bool clean_text(std::string_view text, std::string& into);

}  // namespace headrace::worker
