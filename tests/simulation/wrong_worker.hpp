#pragma once

#include "base/frame.hpp"

#include <utility>

/// What workers send that do not keep to sealed batches: the same numbers over other contents.
namespace headrace::simulation {

/// The section with another count for every row: a retry of a batch that nobody sealed.
frame with_other_contents(const frame& section);
/// The section's rows in two sections, each said to be the whole batch. Both are the section itself
/// where it has one row.
std::pair<frame, frame> in_two_sections(const frame& section);

}  // namespace headrace::simulation
