#pragma once

#include "base/byte_input.hpp"
#include "base/result.hpp"
#include "worker/ingest/bad_rows.hpp"

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// How a delimited file is cut into rows and fields.
struct record_layout {
  std::string separator = ",";  // 1 … 8 bytes
  bool quotes = true;  // RFC 4180: a field that begins with '"' ends at the next single '"'
  std::size_t row_bytes_max = 65'536;
  std::size_t fields_max = 0;  // the last takes the rest of the row; 0: as many as there are
};

/// One row of the file, without its line end.
struct record {
  std::string_view text;       // valid until the next read; of a bad record its first bytes
  std::uint64_t line = 0;      // where it begins, from 1
  std::optional<bad_row> bad;  // too_long or open_quote
  bool has_quotes = false;
};

/// Cuts a file into records: lines, or several lines where a quoted field holds line ends. Takes \n
/// and \r\n, a byte order mark, and a last line without an end; empty lines are not records.
///
/// Never holds more than one record and a chunk: a longer line is skipped to its end (`too_long`).
/// A quote that does not close within `row_bytes_max` spoils one line, not the file: reading goes
/// on behind that line (`open_quote`).
class record_reader {
 public:
  /// Fails: not_found, io_error, bad_input.
  static result<record_reader> open(const std::string& path, record_layout layout);

  /// False at the end. Fails: io_error, bad_input (damaged compressed data).
  result<bool> next(record& into);

 private:
  enum class scan : std::uint8_t { found, need_more, open };
  record_reader(std::unique_ptr<byte_input> input, record_layout layout);

  result<void> refill();
  scan find_end(std::size_t& end, bool& quoted) const;
  scan find_quoted_end(std::size_t& end) const;
  result<bool> take_too_long(record& into);
  void take(std::size_t end, record& into);

  std::unique_ptr<byte_input> input_;
  record_layout layout_;
  std::vector<char> buffer_;
  std::size_t begin_ = 0;  // of what is not consumed in buffer_
  std::size_t end_ = 0;
  std::uint64_t line_ = 1;
  bool input_ended_ = false;
  bool started_ = false;
  std::string kept_;  // first bytes of a record that was too long
};

/// Cuts a record into fields, quotes removed. `scratch` keeps fields with doubled quotes; both are
/// reused. False when a quoted field has text behind its closing quote.
bool split_fields(const record& from,
                  const record_layout& layout,
                  std::vector<std::string_view>& fields,
                  std::string& scratch);

}  // namespace headrace::worker
