#include "cli/job/source_section.hpp"

#include "base/nearest_word.hpp"
#include "base/parse_number.hpp"
#include "cli/job/live_section.hpp"
#include "cli/job/model_section.hpp"
#include "cli/job/text_section.hpp"
#include "cli/job/window_section.hpp"
#include "schemas/push.hpp"
#include "schemas/sample.hpp"
#include "worker/ingest/time_format.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace headrace::cli {
namespace {

constexpr std::uint64_t day_ns = 86'400'000'000'000;
constexpr std::int64_t rows_max = 1'000'000'000'000;
constexpr std::size_t separator_bytes_max = 8;  // worker/ingest/source_spec.hpp

using worker::label_spec;

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  return text;
}

// Where a column may stand, known before the file is opened.
class column_check {
 public:
  column_check(const worker::source_spec& source, config_reader& config)
      : source_(source), config_(config) {}

  void operator()(std::string_view key, const std::string& column) {
    const bool is_number = parse_number<std::int64_t>(column).has_value();
    if (column.empty()) return config_.refuse(key, "name a column, or give its number from 1");
    if (worker::is_live(source_.arrives)) {
      if (is_number)
        config_.refuse(key, "live events have names, no places; give the column's name");
      return;
    }
    if (source_.format == worker::row_format::jsonl) return;  // a name, whatever it looks like
    if (source_.format == worker::row_format::libsvm) return check_index(key, column, is_number);
    if (is_number && *parse_number<std::int64_t>(column) < 1) {
      return config_.refuse(key, "columns are counted from 1");
    }
    if (source_.columns.empty() && source_.header)
      return;  // the header says, when the file is opened
    if (source_.columns.empty() && !is_number) {
      return config_.refuse(
          key,
          "no column has a name: use its number, or give source.columns, or source.header = true");
    }
    if (source_.columns.empty()) return;
    const auto count = static_cast<std::int64_t>(source_.columns.size());
    const bool named =
        std::find(source_.columns.begin(), source_.columns.end(), column) != source_.columns.end();
    if (named || (is_number && *parse_number<std::int64_t>(column) <= count)) return;
    const auto near = is_number ? std::string() : nearest_word(column, source_.columns);
    config_.refuse(key,
                   "no such column '" + column + "' among the " + std::to_string(count) +
                       " of source.columns" +
                       (near.empty() ? "" : "; did you mean '" + near + "'?"));
  }

 private:
  void check_index(std::string_view key, const std::string& column, bool is_number) {
    if (is_number || column == "label" || column == "qid" || column == "indices") return;
    config_.refuse(
        key, "accepted with format = \"libsvm\" are label, qid, indices, and indices by number");
  }

  const worker::source_spec& source_;
  config_reader& config_;
};

void read_uri(config_reader& config, worker::source_spec& source) {
  source.uri = config.required_text(
      "source.uri", "a file (\"file:///path/to/rows.csv\") or \"generate:planted\"");
  if (const auto way = live_arrival(source.uri)) {
    source.arrives = *way;
    return;
  }
  if (source.uri == "generate:planted") source.generate = worker::generator::planted;
  if (source.uri == "generate:planted_drift") source.generate = worker::generator::planted_drift;
  if (source.uri == "generate:planted_conversion")
    source.generate = worker::generator::planted_conversion;
  if (source.generate != worker::generator::none) source.arrives = worker::arrival::generated;
  if (source.uri == "stdin:") source.uri = "-";
  const bool known = source.generate != worker::generator::none ||
                     source.uri.starts_with("file://") ||
                     source.uri.find("://") == std::string::npos;
  const bool wrong_generator =
      source.generate == worker::generator::none && source.uri.starts_with("generate:");
  if (!known || wrong_generator) {
    config.refuse("source.uri",
                  "accepted is file:///path, a path, - (standard input), generate:planted | "
                  "generate:planted_drift | "
                  "generate:planted_conversion, and for live events http:// | zmq:// | kafka:// | "
                  "nats:// | redis://");
  }
}

// Keys that say how columns lie, where rows name them themselves.
void refuse_layout(config_reader& config, const char* format) {
  for (const std::string key :
       {"source.separator", "source.header", "source.rest", "source.quotes", "source.columns"}) {
    if (!config.has(key)) continue;
    config.refuse(key, std::string("says nothing of source.format = \"") + format + "\"");
    static_cast<void>(config.list(key));  // so that it is known
  }
}

void read_row_bounds(config_reader& config, worker::source_spec& source) {
  source.bad_rows_max =
      static_cast<std::uint64_t>(config.whole("source.max_bad_rows", 100, {0, rows_max}));
  source.row_bytes_max = config.bytes("source.max_row_bytes", 65'536, {64, 64 << 20});
}

void read_layout(config_reader& config, worker::source_spec& source) {
  using worker::row_format;
  const auto format = config.choice<const char*>(
      "source.format",
      "csv",
      {{"csv", ","}, {"tsv", "\t"}, {"jsonl", "jsonl"}, {"libsvm", "libsvm"}});
  const std::string_view word = format;
  if (word == "jsonl") source.format = row_format::jsonl;
  if (word == "libsvm") source.format = row_format::libsvm;
  if (source.format != row_format::delimited) {
    refuse_layout(config, format);
    return read_row_bounds(config, source);
  }
  source.separator = config.text("source.separator", format);
  if (source.separator == "tab" || source.separator == "\\t")
    source.separator = "\t";  // from a shell
  if (source.separator.empty() || source.separator.size() > separator_bytes_max ||
      source.separator.find_first_of("\r\n\"") != std::string::npos) {
    config.refuse(
        "source.separator",
        "accepted is 1 … 8 bytes without quotes and line ends, such as \",\" \"\\t\" \"::\"");
  }
  source.header = config.flag("source.header", true);
  source.rest = config.flag("source.rest", false);
  source.quotes = config.flag("source.quotes", source.separator == "," && !source.rest);
  source.columns = config.list("source.columns");
  if (source.rest && source.quotes) config.refuse("source.rest", "needs quotes = false");
  if (source.rest && !source.header && source.columns.empty())
    config.refuse("source.rest", "needs source.columns, or header = true: which column is last");
  for (const auto& column : source.columns) {
    if (std::count(source.columns.begin(), source.columns.end(), column) > 1) {
      config.refuse("source.columns", "'" + column + "' is there twice");
    }
  }
  read_row_bounds(config, source);
}

void read_time(config_reader& config, worker::source_spec& source, column_check& check) {
  source.time_column = config.text_or_whole("source.time", "");
  source.time_format = config.text("source.time_format", "unix");
  source.sort_by_time =
      config.choice<bool>("source.sort", "none", {{"none", false}, {"time", true}});
  if (!source.time_column.empty()) check("source.time", source.time_column);
  if (const auto format = worker::time_format::parse(source.time_format); !format) {
    config.refuse("source.time_format", format.error().detail);
  }
  if (source.sort_by_time && source.time_column.empty()) {
    config.refuse("source.sort", "needs source.time, the column to sort by");
  }
}

// Labels go by their columns' names; those that share one by their whole comparisons.
void name_labels(std::vector<label_spec>& labels, const std::vector<std::string>& texts) {
  const auto of_column = [&](const std::string& column) {
    return std::ranges::count(labels, column, &label_spec::column);
  };
  for (std::size_t l = 0; l < labels.size(); ++l) {
    const auto& column = labels[l].column;
    labels[l].name = of_column(column) == 1 ? column : std::string(trimmed(texts[l]));
  }
}

void read_labels(config_reader& config, worker::source_spec& source, column_check& check) {
  const auto texts = config.text_or_list("source.label");
  if (texts.empty()) {
    if (source.generate == worker::generator::none) {
      config.refuse("source.label", "a comparison is needed, such as \"rating >= 4\"");
    }
    return;
  }
  std::vector<label_spec> labels;
  for (const std::string& text : texts) {
    const auto label = parse_comparison(text);
    if (!label) {
      return config.refuse(
          "source.label",
          "accepted is a comparison COLUMN < <= == != >= > NUMBER, such as \"rating >= 4\", or a "
          "list of them");
    }
    check("source.label", label->column);
    labels.push_back(*label);
  }
  if (labels.size() > schemas::labels_max)
    config.refuse("source.label",
                  "accepted are at most " + std::to_string(schemas::labels_max) + " labels");
  name_labels(labels, texts);
  for (const label_spec& label : labels) {
    if (std::ranges::count(labels, label.name, &label_spec::name) > 1)
      return config.refuse("source.label", "'" + label.name + "' is there twice");
  }
  source.label = labels[0];
  source.more_labels.assign(labels.begin() + 1, labels.end());
}

void read_transforms(config_reader& config,
                     const std::string& section,
                     worker::feature_spec& feature) {
  const std::string key = section + ".transform";
  for (const auto& word : config.list(key)) {
    if (word == "log1p") feature.transforms.push_back(worker::transform::log1p);
    if (word == "bucket") feature.transforms.push_back(worker::transform::bucket);
    if (word != "log1p" && word != "bucket")
      config.refuse(key, "accepted is \"log1p\" | \"bucket\", or a list of them");
  }
  const auto& all = feature.transforms;
  const auto buckets = std::count(all.begin(), all.end(), worker::transform::bucket);
  if (!all.empty() && feature.kind != worker::feature_kind::float_value)
    config.refuse(key, "needs kind = \"float\"");
  if (buckets > 1 || (buckets == 1 && all.back() != worker::transform::bucket)) {
    config.refuse(key, "\"bucket\" goes last, once");
  }
  // Read only where it counts, so that the resolved text is accepted again.
  const std::string width = section + ".bucket_width";
  if (buckets > 0 || config.has(width))
    feature.bucket_width = config.number(width, 1.0, {0.0, 1e12, true});
  if (buckets == 0 && config.has(width)) config.refuse(width, "needs transform = \"bucket\"");
}

// Read only where it counts, so that the resolved text is accepted again.
void read_list(config_reader& config, const std::string& section, worker::feature_spec& feature) {
  const bool is_list = feature.kind == worker::feature_kind::ids;
  const std::string separator = section + ".list_separator";
  const std::string max = section + ".max";
  const std::string held_out = section + ".held_out";
  if (is_list || config.has(separator))
    feature.list_separator = config.text(separator, feature.list_separator);
  if (is_list || config.has(max))
    feature.list_max =
        static_cast<std::uint32_t>(config.whole(max, feature.list_max, {1, worker::list_max_most}));
  if (is_list || config.has(held_out))
    feature.list_held_out = static_cast<std::uint32_t>(
        config.whole(held_out, feature.list_held_out, {0, worker::list_max_most}));
  if (feature.list_separator.empty() || feature.list_separator.size() > separator_bytes_max)
    config.refuse(separator, "accepted is 1 … 8 bytes, such as \" \" or \"|\"");
  for (const std::string& key : {separator, max, held_out}) {
    if (!is_list && config.has(key)) config.refuse(key, "needs kind = \"ids\"");
  }
}

// A feature's `kind`: what it is, and of a window also what it measures.
struct kind_word {
  worker::feature_kind kind;
  std::optional<worker::sliding_window::measure> measure = {};
};

kind_word read_kind(config_reader& config, const std::string& section) {
  using worker::feature_kind;
  using measure = worker::sliding_window::measure;
  return config.choice<kind_word>(
      section + ".kind",
      "id",
      {{"id", {feature_kind::id}},
       {"float", {feature_kind::float_value}},
       {"ids", {feature_kind::ids}},
       {"cross", {feature_kind::id}},  // named here only; see read_features
       {"count", {feature_kind::float_value, measure::count}},
       {"sum", {feature_kind::float_value, measure::sum}},
       {"rate", {feature_kind::float_value, measure::rate}},
       {"last", {feature_kind::ids, measure::last}}});
}

// `kind = "count"`, `of = "user"`, `over = "1h"`.
void read_window_feature(config_reader& config,
                         const std::string& section,
                         worker::sliding_window::measure is,
                         const std::vector<std::string>& actions,
                         column_check& check,
                         worker::feature_spec& feature) {
  feature.window = read_window(
      config, section, is, actions, [&](std::string_view key, const std::string& column) {
        check(key, column);
      });
  const std::string max = section + ".max";
  if (is == worker::sliding_window::measure::last) {
    feature.list_max =
        static_cast<std::uint32_t>(config.whole(max, feature.list_max, {1, worker::list_max_most}));
  } else {
    read_transforms(config, section, feature);
  }
}

worker::feature_spec read_feature(config_reader& config,
                                  const std::string& name,
                                  const std::vector<std::string>& actions,
                                  column_check& check) {
  const std::string section = "features." + name;
  worker::feature_spec feature;
  feature.name = name;
  const kind_word word = read_kind(config, section);
  feature.kind = word.kind;
  feature.column = name;
  if (!word.measure || has_column(*word.measure)) {
    feature.column = config.text_or_whole(section + ".column", name);
    check(section + ".column", feature.column);
  }
  feature.salt = config.text(section + ".salt", name);
  if (feature.salt.empty()) config.refuse(section + ".salt", "accepted is text that is not empty");
  if (word.measure) {
    read_window_feature(config, section, *word.measure, actions, check, feature);
    return feature;
  }
  read_transforms(config, section, feature);
  read_list(config, section, feature);
  return feature;
}

// Which key of an event is that of the id feature that a cross is of.
std::optional<std::uint32_t> find_part(config_reader& config,
                                       const std::string& key,
                                       const std::string& name,
                                       const std::vector<worker::model_feature>& features) {
  std::vector<std::string> names;
  std::uint32_t place = 0;
  for (const auto& feature : features) {
    if (feature.name == name && feature.list()) {
      config.refuse(key, "'" + name + "' is a list: a cross is of features with one id each");
      return std::nullopt;
    }
    if (feature.name == name && feature.number) {
      config.refuse(key, "'" + name + "' is a number: give it transform = \"bucket\"");
      return std::nullopt;
    }
    if (feature.name == name) return place;
    if (!feature.number && !feature.list()) names.push_back(feature.name);
    if (!feature.list()) ++place;
  }
  const std::string near = nearest_word(name, names);
  config.refuse(
      key,
      "no feature of ids '" + name + "'" + (near.empty() ? "" : "; did you mean '" + near + "'?"));
  return std::nullopt;
}

// `kind = "cross"`, `of = ["user", "genre"]`.
worker::cross_spec read_cross(config_reader& config,
                              const std::string& name,
                              const std::vector<worker::model_feature>& features) {
  const std::string section = "features." + name;
  worker::cross_spec cross;
  cross.name = name;
  config.choice<bool>(section + ".kind", "cross", {{"cross", true}});
  cross.salt = config.text(section + ".salt", name);
  if (cross.salt.empty()) config.refuse(section + ".salt", "accepted is text that is not empty");
  const auto names = config.list(section + ".of");
  if (names.size() < 2 || names.size() > 8)
    config.refuse(section + ".of", "accepted is a list of 2 … 8 features of ids");
  for (const auto& part : names) {
    if (std::ranges::count(names, part) > 1)
      config.refuse(section + ".of", "'" + part + "' is there twice");
    if (const auto place = find_part(config, section + ".of", part, features))
      cross.of.push_back(*place);
  }
  return cross;
}

// A generated stream makes its own features and labels; those of the file are checked but not used.
void read_features(config_reader& config,
                   worker::source_spec& source,
                   const std::vector<std::string>& actions,
                   column_check& check) {
  std::vector<std::string> crosses;  // read when all features are known that they may be of
  for (const auto& name : config.sections("features")) {
    if (!is_plain_name(name) || name.find('.') != std::string::npos) {
      config.refuse(
          "features",
          "feature '" + name +
              "': accepted is a name of letters, digits, _ and -; the column goes into column");
      continue;
    }
    const std::string kind = "features." + name + ".kind";
    if (config.has(kind) && config.unresolved_text(kind) == "cross") {
      crosses.push_back(name);
      continue;
    }
    source.features.push_back(read_feature(config, name, actions, check));
    if (source.features.back().window && source.arrives == worker::arrival::file &&
        source.time_column.empty())
      config.refuse(kind, "a window is one of event time: it needs source.time");
  }
  read_window_limits(config, source);
  const bool generated = source.generate != worker::generator::none;
  if (source.features.empty() && !generated) {
    config.refuse(
        "features",
        "at least one is needed: a section [features.NAME] for each column the model reads");
  }
  if (generated) source.features.clear();
  const auto features = features_of(source);
  for (const auto& name : crosses) {
    if (std::ranges::find(features, name, &worker::model_feature::name) != features.end())
      config.refuse("features." + name, "the generated stream has a feature of this name");
    source.crosses.push_back(read_cross(config, name, features));
  }
}

}  // namespace

bool is_plain_name(std::string_view text) {
  return schemas::is_source_name(text) && !text.starts_with('.');
}

std::optional<label_spec> parse_comparison(std::string_view text) {
  using is = label_spec::comparison;
  constexpr std::array<std::pair<std::string_view, is>, 7> signs{{{"<=", is::less_equal},
                                                                  {">=", is::greater_equal},
                                                                  {"==", is::equal},
                                                                  {"!=", is::not_equal},
                                                                  {"<", is::less},
                                                                  {">", is::greater},
                                                                  {"=", is::equal}}};
  const auto sign_end = text.find_last_of("<>=");
  if (sign_end == std::string_view::npos) return std::nullopt;
  for (const auto& [sign, meaning] : signs) {
    if (!text.substr(0, sign_end + 1).ends_with(sign)) continue;
    const auto column = trimmed(text.substr(0, sign_end + 1 - sign.size()));
    const auto threshold = parse_number<double>(trimmed(text.substr(sign_end + 1)));
    const bool two_signs = column.find_last_of("<>=!") == column.size() - 1;
    if (column.empty() || two_signs || !threshold || !std::isfinite(*threshold))
      return std::nullopt;
    return label_spec{std::string(column), meaning, *threshold};
  }
  return std::nullopt;
}

void read_source(config_reader& config, job& made) {
  worker::source_spec& source = made.source;
  source.name = config.text("source.name", "events");
  if (!is_plain_name(source.name)) {
    config.refuse("source.name", "accepted is 1 … 64 letters, digits, _ - and .");
  }
  read_uri(config, source);
  source.rows = static_cast<std::uint64_t>(config.whole("source.rows", 1'000'000, {1, rows_max}));
  source.seed = static_cast<std::uint64_t>(config.whole("source.seed", 20'240'601, {0, INT64_MAX}));
  if (!worker::is_live(source.arrives))
    made.pace_duration_ns = config.duration_ns("source.duration", 0, {0, 30 * day_ns});
  if (source.uri == "-" && config.has("source.duration"))
    config.refuse("source.duration", "needs a source whose end is known: not standard input");
  read_layout(config, source);
  read_live_source(config, made.name, source);
  made.gate = read_gate(config, source);
  made.join = read_join(config, source);
  column_check check(source, config);
  if (!made.join) read_labels(config, source, check);
  read_time(config, source, check);
  read_texts(
      config, source, [&](std::string_view key, const std::string& column) { check(key, column); });
  read_features(config, source, made.join ? made.join->actions : std::vector<std::string>(), check);
}

}  // namespace headrace::cli
