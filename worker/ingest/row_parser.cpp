#include "worker/ingest/row_parser.hpp"

#include "schemas/hash.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdlib>

namespace headrace::worker {
namespace {

constexpr std::size_t shown_bytes = 40;  // of a value in a message

// A value as it may stand in one line of a log: short, without control characters.
std::string shown(std::string_view text) {
  std::string out = "'";
  for (const char c : text.substr(0, shown_bytes))
    out += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
  return out + (text.size() > shown_bytes ? "…'" : "'");
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

// A finite number that the whole text is, or why not.
std::optional<bad_row> to_number(std::string_view text, double& into) {
  text = trimmed(text);
  if (text.size() > 1 && text[0] == '+' && text[1] != '-') text.remove_prefix(1);
  const char* last = text.data() + text.size();
  const auto [end, failed] = std::from_chars(text.data(), last, into);
  if (failed == std::errc::result_out_of_range && end == last) {
    into =
        std::strtod(std::string(text).c_str(), nullptr);  // says which: infinite, or as good as 0
    return std::isfinite(into) ? std::nullopt : std::optional(bad_row::not_finite);
  }
  if (failed != std::errc() || end != last) return bad_row::not_a_number;
  if (!std::isfinite(into)) return bad_row::not_finite;
  return std::nullopt;
}

double transformed(double x, transform by) {
  if (by == transform::log1p) return std::copysign(std::log1p(std::fabs(x)), x);
  return x;
}

bool holds(label_spec::comparison is, double value, double threshold) {
  switch (is) {
    case label_spec::comparison::less:
      return value < threshold;
    case label_spec::comparison::less_equal:
      return value <= threshold;
    case label_spec::comparison::equal:
      return value == threshold;
    case label_spec::comparison::not_equal:
      return value != threshold;
    case label_spec::comparison::greater_equal:
      return value >= threshold;
    case label_spec::comparison::greater:
      return value > threshold;
  }
  return false;
}

// The bucket's number in decimal: the text of the id, the same whatever the width of an integer is.
std::string_view bucket_text(double bucket, std::array<char, 400>& buffer) {
  constexpr double exact_max = 9.0e15;
  char* const first = buffer.data();
  char* const last = first + buffer.size();
  const auto made = std::fabs(bucket) <= exact_max
                        ? std::to_chars(first, last, static_cast<std::int64_t>(bucket))
                        : std::to_chars(first, last, bucket, std::chars_format::fixed, 0);
  return {first, static_cast<std::size_t>(made.ptr - first)};
}

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
    bound_feature bound;
    bound.spec = feature;
    const std::string& salt = feature.salt.empty() ? feature.name : feature.salt;
    bound.spec.salt = salt;
    auto column = finder.find(feature.column.empty() ? feature.name : feature.column,
                              "feature '" + feature.name + "'");
    if (!column) return column.error();
    bound.column = *column;
    bound.missing = schemas::missing_key(bound.spec.salt).value;
    bound.whole = schemas::hash_string_key(bound.spec.salt, "").value;
    bound.is_bucket = !feature.transforms.empty() && feature.transforms.back() == transform::bucket;
    made.has_values_ =
        made.has_values_ || (feature.kind == feature_kind::float_value && !bound.is_bucket);
    made.lists_ += feature.kind == feature_kind::ids ? 1 : 0;
    made.features_.push_back(std::move(bound));
  }
  return made;
}

std::optional<row_problem> row_parser::parse(std::span<const std::string_view> fields,
                                             event& into) const {
  if (fields.size() != columns_) {
    return row_problem{
        bad_row::column_count,
        std::to_string(fields.size()) + " columns instead of " + std::to_string(columns_)};
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
  for (const bound_feature& feature : features_) {
    const std::string_view text = fields[feature.column];
    if (feature.spec.kind == feature_kind::float_value) {
      if (auto problem = parse_number(feature, text, into)) return problem;
    } else if (feature.spec.kind == feature_kind::ids) {
      parse_list(feature, text, into);
    } else {
      into.keys.push_back(text.empty() ? feature.missing
                                       : schemas::hash_string_key(feature.spec.salt, text).value);
      if (has_values_) into.values.push_back(1.0F);
    }
  }
  return std::nullopt;
}

// Counts first, so that what is cut off is not hashed.
void row_parser::parse_list(const bound_feature& feature, std::string_view text, event& into) {
  const std::string& separator = feature.spec.list_separator;
  const auto for_each = [&](const auto& take) {
    for (std::size_t at = 0; at < text.size();) {
      const std::size_t end = std::min(text.find(separator, at), text.size());
      if (end > at) take(text.substr(at, end - at));
      at = end + separator.size();
    }
  };
  std::size_t count = 0;
  for_each([&](std::string_view) { ++count; });
  count -= std::min<std::size_t>(count, feature.spec.list_held_out);
  std::size_t older = count > feature.spec.list_max ? count - feature.spec.list_max : 0;
  std::size_t taken = count - older;
  into.lengths.push_back(static_cast<std::uint16_t>(taken));
  for_each([&](std::string_view id) {
    if (older > 0) {
      --older;
    } else if (taken > 0) {
      --taken;
      into.sequence_keys.push_back(schemas::hash_string_key(feature.spec.salt, id).value);
    }
  });
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
  float value = 1.0F;
  std::uint64_t key = feature.missing;
  if (!trimmed(text).empty()) {
    double x = 0.0;
    if (const auto bad = to_number(text, x)) {
      return row_problem{*bad, "feature '" + feature.spec.name + "' is " + shown(text)};
    }
    for (const transform by : feature.spec.transforms) x = transformed(x, by);
    if (feature.is_bucket) {
      std::array<char, 400> buffer;
      x = std::floor(x / feature.spec.bucket_width);
      if (!std::isfinite(x))
        return row_problem{bad_row::not_finite,
                           "feature '" + feature.spec.name + "' is " + shown(text)};
      key = schemas::hash_string_key(feature.spec.salt, bucket_text(x, buffer)).value;
    } else {
      value = static_cast<float>(x);
      if (!std::isfinite(value))
        return row_problem{bad_row::not_finite,
                           "feature '" + feature.spec.name + "' is " + shown(text)};
      key = feature.whole;
    }
  }
  into.keys.push_back(key);
  if (has_values_) into.values.push_back(value);
  return std::nullopt;
}

}  // namespace headrace::worker
