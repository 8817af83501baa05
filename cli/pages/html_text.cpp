#include "cli/pages/html_text.hpp"

#include "base/utf8.hpp"

#include <array>
#include <cmath>
#include <cstdio>

namespace headrace::cli {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";  // U+FFFD
constexpr std::string_view minus = "\xE2\x88\x92";        // U+2212, as wide as a figure

std::string print(const char* format, double value) {
  char text[40];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

std::string print(int digits, double value) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

bool is_forbidden(std::string_view character) {
  const auto first = static_cast<unsigned char>(character[0]);
  const bool control = first < 0x20 && first != '\t' && first != '\n' && first != '\r';
  return control || first == 0x7F || character == "\xEF\xBF\xBE" || character == "\xEF\xBF\xBF";
}

std::string_view escaped(std::string_view character) {
  switch (character[0]) {
    case '&':
      return "&amp;";
    case '<':
      return "&lt;";
    case '>':
      return "&gt;";
    case '"':
      return "&quot;";
    case '\'':
      return "&#39;";
    default:
      return is_forbidden(character) ? replacement : character;
  }
}

// "1234567" → "1,234,567".
std::string grouped(const std::string& digits) {
  std::string out;
  for (std::size_t i = 0; i < digits.size(); ++i) {
    if (i > 0 && (digits.size() - i) % 3 == 0) out += ',';
    out += digits[i];
  }
  return out;
}

// `value` over the step of 1000 that leaves 1 … 999, and which step that is, at most `steps`.
std::pair<double, std::size_t> scaled(double value, std::size_t steps) {
  std::size_t step = 0;
  while (std::abs(value) >= 999.5 && step < steps) {
    value /= 1000;
    ++step;
  }
  return {value, step};
}

std::string three_figures(double value) {
  const double size = std::abs(value);
  return fixed(value, size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

std::string without_end_zeros(std::string text) {
  if (text.find('.') == std::string::npos) return text;
  while (text.back() == '0') text.pop_back();
  if (text.back() == '.') text.pop_back();
  return text;
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size() + text.size() / 8);
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    out += length == 0 ? replacement : escaped(text.substr(0, length));
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

std::string with_commas(std::uint64_t value) { return grouped(std::to_string(value)); }

std::string whole(double value) {
  if (!std::isfinite(value)) return "–";
  if (std::abs(value) >= 1e15) return print("%.3g", value);
  const auto size = static_cast<std::uint64_t>(std::llround(std::abs(value)));
  return (value < 0 && size > 0 ? std::string(minus) : "") + with_commas(size);
}

std::string fixed(double value, int digits) {
  if (!std::isfinite(value)) return "–";
  if (std::abs(value) >= 1e15) return print("%.3g", value);
  const std::string text = print(digits, std::abs(value));
  const bool zero = text.find_first_not_of("0.") == std::string::npos;
  return (value < 0 && !zero ? std::string(minus) : "") + text;
}

std::string compact(double value) {
  static constexpr std::array<const char*, 5> units = {"", "k", "M", "G", "T"};
  if (std::abs(value) >= 1e15) return print("%.3g", value);
  const auto [number, step] = scaled(value, units.size() - 1);
  return without_end_zeros(three_figures(number)) + units[step];
}

std::string people_bytes(double bytes) {
  static constexpr std::array<const char*, 6> units = {"B", "kB", "MB", "GB", "TB", "PB"};
  if (!std::isfinite(bytes)) return "–";
  if (bytes == 0) return "0 B";
  const auto [number, step] = scaled(bytes, units.size() - 1);
  return (step > 0 ? three_figures(number) : fixed(number, number < 99.95 ? 1 : 0)) + " " +
         units[step];
}

std::string people_duration(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds >= 1e15) return "–";
  if (seconds < 99.95) return fixed(seconds, seconds < 0.95 ? 2 : 1) + " s";
  const auto all = static_cast<std::uint64_t>(std::llround(seconds));
  const auto two = [](std::uint64_t value) {
    return (value < 10 ? "0" : "") + std::to_string(value);
  };
  if (all < 3600) return std::to_string(all / 60) + " min " + two(all % 60) + " s";
  if (all < 86400) return std::to_string(all / 3600) + " h " + two(all / 60 % 60) + " min";
  return with_commas(all / 86400) + " d " + std::to_string(all / 3600 % 24) + " h";
}

}  // namespace headrace::cli
