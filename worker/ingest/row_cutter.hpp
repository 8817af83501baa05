#pragma once

#include "worker/ingest/record_reader.hpp"
#include "worker/ingest/row_parser.hpp"
#include "worker/ingest/source_spec.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// A row cut into columns. Texts stay until the next row is cut.
struct cut_row {
  std::vector<std::string_view> fields;  // [columns]
  row_lists lists;                       // of formats that have such
};

/// Cuts a record of a file into the columns of the job, in one of the formats.
class row_cutter {
 public:
  virtual ~row_cutter() = default;
  virtual std::optional<row_problem> cut(const record& from, cut_row& into) = 0;
};

/// Fields between separators.
std::unique_ptr<row_cutter> delimited_rows(record_layout layout);

/// Names that the job gives columns, each once: those of the labels, of the time, of the features.
/// What a format without places for columns has.
std::vector<std::string> used_columns(const source_spec& spec);

}  // namespace headrace::worker
