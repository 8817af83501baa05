#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

/// Durations and sizes as people write them: "1.5ms", "64MiB".
namespace headrace {

/// Nanoseconds of a number with ns, us, ms, s, m, h or d; nothing when it is something else, not a
/// whole count of nanoseconds, or beyond 9e18.
std::optional<double> parse_duration_ns(std::string_view text);
/// Bytes of a number with B, kB, MB, GB, KiB, MiB or GiB; nothing otherwise.
std::optional<double> parse_bytes(std::string_view text);
/// In the largest unit that holds it whole: 1'000'000 is "1ms", 0 is "0s".
std::string format_duration(std::uint64_t ns);

}  // namespace headrace
