#pragma once

#include <cstdint>
#include <string>
#include <string_view>

/// Text and numbers as people read them, safe to place in HTML. A number that is not finite is
/// written "–".
namespace headrace::cli {

/// `text` for element content and quoted attributes: & < > " ' become references; bytes that are no
/// UTF-8, and control characters that XML forbids, become U+FFFD.
std::string escape_html(std::string_view text);

/// 1234567 → "1,234,567".
std::string with_commas(std::uint64_t value);
/// Rounded to a whole number with commas up to 10¹⁵, beyond that with an exponent; −3.2 → "−3".
std::string whole(double value);
/// `digits` (at most 9) behind the point, with a true minus sign; beyond 10¹⁵ with an exponent.
std::string fixed(double value, int digits);
/// Short enough for an axis: 950, 1.5k, 20M; decimal steps.
std::string compact(double value);
/// Decimal units, three figures: "84.0 B", "1.25 kB", "12.3 MB".
std::string people_bytes(double bytes);
/// "0.8 s", "20.1 s", "3 min 20 s", "2 h 05 min", "3 d 4 h".
std::string people_duration(double seconds);

}  // namespace headrace::cli
