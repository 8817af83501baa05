#include "base/log.hpp"

#include "base/json_line.hpp"

#include <spdlog/logger.h>
#include <spdlog/pattern_formatter.h>
#include <spdlog/sinks/stdout_color_sinks.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <memory>
#include <unistd.h>
#include <utility>

namespace headrace {
namespace {

constexpr const char* text_pattern = "%H:%M:%S.%e %^%v%$";
constexpr const char* json_pattern = R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ",%v})";

spdlog::level::level_enum to_spdlog(log_level level) {
  switch (level) {
    case log_level::debug:
      return spdlog::level::debug;
    case log_level::info:
      return spdlog::level::info;
    case log_level::warn:
      return spdlog::level::warn;
    case log_level::error:
      return spdlog::level::err;
    case log_level::off:
      return spdlog::level::off;
  }
  return spdlog::level::off;
}

std::string_view word(log_level level) {
  switch (level) {
    case log_level::debug:
      return "debug";
    case log_level::info:
      return "info";
    case log_level::warn:
      return "warn";
    case log_level::error:
      return "error";
    case log_level::off:
      break;
  }
  return "off";
}

log_format resolve(log_format format) {
  if (format != log_format::automatic) return format;
  return ::isatty(STDERR_FILENO) == 1 ? log_format::text : log_format::json;
}

// spdlog brings the clock, the lock around a whole line and the colours; the line is ours.
class output {
 public:
  output()
      : sink_(std::make_shared<spdlog::sinks::stderr_color_sink_mt>(
            std::getenv("NO_COLOR") == nullptr ? spdlog::color_mode::automatic
                                               : spdlog::color_mode::never)),
        logger_("headrace", sink_) {
    set_format(log_format::automatic);
    logger_.set_level(spdlog::level::info);
  }

  void set_format(log_format wanted) {
    format_ = resolve(wanted);
    const bool json = format_ == log_format::json;
    sink_->set_formatter(std::make_unique<spdlog::pattern_formatter>(
        json ? json_pattern : text_pattern,
        json ? spdlog::pattern_time_type::utc : spdlog::pattern_time_type::local,
        "\n"));
  }
  void set_level(log_level level) { logger_.set_level(to_spdlog(level)); }

  void write(log_level level, std::string_view event, log_fields fields) {
    const auto severity = to_spdlog(level);
    if (!logger_.should_log(severity)) return;
    const std::string line = format_event(format_, level, event, fields);
    logger_.log(severity, spdlog::string_view_t(line.data(), line.size()));
    logger_.flush();
  }

 private:
  std::shared_ptr<spdlog::sinks::stderr_color_sink_mt> sink_;
  spdlog::logger logger_;
  std::atomic<log_format> format_{log_format::text};
};

// Never destroyed: other threads may still log while the process ends.
output& the_output() {
  static auto* made = new output;
  return *made;
}

void append_json_value(std::string& out, const log_value::stored& value) {
  if (const auto* text = std::get_if<std::string_view>(&value)) append_json_string(out, *text);
  if (const auto* number = std::get_if<double>(&value)) append_json_number(out, *number);
  if (const auto* whole = std::get_if<std::int64_t>(&value)) out += std::to_string(*whole);
  if (const auto* whole = std::get_if<std::uint64_t>(&value)) out += std::to_string(*whole);
  if (const auto* flag = std::get_if<bool>(&value)) out += *flag ? "true" : "false";
}

// Text that a reader could mistake for the next field is quoted.
void append_text_value(std::string& out, const log_value::stored& value) {
  const auto* text = std::get_if<std::string_view>(&value);
  const auto needs_quotes = [](char c) { return c <= ' ' || c == '"' || c == '=' || c == '\x7F'; };
  if (text != nullptr && !text->empty() && std::none_of(text->begin(), text->end(), needs_quotes)) {
    out += *text;
  } else {
    append_json_value(out, value);
  }
}

std::string format_json(log_level level, std::string_view event, log_fields fields) {
  std::string line = R"("level":")";
  line.append(word(level)).append(R"(","event":)");
  append_json_string(line, event);
  for (const auto& field : fields) {
    line += ',';
    append_json_string(line, field.key);
    line += ':';
    append_json_value(line, field.value.get());
  }
  return line;
}

std::string format_text(log_level level, std::string_view event, log_fields fields) {
  std::string line{word(level)};
  line.append(" ").append(event);
  for (const auto& field : fields) {
    line.append(" ").append(field.key).append("=");
    append_text_value(line, field.value.get());
  }
  return line;
}

}  // namespace

void log_debug(std::string_view event, log_fields fields) {
  the_output().write(log_level::debug, event, fields);
}
void log_info(std::string_view event, log_fields fields) {
  the_output().write(log_level::info, event, fields);
}
void log_warn(std::string_view event, log_fields fields) {
  the_output().write(log_level::warn, event, fields);
}
void log_error(std::string_view event, log_fields fields) {
  the_output().write(log_level::error, event, fields);
}

void set_log_level(log_level level) { the_output().set_level(level); }
void set_log_format(log_format format) { the_output().set_format(format); }

std::string format_event(log_format format,
                         log_level level,
                         std::string_view event,
                         log_fields fields) {
  return format == log_format::json ? format_json(level, event, fields)
                                    : format_text(level, event, fields);
}

}  // namespace headrace
