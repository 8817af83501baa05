#pragma once

#include "cli/run_series.hpp"

#include <string>

namespace headrace::cli {

/// The line a second on a terminal, in the manner of Vowpal Wabbit: columns with a head, no cursor
/// games.
std::string live_head();
std::string live_line(const series_point& point);

}  // namespace headrace::cli
