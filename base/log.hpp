#pragma once

#include <concepts>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <variant>

/// Structured events on standard error, never on standard output. On a terminal one line of
/// `key=value`, elsewhere one JSON object a line:
///
///     log_warn("ingest.bad_row", {{"file", path}, {"line", 17}, {"reason", "not a number"}});
///
/// Any thread may log; a line is written whole. An event's name is `part.what`, lower case.
namespace headrace {

enum class log_level : std::uint8_t { debug, info, warn, error, off };
enum class log_format : std::uint8_t { automatic, text, json };

/// One value of an event; made from text, integers, floating point and bool. Text is viewed, not
/// copied: it lives until the logging call returns.
class log_value {
 public:
  using stored = std::variant<std::string_view, std::int64_t, std::uint64_t, double, bool>;

  log_value(bool value) : value_(value) {}  // NOLINT(google-explicit-constructor)
  log_value(const char* text)
      : value_(std::string_view(text)) {}             // NOLINT(google-explicit-constructor)
  log_value(std::string_view text) : value_(text) {}  // NOLINT(google-explicit-constructor)
  log_value(const std::string& text)
      : value_(std::string_view(text)) {}  // NOLINT(google-explicit-constructor)
  template <std::signed_integral Integer>
  log_value(Integer value)
      : value_(static_cast<std::int64_t>(value)) {}  // NOLINT(google-explicit-constructor)
  template <std::unsigned_integral Integer>
  log_value(Integer value)
      : value_(static_cast<std::uint64_t>(value)) {}  // NOLINT(google-explicit-constructor)
  template <std::floating_point Real>
  log_value(Real value)
      : value_(static_cast<double>(value)) {}  // NOLINT(google-explicit-constructor)

  const stored& get() const { return value_; }

 private:
  stored value_;
};

struct log_field {
  std::string_view key;
  log_value value;
};
using log_fields = std::initializer_list<log_field>;

void log_debug(std::string_view event, log_fields fields = {});
void log_info(std::string_view event, log_fields fields = {});
void log_warn(std::string_view event, log_fields fields = {});
void log_error(std::string_view event, log_fields fields = {});

/// Events below `level` are dropped; `info` at start.
void set_log_level(log_level level);
/// `automatic` (at start): text when standard error is a terminal, else JSON.
void set_log_format(log_format format);

/// What stands after the time stamp: `warn ingest.bad_row line=17`, or the members
/// `"level":"warn","event":…`. For tests.
std::string format_event(log_format format,
                         log_level level,
                         std::string_view event,
                         log_fields fields);

}  // namespace headrace
