#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace headrace::worker {

/// Which texts of a column are learned from. Lengths are in characters of the clean text
/// (text_cleaning.hpp), spaces included; shares are 0 … 1.
struct text_spec {
  std::string column;
  std::uint64_t chars_min = 0;
  std::uint64_t chars_max = UINT64_MAX;
  double symbols_max = 1.0;      // of the characters without spaces
  std::uint32_t scripts = 0;     // bit s: letters of script s are wanted; 0 = any
  double script_share = 0.5;     // of the letters, at least; a text without letters passes
  std::optional<unsigned> near;  // bits in which near duplicates differ at most; none: all pass
  std::size_t near_window = 100'000;  // texts that are known, the newest
  std::size_t shingle_words = 3;
};

/// Why a text is left out.
enum class text_fault : std::uint8_t {
  too_short,
  too_long,
  symbols,         // too large a share of them
  script,          // too small a share of its letters is of the wanted scripts
  near_duplicate,  // of one of the texts before
};
constexpr std::size_t text_faults = 5;
std::string_view name(text_fault why);

}  // namespace headrace::worker
