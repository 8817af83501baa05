#include "base/json_line.hpp"

#include "base/check.hpp"
#include "base/utf8.hpp"

#include <array>
#include <charconv>
#include <cmath>

namespace headrace {
namespace {

void append_escaped(std::string& out, char c) {
  static constexpr std::string_view digits = "0123456789abcdef";
  switch (c) {
    case '"':
      out += "\\\"";
      return;
    case '\\':
      out += "\\\\";
      return;
    case '\n':
      out += "\\n";
      return;
    case '\r':
      out += "\\r";
      return;
    case '\t':
      out += "\\t";
      return;
    default:
      break;
  }
  const auto byte = static_cast<unsigned char>(c);
  if (byte >= 0x20 && byte != 0x7F) {
    out += c;
    return;
  }
  out += "\\u00";
  out += digits[byte >> 4];
  out += digits[byte & 15];
}

}  // namespace

void append_json_string(std::string& out, std::string_view text) {
  out += '"';
  while (!text.empty()) {
    const std::size_t length = utf8_length(text);
    if (length == 1) append_escaped(out, text.front());
    if (length == 0) out += "\xEF\xBF\xBD";
    if (length > 1) out += text.substr(0, length);
    text.remove_prefix(length == 0 ? 1 : length);
  }
  out += '"';
}

void append_json_number(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
    return;
  }
  std::array<char, 32> digits{};
  const auto written = std::to_chars(digits.data(), digits.data() + digits.size(), value);
  out.append(digits.data(), written.ptr);
}

void json_line::next() {
  if (!first_) text_ += ',';
  first_ = false;
}

void json_line::key(std::string_view name) {
  CHECK(open_.empty() || open_.back() == '}');
  next();
  append_json_string(text_, name);
  text_ += ':';
}

json_line& json_line::add(std::string_view name, std::string_view text) {
  key(name);
  append_json_string(text_, text);
  return *this;
}
json_line& json_line::add(std::string_view name, bool value) {
  return add_raw(name, value ? "true" : "false");
}
json_line& json_line::add(std::string_view name, double value) {
  key(name);
  append_json_number(text_, value);
  return *this;
}
json_line& json_line::add_null(std::string_view name) { return add_raw(name, "null"); }
json_line& json_line::add_raw(std::string_view name, std::string_view json) {
  key(name);
  text_ += json;
  return *this;
}

json_line& json_line::begin_object(std::string_view name) {
  key(name);
  text_ += '{';
  open_ += '}';
  first_ = true;
  return *this;
}
json_line& json_line::begin_array(std::string_view name) {
  key(name);
  text_ += '[';
  open_ += ']';
  first_ = true;
  return *this;
}
json_line& json_line::end() {
  CHECK(!open_.empty());
  text_ += open_.back();
  open_.pop_back();
  first_ = false;
  return *this;
}

json_line& json_line::add_item(std::string_view text) {
  add_raw_item("");
  append_json_string(text_, text);
  return *this;
}
json_line& json_line::add_item(double value) {
  add_raw_item("");
  append_json_number(text_, value);
  return *this;
}
json_line& json_line::add_raw_item(std::string_view json) {
  CHECK(!open_.empty());
  CHECK(open_.back() == ']');
  next();
  text_ += json;
  return *this;
}
json_line& json_line::begin_object_item() {
  add_raw_item("{");
  open_ += '}';
  first_ = true;
  return *this;
}

std::string json_line::text() const {
  return text_ + std::string(open_.rbegin(), open_.rend()) + '}';
}

}  // namespace headrace
