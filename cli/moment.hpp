#pragma once

#include "base/result.hpp"

#include <cstdint>
#include <string>

namespace headrace::cli {

/// A time that a flag names, in ms since 1970-01-01 UTC: "2026-11-26T10:00:00Z", with or without
/// ".250" before the Z, or "15m", so long before `now_ms`. Fails: bad_config, naming the flag.
result<std::uint64_t> parse_moment(const std::string& text, const char* flag, std::uint64_t now_ms);

/// The text that names a time: "2026-11-26T10:00:00.250Z".
std::string moment_text(std::uint64_t ms);

}  // namespace headrace::cli
