#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

/// What one scalar of a JSON text means as part of an event. No JSON library here.
namespace headrace::worker {

/// Whether `token` is a whole number as JSON spells it: no sign but '-', no leading zero, no
/// fraction, no exponent.
bool is_whole_number(std::string_view token);

/// Whether `token` consists of what numbers are written with: one that cannot be held then is too
/// large rather than no number.
bool looks_like_number(std::string_view token);

/// Milliseconds since 1970 of RFC 3339 with an offset, such as 2026-11-27T10:00:00.25+01:00;
/// nothing before 1970.
std::optional<std::uint64_t> ms_of_rfc3339(std::string_view text);
/// Of a JSON number of milliseconds; a fraction is cut off. Nothing below 0 or beyond 9·10^15.
std::optional<std::uint64_t> ms_of_number(std::string_view token);

}  // namespace headrace::worker
