#include "cli/moment.hpp"

#include "base/units.hpp"
#include "worker/ingest/time_format.hpp"

#include <algorithm>
#include <cstdio>
#include <ctime>

namespace headrace::cli {
result<std::uint64_t> parse_moment(const std::string& text,
                                   const char* flag,
                                   std::uint64_t now_ms) {
  if (const auto ago_ns = parse_duration_ns(text))
    return now_ms - std::min(now_ms, static_cast<std::uint64_t>(*ago_ns / 1e6));
  const auto iso = worker::time_format::parse("%Y-%m-%dT%H:%M:%SZ");
  if (!iso) return iso.error();
  if (const auto ms = iso->to_ms(text)) return *ms;
  return error{errc::bad_config,
               std::string(flag) + " '" + text +
                   "' is no time: write 2026-11-26T10:00:00Z (UTC), or 15m for so long ago"};
}

std::string moment_text(std::uint64_t ms) {
  const auto seconds = static_cast<std::time_t>(ms / 1'000);
  std::tm utc{};
  ::gmtime_r(&seconds, &utc);
  char text[32];
  const std::size_t length = std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
  std::snprintf(text + length, sizeof(text) - length, ".%03uZ", static_cast<unsigned>(ms % 1'000));
  return text;
}

}  // namespace headrace::cli
