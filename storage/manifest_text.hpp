#pragma once

#include "base/parse_number.hpp"
#include "base/result.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// The text of our manifests: valid TOML that people read, written and read in one fixed order of
/// keys, with the CRC32C of all before it in the last line (docs/storage-format.md).
namespace headrace::storage {

/// `number` in `digits` lower-case hexadecimal digits.
std::string hex_number(std::uint64_t number, std::size_t digits);

class manifest_writer {
 public:
  /// `title` is the first line: a comment that says what the file is, with its line end.
  explicit manifest_writer(std::string_view title) : text_(title) {}

  void line(std::string_view key, std::uint64_t value);
  void line(std::string_view key, std::string_view value);
  /// Begins `[[name]]`.
  void section(std::string_view name);
  /// The whole text, with its checksum.
  std::string finish();

 private:
  std::string text_;
};

/// What stands before the checksum line. Fails: corrupt, naming `origin` and saying `advice`.
result<std::string_view> checked_body(std::string_view text,
                                      const std::string& origin,
                                      std::string_view advice);

/// Reads the lines of a body in the order in which they were written; the first surprise is kept as
/// a failure, and what is read after it is empty. Refers to the three texts it is made with.
class manifest_reader {
 public:
  manifest_reader(std::string_view body, const std::string& origin, std::string_view advice)
      : text_(body), origin_(origin), advice_(advice) {}

  void skip(std::string_view whole_line);
  template <class Number>
  Number number(std::string_view key) {
    const auto value = parse_number<Number>(raw(key));
    if (!value) fail(key);
    return value.value_or(Number{});
  }
  std::uint64_t hex_number(std::string_view key);
  std::string string(std::string_view key);
  /// Goes past `[[name]]` if that is what comes next.
  bool section(std::string_view name);
  /// Nothing may be left.
  void end();
  void fail(std::string_view expected);
  const std::optional<error>& failure() const { return failed_; }

 private:
  std::string_view raw(std::string_view key);
  void advance(std::size_t bytes);

  std::string_view text_;
  const std::string& origin_;
  std::string_view advice_;
  std::size_t line_ = 1;
  std::optional<error> failed_;
};

}  // namespace headrace::storage
