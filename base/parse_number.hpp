#pragma once

#include <charconv>
#include <concepts>
#include <optional>
#include <string_view>
#include <system_error>

namespace headrace {

/// The number that the whole of `text` is, as std::from_chars reads it: no sign but '-', no spaces,
/// '.' whatever the locale. Nothing when something is left over, when it is empty, or when the type
/// cannot hold it.
template <class Number>
std::optional<Number> parse_number(std::string_view text) {
  Number value{};
  const char* last = text.data() + text.size();
  const auto [end, failed] = std::from_chars(text.data(), last, value);
  if (failed != std::errc{} || end != last) return std::nullopt;
  return value;
}

/// The same for a whole number in hexadecimal digits.
template <std::integral Number>
std::optional<Number> parse_hex(std::string_view text) {
  Number value{};
  const char* last = text.data() + text.size();
  const auto [end, failed] = std::from_chars(text.data(), last, value, 16);
  if (failed != std::errc{} || end != last) return std::nullopt;
  return value;
}

}  // namespace headrace
