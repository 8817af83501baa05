#pragma once

#include "worker/ingest/bad_rows.hpp"
#include "worker/ingest/source_spec.hpp"

#include <optional>
#include <string>
#include <string_view>

/// How the text of a column is read: of a file's row and of an event alike.
namespace headrace::worker {

/// A value as it may stand in one line of a log: short, quoted, without control characters.
std::string shown(std::string_view text);

/// Without spaces and tabs around it.
std::string_view trimmed(std::string_view text);

/// A finite number that the whole text is, or why not: not_a_number, not_finite.
std::optional<bad_row> to_number(std::string_view text, double& into);

/// Whether `value` makes the label 1.
bool holds(label_spec::comparison is, double value, double threshold);

}  // namespace headrace::worker
