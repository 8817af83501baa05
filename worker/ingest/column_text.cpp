#include "worker/ingest/column_text.hpp"

#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <system_error>

namespace headrace::worker {
namespace {

constexpr std::size_t shown_bytes = 40;  // of a value in a message

}  // namespace

std::string shown(std::string_view text) {
  std::string out = "'";
  for (const char c : text.substr(0, shown_bytes))
    out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  return out + (text.size() > shown_bytes ? "…'" : "'");
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

std::optional<bad_row> to_number(std::string_view text, double& into) {
  text = trimmed(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  const char* last = text.data() + text.size();
  const auto [end, failed] = std::from_chars(text.data(), last, into);
  if (failed == std::errc::result_out_of_range && end == last) {
    into =
        std::strtod(std::string(text).c_str(), nullptr);  // says which: infinite, or as good as 0
    return std::isfinite(into) ? std::nullopt : std::optional(bad_row::not_finite);
  }
  if (failed != std::errc() || end != last) return bad_row::not_a_number;
  if (!std::isfinite(into)) return bad_row::not_finite;
  return std::nullopt;
}

bool holds(label_spec::comparison is, double value, double threshold) {
  switch (is) {
    case label_spec::comparison::less:
      return value < threshold;
    case label_spec::comparison::less_equal:
      return value <= threshold;
    case label_spec::comparison::equal:
      return value == threshold;
    case label_spec::comparison::not_equal:
      return value != threshold;
    case label_spec::comparison::greater_equal:
      return value >= threshold;
    case label_spec::comparison::greater:
      return value > threshold;
  }
  return false;
}

}  // namespace headrace::worker
