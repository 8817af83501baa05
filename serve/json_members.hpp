#pragma once

#include "base/parse_number.hpp"
#include "base/result.hpp"
#include "base/utf8.hpp"
#include "schemas/event.hpp"
#include "worker/events/json_event_reader.hpp"
#include "worker/events/json_value.hpp"
#include "worker/ingest/column_text.hpp"

#include <algorithm>
#include <cstddef>
#include <optional>
#include <simdjson.h>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

/// Members and items of requests in JSON, strictly: what is not known or there twice is refused.
/// `where` names the place in what is said of it. All fail: malformed (no JSON), bad_input (JSON of
/// another form), too_large.
namespace headrace::serve {

namespace ondemand = simdjson::ondemand;
using ondemand::json_type;

inline constexpr std::size_t names_max = 256;  // heads or outputs that are named

inline error bad(const std::string& why) { return {errc::bad_input, why}; }
/// Of the text.
inline error not_json(simdjson::error_code code) {
  if (code == simdjson::UTF8_ERROR) return {errc::malformed, "the text is not UTF-8"};
  return {errc::malformed, std::string("not JSON: ") + simdjson::error_message(code)};
}
/// Of a value: another type than is needed is no broken text.
inline error not_that(simdjson::error_code code, const std::string& where, const char* needed) {
  if (code == simdjson::INCORRECT_TYPE) return bad(where + ": " + needed + " is needed");
  return not_json(code);
}

inline std::string list_of(std::span<const std::string_view> names) {
  std::string text;
  for (const std::string_view name : names) text += (text.empty() ? "" : ", ") + std::string(name);
  return text;
}

inline std::string_view token_of(ondemand::value& from) {
  return worker::without_spaces(from.raw_json_token());
}

/// Calls take(name, value) → result<void> for each member; each at most once, and only those that
/// are accepted.
template <class Take>
result<void> each_member(ondemand::object& from,
                         const std::string& where,
                         std::span<const std::string_view> accepted,
                         const Take& take) {
  std::vector<bool> seen(accepted.size());
  for (auto field : from) {
    std::string_view name;
    ondemand::value value;
    if (const auto code = field.error()) return not_json(code);
    if (const auto code = field.unescaped_key().get(name)) return not_json(code);
    if (const auto code = field.value().get(value)) return not_json(code);
    const auto at = std::ranges::find(accepted, name);
    if (at == accepted.end()) {
      return bad(where + "member " + worker::shown(name) + " is not known; there may be " +
                 list_of(accepted));
    }
    const auto place = static_cast<std::size_t>(at - accepted.begin());
    if (seen[place]) return bad(where + worker::shown(name) + " is there twice");
    seen[place] = true;
    if (auto taken = take(name, value); !taken) return taken;
  }
  return {};
}

/// Calls take(i, value) → result<void> for each item.
template <class Take>
result<void> each_item(ondemand::value& from, const std::string& where, const Take& take) {
  ondemand::array array;
  if (const auto code = from.get_array().get(array)) return not_that(code, where, "a list");
  std::size_t i = 0;
  for (auto element : array) {
    ondemand::value item;
    if (const auto code = element.get(item)) return not_json(code);
    if (auto taken = take(i++, item); !taken) return taken;
  }
  return {};
}

/// At most schemas::event_text_bytes_max.
inline result<std::string> read_text(ondemand::value& from, const std::string& where) {
  std::string_view text;
  if (const auto code = from.get_string().get(text)) return not_that(code, where, "a text");
  if (text.size() > schemas::event_text_bytes_max) return bad(where + ": the text is too long");
  if (!is_utf8(text)) return bad(where + ": the text is not UTF-8");  // an escaped half of a pair
  return std::string(text);
}

/// A whole number from 0 on.
template <class Number>
result<Number> read_whole(ondemand::value& from, const std::string& where) {
  const std::string_view token = token_of(from);
  const auto number = worker::is_whole_number(token) ? parse_number<Number>(token) : std::nullopt;
  if (!number) return bad(where + ": a whole number from 0 on is needed");
  return *number;
}

inline result<void> read_names(ondemand::value& from,
                               const std::string& where,
                               std::vector<std::string>& into) {
  auto read = each_item(from, where, [&](std::size_t i, ondemand::value& item) -> result<void> {
    if (i == names_max) return error{errc::too_large, where + ": too many"};
    auto name = read_text(item, where);
    if (!name) return name.error();
    if (std::ranges::find(into, *name) != into.end())
      return bad(where + ": " + worker::shown(*name) + " is there twice");
    into.push_back(std::move(*name));
    return {};
  });
  if (read && into.empty()) return bad(where + ": the list is empty");
  return read;
}

/// A text or a whole number, as its digits.
inline result<std::string> read_id(ondemand::value& from, const std::string& where) {
  json_type type{};
  if (const auto code = from.type().get(type)) return not_json(code);
  if (type == json_type::string) return read_text(from, where);
  const std::string_view token = token_of(from);
  if (type == json_type::number && worker::is_whole_number(token)) return std::string(token);
  return bad(where + ": a text or a whole number is needed");
}

}  // namespace headrace::serve
