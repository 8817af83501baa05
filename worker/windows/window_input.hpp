#pragma once

#include "schemas/hash.hpp"

#include <cstdint>
#include <span>
#include <string_view>

namespace headrace::worker {

/// What one event means to one window: what it asks for, and whether it counts in what comes later.
struct window_input {
  schemas::hash128 key;
  std::uint64_t value = 0;  // what is summed, as a double's bits, or the row key that is listed
  bool has_key = false;     // else it neither asks nor feeds
  bool feeds = false;
  bool lacks = false;  // it is what the window is fed with, but a column for that is not there
};

/// Key of a window: of the texts in their columns, none of them empty.
schemas::hash128 window_key(std::span<const std::string_view> texts);

}  // namespace headrace::worker
