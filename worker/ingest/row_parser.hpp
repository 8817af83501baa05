#pragma once

#include "base/result.hpp"
#include "worker/ingest/bad_rows.hpp"
#include "worker/ingest/event_source.hpp"
#include "worker/ingest/feature_writer.hpp"
#include "worker/ingest/source_spec.hpp"
#include "worker/ingest/time_format.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// What was wrong with a row.
struct row_problem {
  bad_row why;
  std::string what;
};

/// Columns of a row that came as lists; the text of such a column is empty.
struct row_lists {
  struct range {
    std::uint32_t begin = 0;  // in items
    std::uint32_t end = 0;
    bool is_list = false;
  };
  std::vector<range> of;  // [columns], or empty: none is a list
  std::vector<std::string_view> items;

  bool is_list(std::size_t column) const { return !of.empty() && of[column].is_list; }
  std::span<const std::string_view> in(std::size_t column) const {
    return std::span(items).subspan(of[column].begin, of[column].end - of[column].begin);
  }
};

/// Makes an event of a row's fields, as the job file says: label comparisons, time, features
/// (worker/ingest/feature_writer.hpp).
class row_parser {
 public:
  /// `names`: the columns' names, empty when only numbers are known; `columns`: how many a row has.
  /// Fails: bad_config for a column that is not there or is there twice, and a bad time format.
  static result<row_parser> bind(const source_spec& spec,
                                 const std::vector<std::string>& names,
                                 std::size_t columns,
                                 const std::string& file);

  /// The place of a column, as `bind` finds those it needs; `use` is for the message. Fails:
  /// bad_config.
  static result<std::size_t> find_column(const std::string& column,
                                         const std::string& use,
                                         const std::vector<std::string>& names,
                                         std::size_t columns,
                                         const std::string& file);

  /// Fills all of `into` but the row number. Only a feature of ids takes a list.
  std::optional<row_problem> parse(std::span<const std::string_view> fields,
                                   event& into,
                                   const row_lists& lists = {}) const;

  /// True when some feature's value may differ from 1.
  bool has_values() const { return has_values_; }
  /// Features with a key of their own: all but lists.
  std::size_t features() const { return features_.size() - lists_; }

 private:
  struct bound_feature {
    feature_writer writer;
    std::size_t column = 0;
  };
  struct bound_label {
    label_spec spec;
    std::size_t column = 0;
  };
  struct bound_window {
    sliding_window spec;
    std::size_t feature = 0;
    std::vector<std::size_t> of;  // columns
    std::size_t where = 0;        // column, if it has one
  };
  template <class Finder>
  result<void> bind_window(const feature_spec& feature, const Finder& finder);
  std::optional<row_problem> parse_window(const bound_window& window,
                                          std::span<const std::string_view> fields,
                                          window_input& into) const;
  std::optional<row_problem> find_stray_list(const row_lists& lists) const;
  std::optional<row_problem> parse_label(const bound_label& label,
                                         std::string_view text,
                                         float& into) const;
  std::optional<row_problem> parse_number(const bound_feature& feature,
                                          std::string_view text,
                                          event& into) const;

  std::vector<bound_label> labels_;  // at least one
  std::optional<std::size_t> time_column_;
  time_format time_format_;
  std::vector<bound_feature> features_;
  std::vector<bound_window> windows_;
  std::size_t columns_ = 0;
  std::size_t lists_ = 0;
  bool has_values_ = false;
};

}  // namespace headrace::worker
