#include "worker/text/text_cleaning.hpp"

namespace headrace::worker {
namespace {

constexpr bool in(char32_t c, char32_t first, char32_t last) { return c >= first && c <= last; }

}  // namespace

next_character first_character(std::string_view text) {
  if (text.empty()) return {};
  const std::size_t bytes = utf8_length(text);
  if (bytes == 0) return {};
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  if (bytes == 1) return {byte(0), 1};
  char32_t is = byte(0) & (0x7FU >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) is = (is << 6) | (byte(i) & 0x3FU);
  return {is, bytes};
}

bool is_space(char32_t c) {
  return c == ' ' || in(c, 0x09, 0x0D) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         in(c, 0x2000, 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_invisible(char32_t c) {
  if (is_space(c)) return false;
  return c < 0x20 || in(c, 0x7F, 0x9F) || c == 0xAD || c == 0x61C || c == 0x180E || c == 0x200B ||
         in(c, 0x200E, 0x200F) || in(c, 0x202A, 0x202E) || in(c, 0x2060, 0x206F) || c == 0xFEFF ||
         in(c, 0xFDD0, 0xFDEF) || in(c, 0xFFF0, 0xFFFB) || (c & 0xFFFE) == 0xFFFE ||
         in(c, 0xE0000, 0xE007F);
}

bool clean_text(std::string_view text, std::string& into) {
  into.clear();
  bool space = false;
  while (!text.empty()) {
    const next_character next = first_character(text);
    if (next.bytes == 0) return false;
    if (is_space(next.is)) {
      space = !into.empty();
    } else if (!is_invisible(next.is)) {
      if (space) into += ' ';
      space = false;
      into += text.substr(0, next.bytes);
    }
    text.remove_prefix(next.bytes);
  }
  return true;
}

}  // namespace headrace::worker
