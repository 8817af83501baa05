#pragma once

#include "worker/text/letter_table.hpp"
#include "worker/text/text_spec.hpp"

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>

namespace headrace::worker {

/// Characters of a clean text, by what they are; `all` counts spaces, too.
struct text_figures {
  std::uint64_t all = 0;
  std::uint64_t spaces = 0;
  std::uint64_t letters = 0;
  std::uint64_t digits = 0;
  std::uint64_t symbols = 0;
  std::array<std::uint64_t, letter_scripts> of_script{};  // letters

  friend bool operator==(const text_figures&, const text_figures&) = default;
};
/// Of UTF-8; what follows something else is not counted.
text_figures figures_of(std::string_view text);

/// The first of the bounds of `spec` that a clean text does not keep, near duplicates aside.
std::optional<text_fault> judge_text(const text_spec& spec, std::string_view text);

}  // namespace headrace::worker
