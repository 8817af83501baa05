#include "serve/served_model.hpp"

#include "base/check.hpp"
#include "base/nearest_word.hpp"
#include "base/parse_number.hpp"
#include "schemas/hash.hpp"
#include "worker/ingest/column_text.hpp"
#include "worker/ingest/crossed_source.hpp"
#include "worker/ingest/planted_source.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <utility>

namespace headrace::serve {
namespace {

using schemas::event_field;
using schemas::field_kind;
using worker::feature_kind;
using worker::planted_source;

constexpr std::string_view next_column = "next";
constexpr std::size_t told_max = 40;  // names that a refusal lists

// "; there are a, b, c"
std::string those_there_are(std::span<const std::string> names) {
  std::string text = "; there ";
  text += names.size() == 1 ? "is " : "are ";
  for (std::size_t i = 0; i < names.size() && i < told_max; ++i)
    text += (i > 0 ? ", " : "") + worker::shown(names[i]);
  if (names.empty()) text += "none";
  return names.size() > told_max ? text + " and others" : text;
}

error unknown(errc code,
              const std::string& what,
              std::string_view name,
              std::span<const std::string> known) {
  std::string detail = what + " " + worker::shown(name) + " is not there";
  const std::string near = nearest_word(name, known);
  if (!near.empty()) detail += ", did you mean " + worker::shown(near) + "?";
  return {code, detail + those_there_are(known)};
}

// What a generated stream has, as features of columns.
std::vector<worker::feature_spec> generated_features() {
  std::vector<worker::feature_spec> features;
  for (std::size_t f = 1; f <= planted_source::id_fields; ++f) {
    worker::feature_spec id;
    id.name = "id" + std::to_string(f);
    features.push_back(std::move(id));
  }
  for (std::size_t f = 1; f <= planted_source::dense_fields; ++f) {
    worker::feature_spec number;
    number.name = "number" + std::to_string(f);
    number.kind = feature_kind::float_value;
    features.push_back(std::move(number));
  }
  return features;
}

std::optional<std::uint64_t> generated_id(std::string_view text) {
  const auto id = parse_number<std::uint64_t>(text);
  return id && *id < planted_source::ids_max ? id : std::nullopt;
}

}  // namespace

result<std::shared_ptr<const served_model>> served_model::make(parts from) {
  std::shared_ptr<served_model> made(new served_model(std::move(from)));
  if (auto bound = made->bind(); !bound) return bound.error();
  return std::shared_ptr<const served_model>(std::move(made));
}

result<void> served_model::bind() {
  const auto tables = parts_.graph->tables();
  CHECK(tables.size() == parts_.schema.tables.size());
  for (std::size_t t = 0; t < tables.size(); ++t)
    CHECK(tables[t].dim == parts_.schema.tables[t].dim);

  worker::source_spec described = parts_.source;
  if (is_generated()) described.features = generated_features();
  next_item_ = worker::find_next_item(*parts_.graph);
  auto bound = worker::event_schema::bind_request(described);
  if (!bound) return bound.error();
  columns_of_ = std::move(*bound);
  for (const std::string& name : columns_of_.columns()) columns_.push_back({name});
  for (const worker::feature_spec& feature : described.features) {
    const worker::feature_writer& writer = writers_.emplace_back(feature);
    feature_names_.push_back(feature.name);
    has_values_ = has_values_ || writer.has_value();
    const bool by_name =
        feature.window || feature.column.empty() || parse_number<std::int64_t>(feature.column);
    const auto column =
        std::ranges::find(columns_, by_name ? feature.name : feature.column, &request_column::name);
    CHECK(column != columns_.end());
    column->kind = feature.kind;
    if (feature.kind == feature_kind::ids) {
      if (next_item_ && next_item_->list == lists_) next_writer_ = writers_.size() - 1;
      ++lists_;
      continue;
    }
    worker::event none;
    writer.missing(none, false);
    missing_.push_back(writer.has_value() ? 0 : none.keys[0]);
  }
  keys_ = missing_.size();
  if (!next_item_) return {};
  const std::string next(next_column);
  if (std::ranges::find(columns_, next, &request_column::name) != columns_.end()) {
    return error{errc::bad_config,
                 "a model of op next_item is asked with a column 'next'; name the job's otherwise"};
  }
  columns_.push_back({next});
  return {};
}

bool served_model::is_generated() const {
  return parts_.source.generate != worker::generator::none;
}

result<std::size_t> served_model::head(std::string_view name) const {
  std::vector<std::string> names;
  for (std::size_t h = 0; h < heads().size(); ++h) {
    if (head_name(h) == name) return h;
    names.emplace_back(head_name(h));
  }
  return unknown(errc::bad_input, "head", name, names);
}

result<worker::event_schema::names> served_model::look_up(const schemas::event_batch& batch) const {
  auto known = columns_of_.look_up(batch);
  for (std::size_t n = 0; n < batch.names.size(); ++n) {
    if (known.columns[n] < 0 && !(next_item_ && batch.names[n] == next_column))
      return unknown(errc::bad_input, "column", batch.names[n], columns_of_.columns());
  }
  return known;
}

const schemas::event_batch& served_model::clean(const schemas::event_batch& given,
                                                const worker::event_schema::names& known,
                                                cleaned_columns& scratch) const {
  if (!columns_of_.has_texts()) return given;
  scratch.batch = given;
  scratch.texts.clear();
  for (std::size_t i = 0; i < given.events.size(); ++i)
    columns_of_.clean_texts(scratch.batch, known, i, scratch.texts.emplace_back());
  return scratch.batch;
}

result<void> served_model::parse(const schemas::event_batch& batch,
                                 const worker::event_schema::names& known,
                                 std::size_t i,
                                 const worker::event* shared,
                                 worker::event& into) const {
  if (auto wrong = columns_of_.check(batch, known, i))
    return error{errc::bad_input, std::move(wrong->detail)};
  if (is_generated()) {
    if (auto parsed = parse_generated(batch, known, i, shared, into); !parsed) return parsed;
  } else if (shared != nullptr) {
    columns_of_.parse_over(batch, known, i, *shared, into);
  } else {
    columns_of_.parse(batch, known, i, into);
  }
  into.keys.resize(keys());
  if (!into.values.empty()) into.values.resize(keys(), 1.0F);
  cross(into);
  return {};
}

// A generated stream has numbers for ids, which no hash makes.
result<void> served_model::parse_generated(const schemas::event_batch& batch,
                                           const worker::event_schema::names& known,
                                           std::size_t i,
                                           const worker::event* shared,
                                           worker::event& into) const {
  if (shared != nullptr) {
    into = *shared;
  } else {
    nothing(into);
  }
  for (const event_field& field : batch.fields_of(batch.events[i])) {
    const auto column = static_cast<std::size_t>(known.columns[field.name]);
    CHECK(column < columns_.size());
    if (field.kind == field_kind::text && worker::trimmed(field.text).empty()) continue;
    if (column < planted_source::id_fields) {
      const auto id = field.kind == field_kind::integer
                          ? generated_id(std::to_string(field.integer))
                          : generated_id(field.text);
      if (!id)
        return error{errc::bad_input,
                     columns_[column].name + ": a whole number of a generated stream is needed"};
      into.keys[column] = planted_source::key_of(column, *id);
    } else {
      double x =
          field.kind == field_kind::integer ? static_cast<double>(field.integer) : field.number;
      if (field.kind == field_kind::text) CHECK(!worker::to_number(field.text, x));
      into.values[column] = static_cast<float>(x);
    }
  }
  return {};
}

void served_model::cross(worker::event& sample) const {
  worker::write_crosses(parts_.source.crosses, sample.keys);
}

void served_model::nothing(worker::event& into) const {
  into.keys.clear();
  into.values.clear();
  into.lengths.clear();
  into.sequence_keys.clear();
  for (const worker::feature_writer& writer : writers_) writer.missing(into, has_values_);
  if (is_generated()) {
    for (std::size_t f = planted_source::id_fields; f < keys_; ++f) {
      into.keys[f] = planted_source::key_of(f, 0);
      into.values[f] = 0.0F;
    }
  }
  into.keys.resize(keys());
  if (!into.values.empty()) into.values.resize(keys(), 1.0F);
  cross(into);
}

result<std::uint64_t> served_model::next_of(const schemas::event_batch& batch,
                                            std::size_t i) const {
  CHECK(next_item_.has_value());
  for (const event_field& field : batch.fields_of(batch.events[i])) {
    if (batch.names[field.name] != next_column) continue;
    const bool is_id = field.kind == field_kind::text || field.kind == field_kind::integer;
    const std::string digits = std::to_string(field.integer);
    const std::string_view id = field.kind == field_kind::integer ? digits : field.text;
    if (!is_id || id.empty()) break;
    return writers_[next_writer_].key_of(id);
  }
  return error{errc::bad_input, "next: an id of what may come is needed"};
}

result<std::uint64_t> served_model::key_of(std::string_view feature, std::string_view id) const {
  std::vector<std::string> with_ids;
  for (std::size_t f = 0; f < writers_.size(); ++f)
    if (!writers_[f].has_value()) with_ids.push_back(feature_names_[f]);
  const auto found = std::ranges::find(feature_names_, feature);
  const auto place = static_cast<std::size_t>(found - feature_names_.begin());
  if (found == feature_names_.end() || writers_[place].has_value())
    return unknown(errc::not_found, "feature", feature, with_ids);
  if (id.empty()) return error{errc::bad_input, "an id is an empty text"};
  if (!is_generated()) return writers_[place].key_of(id);
  const auto number = generated_id(id);
  if (!number)
    return error{errc::bad_input, worker::shown(id) + " is no whole number of a generated stream"};
  return planted_source::key_of(place, *number);
}

result<table_id> served_model::table(std::string_view name) const {
  std::vector<std::string> looked_up;
  const auto tables = parts_.graph->tables();
  for (std::size_t t = 0; t < tables.size(); ++t) {
    if (tables[t].rows > 0 || tables[t].network) continue;
    if (tables[t].name == name) return table_id{static_cast<std::uint32_t>(t)};
    looked_up.push_back(tables[t].name);
  }
  return unknown(errc::not_found, "table", name, looked_up);
}

std::optional<std::string_view> served_model::only_feature_of(table_id table) const {
  const worker::model_table& of = parts_.graph->tables()[table.value];
  const bool all = of.features.empty() && !of.only_lists;
  std::set<std::uint64_t> salts;  // features of one salt have the same keys
  std::optional<std::string_view> only;
  std::uint32_t key = 0;
  std::uint32_t list = 0;
  for (std::size_t f = 0; f < writers_.size(); ++f) {
    const bool is_list = writers_[f].kind() == feature_kind::ids;
    const bool used = is_list ? std::ranges::find(of.lists, list++) != of.lists.end()
                              : std::ranges::find(of.features, key++) != of.features.end() || all;
    if (!used || writers_[f].has_value()) continue;
    salts.insert(writers_[f].key_of("?"));
    if (!only) only = feature_names_[f];
  }
  return salts.size() == 1 ? only : std::nullopt;
}

}  // namespace headrace::serve
