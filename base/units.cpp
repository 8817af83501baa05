#include "base/units.hpp"

#include <array>
#include <charconv>
#include <cmath>
#include <span>

namespace headrace {
namespace {

struct unit {
  std::string_view word;
  double factor;
};
constexpr std::array<unit, 7> time_units{
    {{"ns", 1}, {"us", 1e3}, {"ms", 1e6}, {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}, {"d", 86400e9}}};
constexpr std::array<unit, 7> byte_units{{{"B", 1},
                                          {"kB", 1e3},
                                          {"MB", 1e6},
                                          {"GB", 1e9},
                                          {"KiB", 1024},
                                          {"MiB", 1048576},
                                          {"GiB", 1073741824}}};
constexpr double whole_max = 9.0e18;  // below 2^63: what a TOML integer holds

// "1.5ms" → 1.5 and its unit's factor, multiplied; nothing when it is not a whole count of the base
// unit.
std::optional<double> with_unit(std::string_view text, std::span<const unit> units) {
  double count = 0.0;
  const auto [rest, failed] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (failed != std::errc{} || count < 0.0) return std::nullopt;
  std::string_view word(rest, static_cast<std::size_t>(text.data() + text.size() - rest));
  while (word.starts_with(' ')) word.remove_prefix(1);
  for (const auto& known : units) {
    if (known.word != word) continue;
    const double value = std::round(count * known.factor);
    const bool exact = std::abs(value - count * known.factor) <= 1e-6;
    return exact && value < whole_max ? std::optional(value) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::optional<double> parse_duration_ns(std::string_view text) {
  return with_unit(text, time_units);
}
std::optional<double> parse_bytes(std::string_view text) { return with_unit(text, byte_units); }

std::string format_duration(std::uint64_t ns) {
  const unit* best = &time_units.front();
  for (const auto& candidate : time_units) {
    if (ns > 0 && ns % static_cast<std::uint64_t>(candidate.factor) == 0) best = &candidate;
  }
  if (ns == 0) return "0s";
  return std::to_string(ns / static_cast<std::uint64_t>(best->factor)) + std::string(best->word);
}

}  // namespace headrace
