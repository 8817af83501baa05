#pragma once

#include "worker/ingest/row_cutter.hpp"

#include <memory>
#include <string>
#include <vector>

namespace headrace::worker {

/// Rows of a file of JSON lines: an object each, whose members are the columns.
///
/// Members of an object `features` are columns too, as in events, so a file of events is one of
/// rows. A text is itself, a number the text it is written as, true and false are 1 and 0; null, or
/// no such member, is an empty field. A list of these is a list, of which null is no item. What no
/// column names is not looked at, but that it is JSON as far as brackets, quotes and UTF-8 go.
std::unique_ptr<row_cutter> json_rows(const std::vector<std::string>& columns);

}  // namespace headrace::worker
