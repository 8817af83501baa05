#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace headrace {

/// Appends `text` to `out` as a JSON string, quotes included. Bytes that are not UTF-8 become
/// U+FFFD.
void append_json_string(std::string& out, std::string_view text);
/// Appends the shortest digits that read back as `value`; `null` when it is not finite.
void append_json_number(std::string& out, double value);

/// Writes one JSON object on one line, in the order of the calls: what `--json` prints.
///
///     json_line line;
///     line.add("samples", 100'000).add("auc", 0.77).add_null("memory_bytes");
///     line.begin_array("shards").add_item(1).add_item(2).end();
///     std::puts(line.text().c_str());  //
///     {"samples":100000,"auc":0.77,"memory_bytes":null,"shards":[1,2]}
class json_line {
 public:
  json_line& add(std::string_view key, std::string_view text);
  json_line& add(std::string_view key, const char* text) {
    return add(key, std::string_view(text));
  }
  json_line& add(std::string_view key, bool value);
  json_line& add(std::string_view key, double value);  // not finite: null
  template <std::integral Integer>
  json_line& add(std::string_view key, Integer value) {
    return add_raw(key, std::to_string(value));
  }
  /// The value, or null.
  template <class Value>
  json_line& add(std::string_view key, const std::optional<Value>& value) {
    return value ? add(key, *value) : add_null(key);
  }
  json_line& add_null(std::string_view key);
  /// `json` is written as it stands: a number or a whole JSON value made elsewhere.
  json_line& add_raw(std::string_view key, std::string_view json);

  /// Opens an object or array as the value of `key`; `end` closes the innermost.
  json_line& begin_object(std::string_view key);
  json_line& begin_array(std::string_view key);
  json_line& end();
  /// Elements of the open array.
  json_line& add_item(std::string_view text);
  json_line& add_item(const char* text) { return add_item(std::string_view(text)); }
  json_line& add_item(double value);
  template <std::integral Integer>
  json_line& add_item(Integer value) {
    return add_raw_item(std::to_string(value));
  }
  json_line& add_raw_item(std::string_view json);
  json_line& begin_object_item();

  /// The object, closed; the writer can go on afterwards. No line end.
  std::string text() const;

 private:
  void next();
  void key(std::string_view name);
  std::string text_ = "{";
  std::string open_;  // closing brackets of what is open inside the object, innermost last
  bool first_ = true;
};

}  // namespace headrace
