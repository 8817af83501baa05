#pragma once

#include "base/result.hpp"
#include "worker/text/text_spec.hpp"

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace headrace::worker {

/// Why a row of a source was not used.
enum class bad_row : std::uint8_t {
  column_count,  // more or fewer columns than the header or the first row
  not_a_number,  // the label or a float feature is not a number
  not_finite,    // the label or a float feature is NaN or infinite
  bad_time,      // the time column does not fit `time_format`
  too_long,      // longer than `row_bytes_max`
  open_quote,    // a quoted field that does not end within `row_bytes_max` or the file, or text
                 // behind its end
  malformed,     // no JSON object, one with a member twice, or no pair of an index and a value
  wrong_type,    // a list or an object where a text or a number is needed
  // Left out as the job wishes, in the order of text_fault:
  text_too_short,
  text_too_long,
  text_symbols,
  text_script,
  text_near_duplicate,
};
constexpr std::size_t bad_row_reasons = 13;
std::string_view name(bad_row why);
constexpr bool is_wanted(bad_row why) { return why >= bad_row::text_too_short; }
constexpr bad_row reason_of(text_fault why) {
  return static_cast<bad_row>(static_cast<unsigned>(bad_row::text_too_short) +
                              static_cast<unsigned>(why));
}

/// Counts bad rows by reason and keeps (and logs) the first of each. A bad row is skipped, never
/// fatal by itself; more than `max` of them are, without those that the job wishes to leave out:
/// then the file is probably not what the job file says.
class bad_rows {
 public:
  explicit bad_rows(std::uint64_t max) : max_(max) {}

  /// Counts one. `line` is the line it begins on, from 1; `what` names the column and quotes the
  /// value. Fails: bad_input when there are now more than the limit, saying how to go on.
  result<void> add(bad_row why, std::string_view file, std::uint64_t line, std::string_view what);

  std::uint64_t total() const { return total_; }
  std::uint64_t count(bad_row why) const { return counts_[static_cast<std::size_t>(why)]; }
  /// The first of all in one line, "file:line: reason: what"; empty when there is none.
  const std::string& first() const { return first_; }
  /// The first for one reason; empty when there is none.
  const std::string& first(bad_row why) const { return firsts_[static_cast<std::size_t>(why)]; }
  /// "3 not_a_number, 1 too_long".
  std::string summary() const;

 private:
  std::uint64_t max_;
  std::uint64_t total_ = 0;
  std::uint64_t wanted_ = 0;  // of them
  std::array<std::uint64_t, bad_row_reasons> counts_{};
  std::array<std::string, bad_row_reasons> firsts_;
  std::string first_;
};

}  // namespace headrace::worker
