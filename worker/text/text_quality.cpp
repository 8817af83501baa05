#include "worker/text/text_quality.hpp"

#include "worker/text/text_cleaning.hpp"

#include <cstddef>

namespace headrace::worker {

std::string_view name(text_fault why) {
  constexpr std::array<std::string_view, text_faults> names{
      "text_too_short", "text_too_long", "text_symbols", "text_script", "text_near_duplicate"};
  return names[static_cast<std::size_t>(why)];
}

text_figures figures_of(std::string_view text) {
  text_figures found;
  for (next_character next = first_character(text); next.bytes > 0; next = first_character(text)) {
    text.remove_prefix(next.bytes);
    ++found.all;
    const script is = script_of(next.is);
    if (is_letter(is)) {
      ++found.letters;
      ++found.of_script[static_cast<std::size_t>(is)];
    } else if (is == script::digit) {
      ++found.digits;
    } else if (next.is == ' ') {
      ++found.spaces;
    } else if (is == script::symbol) {
      ++found.symbols;
    }
  }
  return found;
}

std::optional<text_fault> judge_text(const text_spec& spec, std::string_view text) {
  const text_figures found = figures_of(text);
  if (found.all < spec.chars_min) return text_fault::too_short;
  if (found.all > spec.chars_max) return text_fault::too_long;
  const auto share = [](std::uint64_t part, std::uint64_t of) {
    return of == 0 ? 0.0 : static_cast<double>(part) / static_cast<double>(of);
  };
  if (share(found.symbols, found.all - found.spaces) > spec.symbols_max) return text_fault::symbols;
  if (spec.scripts == 0 || found.letters == 0) return std::nullopt;
  std::uint64_t wanted = 0;
  for (std::size_t s = 0; s < letter_scripts; ++s) {
    if ((spec.scripts >> s & 1U) != 0) wanted += found.of_script[s];
  }
  if (share(wanted, found.letters) < spec.script_share) return text_fault::script;
  return std::nullopt;
}

}  // namespace headrace::worker
