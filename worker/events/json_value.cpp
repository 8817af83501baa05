#include "worker/events/json_value.hpp"

#include "worker/ingest/time_format.hpp"

#include <algorithm>

namespace headrace::worker {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

}  // namespace

bool is_whole_number(std::string_view token) {
  if (token.starts_with('-')) token.remove_prefix(1);
  if (token.empty() || (token.size() > 1 && token.front() == '0')) return false;
  return std::all_of(token.begin(), token.end(), is_digit);
}

bool looks_like_number(std::string_view token) {
  constexpr std::string_view others = "+-.eE";
  return std::all_of(token.begin(), token.end(), [&](char c) {
    return is_digit(c) || others.find(c) != std::string_view::npos;
  });
}

std::optional<std::uint64_t> ms_of_rfc3339(std::string_view text) {
  static const time_format format = time_format::parse("%Y-%m-%dT%H:%M:%S%z").value();
  return format.to_ms(text);
}

std::optional<std::uint64_t> ms_of_number(std::string_view token) {
  static const time_format format = time_format::parse("unix_ms").value();
  return format.to_ms(token);
}

}  // namespace headrace::worker
