#include "worker/ingest/row_parser.hpp"

#include "worker/ingest/column_text.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>

namespace headrace::worker {
namespace {

// Names or, failing that, 1-based numbers.
class column_finder {
 public:
  column_finder(const std::vector<std::string>& names, std::size_t columns, const std::string& file)
      : names_(names), columns_(columns), file_(file) {}

  result<std::size_t> find(const std::string& column, const std::string& use) const {
    const auto hit = std::find(names_.begin(), names_.end(), column);
    if (hit != names_.end()) {
      if (std::find(hit + 1, names_.end(), column) != names_.end()) {
        return error{
            errc::bad_config,
            file_ + ": column '" + column + "' for " + use + " is there twice; use its number"};
      }
      return static_cast<std::size_t>(hit - names_.begin());
    }
    std::size_t number = 0;
    const char* last = column.data() + column.size();
    const auto [end, failed] = std::from_chars(column.data(), last, number);
    if (failed == std::errc() && end == last && number >= 1 && number <= columns_)
      return number - 1;
    return error{errc::bad_config,
                 file_ + ": no column '" + column + "' for " + use + "; " + known()};
  }

 private:
  std::string known() const {
    std::string text = "it has columns 1 to " + std::to_string(columns_);
    for (std::size_t i = 0; i < names_.size(); ++i)
      text += (i == 0 ? ": " : ", ") + shown(names_[i]);
    return text;
  }

  const std::vector<std::string>& names_;
  std::size_t columns_;
  const std::string& file_;
};

}  // namespace

result<std::size_t> row_parser::find_column(const std::string& column,
                                            const std::string& use,
                                            const std::vector<std::string>& names,
                                            std::size_t columns,
                                            const std::string& file) {
  return column_finder(names, columns, file).find(column, use);
}

result<row_parser> row_parser::bind(const source_spec& spec,
                                    const std::vector<std::string>& names,
                                    std::size_t columns,
                                    const std::string& file) {
  const column_finder finder(names, columns, file);
  row_parser made;
  made.columns_ = columns;
  made.labels_.push_back({spec.label});
  for (const label_spec& more : spec.more_labels) made.labels_.push_back({more});
  for (bound_label& bound : made.labels_) {
    auto column = finder.find(bound.spec.column, "the label");
    if (!column) return column.error();
    bound.column = *column;
  }
  if (!spec.time_column.empty()) {
    auto time = finder.find(spec.time_column, "the time");
    if (!time) return time.error();
    made.time_column_ = *time;
    auto format = time_format::parse(spec.time_format);
    if (!format) return format.error();
    made.time_format_ = std::move(*format);
  }
  for (const feature_spec& feature : spec.features) {
    if (feature.window) {
      if (auto bound = made.bind_window(feature, finder); !bound) return bound.error();
    } else {
      auto column = finder.find(feature.column.empty() ? feature.name : feature.column,
                                "feature '" + feature.name + "'");
      if (!column) return column.error();
      made.features_.push_back({feature_writer(feature), *column});
    }
    made.has_values_ = made.has_values_ || made.features_.back().writer.has_value();
    made.lists_ += feature.kind == feature_kind::ids ? 1 : 0;
  }
  return made;
}

// Of a window only sums and lists have a column.
template <class Finder>
result<void> row_parser::bind_window(const feature_spec& feature, const Finder& finder) {
  const std::string use = "feature '" + feature.name + "'";
  bound_window made{*feature.window, features_.size(), {}, 0};
  std::size_t column = 0;
  if (has_column(made.spec.is)) {
    auto found = finder.find(feature.column, use);
    if (!found) return found.error();
    column = *found;
  }
  for (const std::string& each : made.spec.of) {
    auto found = finder.find(each, use);
    if (!found) return found.error();
    made.of.push_back(*found);
  }
  if (made.spec.where) {
    auto found = finder.find(made.spec.where->column, use);
    if (!found) return found.error();
    made.where = *found;
  }
  features_.push_back({feature_writer(feature), column});
  windows_.push_back(std::move(made));
  return {};
}

std::optional<row_problem> row_parser::parse(std::span<const std::string_view> fields,
                                             event& into,
                                             const row_lists& lists) const {
  if (fields.size() != columns_) {
    return row_problem{
        bad_row::column_count,
        std::to_string(fields.size()) + " columns instead of " + std::to_string(columns_)};
  }
  if (!lists.of.empty()) {
    if (auto problem = find_stray_list(lists)) return problem;
  }
  if (auto problem = parse_label(labels_[0], fields[labels_[0].column], into.label)) return problem;
  into.more_labels.resize(labels_.size() - 1);
  for (std::size_t l = 1; l < labels_.size(); ++l) {
    if (auto problem = parse_label(labels_[l], fields[labels_[l].column], into.more_labels[l - 1]))
      return problem;
  }
  into.event_time_ms = 0;
  if (time_column_) {
    const auto ms = time_format_.to_ms(trimmed(fields[*time_column_]));
    if (!ms) return row_problem{bad_row::bad_time, "the time is " + shown(fields[*time_column_])};
    into.event_time_ms = *ms;
  }
  into.keys.clear();
  into.values.clear();
  into.lengths.clear();
  into.sequence_keys.clear();
  into.windows.clear();
  for (std::size_t f = 0; f < features_.size(); ++f) {
    const bound_feature& feature = features_[f];
    const std::string_view text = fields[feature.column];
    if (const std::size_t w = into.windows.size();
        w < windows_.size() && windows_[w].feature == f) {
      feature.writer.missing(into, has_values_);
      if (auto problem = parse_window(windows_[w], fields, into.windows.emplace_back()))
        return problem;
    } else if (feature.writer.kind() == feature_kind::float_value) {
      if (auto problem = parse_number(feature, text, into)) return problem;
    } else if (feature.writer.kind() == feature_kind::ids) {
      if (lists.is_list(feature.column)) {
        feature.writer.ids(lists.in(feature.column), into);
      } else {
        feature.writer.ids(text, into);
      }
    } else {
      feature.writer.id(text, into, has_values_);
    }
  }
  return std::nullopt;
}

std::optional<row_problem> row_parser::parse_window(const bound_window& window,
                                                    std::span<const std::string_view> fields,
                                                    window_input& into) const {
  std::array<std::string_view, window_columns_max> texts;
  into.has_key = true;
  for (std::size_t i = 0; i < window.of.size(); ++i) {
    texts[i] = fields[window.of[i]];
    into.has_key = into.has_key && !texts[i].empty();
  }
  if (into.has_key) into.key = window_key(std::span(texts).first(window.of.size()));
  into.feeds = into.has_key && window.spec.on.empty();
  into.lacks = !into.has_key && window.spec.on.empty();
  const bound_feature& feature = features_[window.feature];
  const auto read = [&](std::string_view text, double& x) -> std::optional<row_problem> {
    if (trimmed(text).empty()) {
      into.lacks = into.lacks || into.feeds;
      into.feeds = false;
    } else if (const auto bad = to_number(text, x)) {
      return row_problem{*bad, "feature '" + feature.writer.name() + "' is of " + shown(text)};
    }
    return std::nullopt;
  };
  double x = 0.0;
  if (window.spec.where) {
    if (auto problem = read(fields[window.where], x)) return problem;
    into.feeds = into.feeds && holds(window.spec.where->is, x, window.spec.where->threshold);
  }
  const std::string_view text = fields[feature.column];
  if (window.spec.is == sliding_window::measure::sum) {
    if (auto problem = read(text, x)) return problem;
    into.value = std::bit_cast<std::uint64_t>(x);
  } else if (window.spec.is == sliding_window::measure::last) {
    into.lacks = into.lacks || (into.feeds && text.empty());
    into.feeds = into.feeds && !text.empty();
    if (into.feeds) into.value = feature.writer.key_of(text);
  }
  return std::nullopt;
}

// A list where one value is needed.
std::optional<row_problem> row_parser::find_stray_list(const row_lists& lists) const {
  const auto stray = [&](std::size_t column, const std::string& what) {
    return lists.is_list(column)
               ? std::optional(row_problem{bad_row::wrong_type, what + " is a list"})
               : std::nullopt;
  };
  for (const bound_label& label : labels_)
    if (auto problem = stray(label.column, "the label")) return problem;
  if (time_column_) {
    if (auto problem = stray(*time_column_, "the time")) return problem;
  }
  for (const bound_feature& feature : features_) {
    if (feature.writer.kind() == feature_kind::ids) continue;
    if (auto problem = stray(feature.column, "feature '" + feature.writer.name() + "'"))
      return problem;
  }
  for (const bound_window& window : windows_) {
    const std::string what = "feature '" + features_[window.feature].writer.name() + "'";
    for (const std::size_t column : window.of) {
      if (auto problem = stray(column, what + ": of")) return problem;
    }
    if (window.spec.where) {
      if (auto problem = stray(window.where, what + ": where")) return problem;
    }
    if (has_column(window.spec.is)) {
      if (auto problem = stray(features_[window.feature].column, what)) return problem;
    }
  }
  return std::nullopt;
}

std::optional<row_problem> row_parser::parse_label(const bound_label& label,
                                                   std::string_view text,
                                                   float& into) const {
  double value = 0.0;
  if (const auto bad = to_number(text, value)) {
    const std::string which = labels_.size() == 1 ? "the label" : "label '" + label.spec.name + "'";
    return row_problem{*bad, which + " is " + shown(text)};
  }
  into = holds(label.spec.is, value, label.spec.threshold) ? 1.0F : 0.0F;
  return std::nullopt;
}

std::optional<row_problem> row_parser::parse_number(const bound_feature& feature,
                                                    std::string_view text,
                                                    event& into) const {
  if (trimmed(text).empty()) {
    feature.writer.missing(into, has_values_);
    return std::nullopt;
  }
  double x = 0.0;
  auto bad = to_number(text, x);
  if (!bad && !feature.writer.number(x, into, has_values_)) bad = bad_row::not_finite;
  if (!bad) return std::nullopt;
  return row_problem{*bad, "feature '" + feature.writer.name() + "' is " + shown(text)};
}

}  // namespace headrace::worker
