#pragma once

#include "actors/progress_board.hpp"

#include <string>

namespace headrace::cli {

/// The part of the report with a row for each predicted label; nothing where there is only one,
/// whose figures are everywhere else.
std::string heads_section(const actors::progress& figures);

}  // namespace headrace::cli
