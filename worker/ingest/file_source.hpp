#pragma once

#include "worker/ingest/event_source.hpp"
#include "worker/ingest/record_reader.hpp"
#include "worker/ingest/row_cutter.hpp"
#include "worker/ingest/row_parser.hpp"
#include "worker/text/text_filter.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace headrace::worker {

/// Events from a file of rows in file order; plain, gzip or zstd (base/byte_input.hpp). Rows are
/// CSV or TSV, JSON lines (worker/events/json_rows.hpp) or libSVM (worker/ingest/libsvm_rows.hpp).
///
/// Column names of delimited rows come from `columns` of the job file (a header is then skipped),
/// else from the header; without either, columns go by number and the first row says how many there
/// are.
///
/// Standard input (`-`) is read once: the number of its records is not known, and `skip` needs the
/// same bytes again, from the beginning.
class file_source final : public event_source {
 public:
  /// Fails: see make_source.
  static result<std::unique_ptr<file_source>> open(const source_spec& spec);

  result<bool> next(event& into) override;
  result<void> skip(std::uint64_t through) override;
  std::uint64_t position() const override { return position_; }
  result<std::uint64_t> count_records() const override;
  const bad_rows& bad() const override { return bad_; }
  std::size_t features() const override { return parser_.features(); }

 private:
  struct opened;
  explicit file_source(opened made);
  static result<opened> open_delimited(const source_spec& spec);
  static result<opened> open_named(const source_spec& spec);
  std::optional<row_problem> read_row(event& into);
  std::optional<row_problem> clean_texts();

  std::string file_;
  record_layout layout_;
  bool header_;
  record_reader reader_;
  std::unique_ptr<row_cutter> cutter_;
  row_parser parser_;
  bad_rows bad_;
  std::uint64_t position_ = 0;
  record record_;
  cut_row row_;
  text_filter filter_;
  std::vector<std::size_t> text_columns_;
  std::vector<std::string> texts_;  // of the row at work, clean
};

}  // namespace headrace::worker
