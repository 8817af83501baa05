#pragma once

#include "worker/ingest/event_source.hpp"
#include "worker/ingest/record_reader.hpp"
#include "worker/ingest/row_parser.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// Events from a CSV or TSV file in file order; plain, gzip or zstd (base/byte_input.hpp).
///
/// Column names come from `columns` of the job file (a header is then skipped), else from the
/// header; without either, columns go by number and the first row says how many there are.
class delimited_source final : public event_source {
 public:
  /// Fails: see make_source.
  static result<std::unique_ptr<delimited_source>> open(const source_spec& spec);

  result<bool> next(event& into) override;
  result<void> skip(std::uint64_t through) override;
  std::uint64_t position() const override { return position_; }
  result<std::uint64_t> count_records() const override;
  const bad_rows& bad() const override { return bad_; }
  std::size_t features() const override { return parser_.features(); }

 private:
  delimited_source(std::string file,
                   record_layout layout,
                   bool header,
                   std::uint64_t bad_rows_max,
                   record_reader reader,
                   row_parser parser);

  std::string file_;
  record_layout layout_;
  bool header_;
  record_reader reader_;
  row_parser parser_;
  bad_rows bad_;
  std::uint64_t position_ = 0;
  record record_;
  std::vector<std::string_view> fields_;
  std::string scratch_;
};

}  // namespace headrace::worker
