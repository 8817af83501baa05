#pragma once

#include "base/result.hpp"
#include "worker/ingest/row_cutter.hpp"

#include <memory>
#include <string>
#include <vector>

namespace headrace::worker {

/// Rows as libSVM, SVMlight and libFM write them: `label index:value index:value …`, with
/// `qid:number` behind the label where there are groups, and `#` before a comment.
///
/// Columns are `label`, `qid` (empty where there is none), an index as it stands in the file (its
/// value, 0 where it is not there), and `indices`: the list of those with a value other than 0, in
/// the order of the row. Indices are whole numbers below 2^64, each once in a row; values are
/// finite numbers. Fails: bad_config, naming a column that is none of these.
result<std::unique_ptr<row_cutter>> libsvm_rows(const std::vector<std::string>& columns);

}  // namespace headrace::worker
