#include "worker/events/event_schema.hpp"

#include "base/byte_io.hpp"
#include "base/check.hpp"
#include "base/parse_number.hpp"
#include "schemas/hash.hpp"
#include "worker/ingest/column_text.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <numeric>
#include <utility>

namespace headrace::worker {
namespace {

using schemas::event_batch;
using schemas::event_fault;
using schemas::event_field;
using schemas::field_kind;

// "the text 'cheap'": what a field is, for a message.
std::string described(const event_field& field) {
  switch (field.kind) {
    case field_kind::text:
      return "the text " + shown(field.text);
    case field_kind::texts:
      return "a list of " + std::to_string(field.texts_count);
    case field_kind::number:
      return "the number " + std::to_string(field.number);
    case field_kind::integer:
      return "the integer " + std::to_string(field.integer);
  }
  return "something else";
}

bool is_blank(const event_field* field) {
  return field == nullptr || (field->kind == field_kind::text && trimmed(field->text).empty());
}

// A number in any of the forms that have one: none, wrong_type, not_finite.
event_fault read_number(const event_field& field, double& into) {
  if (field.kind == field_kind::texts) return event_fault::wrong_type;
  if (field.kind == field_kind::text) {
    const auto bad = to_number(field.text, into);
    if (!bad) return event_fault::none;
    return *bad == bad_row::not_finite ? event_fault::not_finite : event_fault::wrong_type;
  }
  into = field.kind == field_kind::integer ? static_cast<double>(field.integer) : field.number;
  return std::isfinite(into) ? event_fault::none : event_fault::not_finite;
}

event_fault check_feature(const feature_writer& writer, const event_field& field) {
  if (writer.kind() == feature_kind::ids)
    return field.kind == field_kind::number ? event_fault::wrong_type : event_fault::none;
  if (writer.kind() == feature_kind::id) {
    const bool fits = field.kind == field_kind::text || field.kind == field_kind::integer;
    return fits ? event_fault::none : event_fault::wrong_type;
  }
  if (is_blank(&field)) return event_fault::none;
  double x = 0.0;
  const event_fault fault = read_number(field, x);
  if (fault != event_fault::none) return fault;
  return writer.takes(x) ? event_fault::none : event_fault::not_finite;
}

std::string needed_by(const feature_writer& writer) {
  if (writer.kind() == feature_kind::id) return "a text or an integer";
  if (writer.kind() == feature_kind::ids) return "a list of texts, a text or an integer";
  return "a finite number";
}

event_schema::problem wrong(event_fault fault,
                            const std::string& column,
                            const std::string& needed,
                            const event_field& field) {
  return {fault, column + ": " + needed + " is needed, this is " + described(field)};
}

std::string_view digits(std::int64_t value, std::array<char, 24>& buffer) {
  const auto made = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), static_cast<std::size_t>(made.ptr - buffer.data())};
}

void write_feature(const feature_writer& writer,
                   const event_batch& batch,
                   const event_field* field,
                   bool with_values,
                   event& into) {
  if (field == nullptr) return writer.missing(into, with_values);
  if (writer.kind() == feature_kind::float_value) {
    if (is_blank(field)) return writer.missing(into, with_values);
    double x = 0.0;
    CHECK(read_number(*field, x) == event_fault::none);
    CHECK(writer.number(x, into, with_values));
    return;
  }
  std::array<char, 24> buffer;
  const bool is_list = writer.kind() == feature_kind::ids;
  if (field->kind == field_kind::integer) {
    const std::string_view text = digits(field->integer, buffer);
    if (is_list) return writer.ids(std::span(&text, 1), into);
    return writer.id(text, into, with_values);
  }
  if (is_list && field->kind == field_kind::texts) return writer.ids(batch.texts_of(*field), into);
  CHECK(field->kind == field_kind::text);
  if (is_list) return writer.ids(field->text, into);
  writer.id(field->text, into, with_values);
}

std::uint64_t fingerprint_of(const std::vector<feature_spec>& features,
                             const std::vector<std::string>& actions) {
  byte_writer all;
  for (const std::string& action : actions) all.text(action);
  for (const feature_spec& feature : features) {
    for (const std::string* text :
         {&feature.name, &feature.column, &feature.salt, &feature.list_separator})
      all.text(*text);
    all.number(feature.kind);
    for (const transform each : feature.transforms) all.number(each);
    all.number(feature.bucket_width);
    all.number(feature.list_max);
    all.number(feature.list_held_out);
  }
  return schemas::hash64(all.take());
}

std::optional<event_schema::problem> check_id(const std::string& column, const event_field* field) {
  const bool fits =
      field == nullptr || field->kind == field_kind::text || field->kind == field_kind::integer;
  if (fits) return std::nullopt;
  return wrong(event_fault::wrong_type, column, "a text or an integer", *field);
}

std::optional<event_schema::problem> check_number(const std::string& column,
                                                  const event_field* field) {
  double x = 0.0;
  const event_fault fault = is_blank(field) ? event_fault::none : read_number(*field, x);
  if (fault == event_fault::none) return std::nullopt;
  return wrong(fault, column, "a finite number", *field);
}

// Of a column that check_id let pass; empty where there is none.
std::string_view id_text(const event_field* field, std::array<char, 24>& buffer) {
  if (field == nullptr) return {};
  return field->kind == field_kind::integer ? digits(field->integer, buffer) : field->text;
}

}  // namespace

// The field of one event that is each column of the job; null where none is.
class event_schema::column_fields {
 public:
  column_fields(const event_batch& batch,
                const event_schema::names& known,
                const schemas::event_head& event,
                std::size_t columns) {
    if (columns > small_.size()) {
      large_.resize(columns);
      fields_ = large_.data();
    }
    std::fill_n(fields_, columns, nullptr);
    for (const event_field& field : batch.fields_of(event)) {
      if (field.name >= known.columns.size()) continue;
      const std::int32_t column = known.columns[field.name];
      if (column < 0) continue;
      if (fields_[column] != nullptr && twice_ < 0) twice_ = column;
      fields_[column] = &field;
    }
  }
  column_fields(const column_fields&) = delete;
  column_fields& operator=(const column_fields&) = delete;

  const event_field* operator[](std::size_t column) const { return fields_[column]; }
  // Where the event's own is blank.
  void lend(std::size_t column, const event_field& field) {
    if (is_blank(fields_[column])) fields_[column] = &field;
  }
  // A column that is there more than once, or −1.
  std::int32_t twice() const { return twice_; }

 private:
  std::array<const event_field*, 64> small_;  // no allocation for the usual jobs
  std::vector<const event_field*> large_;
  const event_field** fields_ = small_.data();
  std::int32_t twice_ = -1;
};

// What `keep_columns` made, as fields again. Its bytes outlive it.
class event_schema::kept_columns {
 public:
  static void write(byte_writer& out, std::uint64_t name, const event_field* field) {
    if (is_blank(field) || field->kind == field_kind::texts) return;
    out.number(name);
    out.number(static_cast<std::uint8_t>(field->kind));
    if (field->kind == field_kind::text) out.text(field->text);
    if (field->kind == field_kind::number) out.number(field->number);
    if (field->kind == field_kind::integer) out.number(field->integer);
  }
  kept_columns(std::span<const std::byte> bytes, std::span<const kept_column> columns) {
    byte_reader in(bytes);
    while (in.left() > 0) {
      const auto name = in.number<std::uint64_t>();
      event_field field;
      field.kind = static_cast<field_kind>(in.number<std::uint8_t>());
      if (field.kind == field_kind::text) {
        const auto text = in.block();
        field.text = {reinterpret_cast<const char*>(text.data()), text.size()};
      }
      if (field.kind == field_kind::number) field.number = in.number<double>();
      if (field.kind == field_kind::integer) field.integer = in.number<std::int64_t>();
      if (!in.ok()) return;
      const auto known = std::ranges::find(columns, name, &kept_column::name);
      if (known != columns.end()) found_.emplace_back(known->column, field);
    }
  }
  void lend_to(column_fields& fields) const {
    for (const auto& [column, field] : found_) fields.lend(column, field);
  }

 private:
  std::vector<std::pair<std::size_t, event_field>> found_;
};

result<std::size_t> event_schema::column_of(const std::string& column, const std::string& use) {
  if (parse_number<std::int64_t>(column)) {
    return error{errc::bad_config,
                 "column " + column + " for " + use +
                     " is a number: live events have names, no places; give the column's name"};
  }
  const auto hit = std::find(columns_.begin(), columns_.end(), column);
  const auto place = static_cast<std::size_t>(hit - columns_.begin());
  if (hit == columns_.end()) columns_.push_back(column);
  return place;
}

result<event_schema> event_schema::bind(const source_spec& source,
                                        const std::vector<std::string>& actions) {
  event_schema made;
  made.actions_ = actions;
  made.fingerprint_ = fingerprint_of(source.features, actions);
  for (const std::string& action : actions) {
    if (std::count(actions.begin(), actions.end(), action) > 1)
      return error{errc::bad_config, "action '" + action + "' is there twice"};
  }
  if (actions.empty()) {
    made.labels_.push_back({source.label});
    for (const label_spec& more : source.more_labels) made.labels_.push_back({more});
  }
  for (bound_label& label : made.labels_) {
    auto column = made.column_of(label.spec.column, "the label");
    if (!column) return column.error();
    label.column = *column;
  }
  if (auto bound = made.bind_features(source.features); !bound) return bound.error();
  return made;
}

result<event_schema> event_schema::bind_request(const source_spec& source) {
  std::vector<feature_spec> features = source.features;
  for (feature_spec& feature : features) {
    if (feature.window || parse_number<std::int64_t>(feature.column)) feature.column = feature.name;
    feature.window.reset();
  }
  event_schema made;
  if (auto bound = made.bind_features(features); !bound) return bound.error();
  return made;
}

result<void> event_schema::bind_features(const std::vector<feature_spec>& features) {
  for (const feature_spec& feature : features) {
    if (auto bound = bind_feature(feature); !bound) return bound;
  }
  order_.resize(columns_.size());
  std::iota(order_.begin(), order_.end(), 0U);
  std::sort(order_.begin(), order_.end(), [&](std::uint32_t a, std::uint32_t b) {
    return columns_[a] < columns_[b];
  });
  return {};
}

result<void> event_schema::bind_feature(const feature_spec& feature) {
  bound_feature made{feature_writer(feature), 0};
  if (!feature.window || has_column(feature.window->is)) {
    auto column = column_of(feature.column.empty() ? feature.name : feature.column,
                            "feature '" + feature.name + "'");
    if (!column) return column.error();
    made.column = *column;
  }
  if (feature.window) {
    bound_window window{*feature.window, features_.size(), {}, 0, -1};
    if (auto bound = bind_window(feature, window); !bound) return bound;
    if (window.action >= 0) {
      for (const std::size_t column : window.of) keep_column(column);
      if (window.spec.where) keep_column(window.where);
      if (has_column(window.spec.is)) keep_column(made.column);
    }
    windows_.push_back(std::move(window));
  }
  features_.push_back(std::move(made));
  has_values_ = has_values_ || features_.back().writer.has_value();
  lists_ += feature.kind == feature_kind::ids ? 1 : 0;
  return {};
}

void event_schema::keep_column(std::size_t column) {
  if (std::ranges::find(kept_, column, &kept_column::column) == kept_.end())
    kept_.push_back({column, schemas::hash64(std::as_bytes(std::span(columns_[column])))});
}

result<void> event_schema::bind_window(const feature_spec& feature, bound_window& into) {
  const std::string use = "feature '" + feature.name + "'";
  for (const std::string& each : into.spec.of) {
    auto column = column_of(each, use);
    if (!column) return column.error();
    into.of.push_back(*column);
  }
  if (into.spec.where) {
    auto column = column_of(into.spec.where->column, use);
    if (!column) return column.error();
    into.where = *column;
  }
  if (into.spec.on.empty()) return {};
  const auto action = std::ranges::find(actions_, into.spec.on);
  if (action == actions_.end())
    return error{errc::bad_config, use + " is fed by '" + into.spec.on + "', which is no action"};
  into.action = static_cast<std::int32_t>(action - actions_.begin());
  return {};
}

event_schema::names event_schema::look_up(const event_batch& batch) const {
  names known;
  known.columns.assign(batch.names.size(), -1);
  known.actions.assign(batch.names.size(), -1);
  for (std::size_t n = 0; n < batch.names.size(); ++n) {
    const std::string_view name = batch.names[n];
    const auto at = std::lower_bound(
        order_.begin(), order_.end(), name, [&](std::uint32_t place, std::string_view wanted) {
          return columns_[place] < wanted;
        });
    if (at != order_.end() && columns_[*at] == name)
      known.columns[n] = static_cast<std::int32_t>(*at);
    const auto action = std::find(actions_.begin(), actions_.end(), name);
    if (action != actions_.end())
      known.actions[n] = static_cast<std::int32_t>(action - actions_.begin());
  }
  return known;
}

std::int32_t event_schema::action_of(const event_batch& batch,
                                     const names& known,
                                     std::size_t i) const {
  const schemas::event_head& event = batch.events[i];
  if (event.kind != schemas::event_kind::action || event.action >= known.actions.size()) return -1;
  return known.actions[event.action];
}

std::optional<event_schema::problem> event_schema::check_action(const event_batch& batch,
                                                                const names& known,
                                                                std::size_t i) const {
  const schemas::event_head& event = batch.events[i];
  if (event.kind != schemas::event_kind::action || action_of(batch, known, i) >= 0)
    return std::nullopt;
  const std::string said =
      event.action < batch.names.size() ? shown(batch.names[event.action]) : "one without a name";
  std::string accepted = joins() ? "accepted is " : "this job joins none";
  for (std::size_t a = 0; a < actions_.size(); ++a) accepted += (a > 0 ? " | " : "") + actions_[a];
  return problem{event_fault::unknown_action, "action: this is " + said + "; " + accepted};
}

std::optional<event_schema::problem> event_schema::check(const event_batch& batch,
                                                         const names& known,
                                                         std::size_t i) const {
  const schemas::event_head& event = batch.events[i];
  const bool is_action = event.kind == schemas::event_kind::action;
  const std::int32_t action = action_of(batch, known, i);
  if (is_action) {
    if (auto unknown = check_action(batch, known, i)) return unknown;
    if (std::ranges::find(windows_, action, &bound_window::action) == windows_.end())
      return std::nullopt;
  }
  const column_fields fields(batch, known, event, columns_.size());
  if (fields.twice() >= 0) {
    return problem{event_fault::malformed,
                   columns_[static_cast<std::size_t>(fields.twice())] + ": it is there twice"};
  }
  for (const bound_window& window : windows_) {
    const bool feeds = window.action == action;
    if (is_action && !feeds) continue;
    if (auto wrong = check_window(window, fields, feeds)) return wrong;
  }
  if (is_action) return std::nullopt;
  for (const bound_label& label : labels_) {
    const event_field* field = fields[label.column];
    if (is_blank(field)) {
      return problem{event_fault::missing_field,
                     columns_[label.column] + ": a number is needed, it is the label"};
    }
    double value = 0.0;
    const event_fault fault = read_number(*field, value);
    if (fault != event_fault::none)
      return wrong(fault, columns_[label.column], "a finite number", *field);
  }
  std::size_t w = 0;
  for (std::size_t f = 0; f < features_.size(); ++f) {
    if (w < windows_.size() && windows_[w].feature == f) {
      ++w;
      continue;
    }
    const bound_feature& feature = features_[f];
    const event_field* field = fields[feature.column];
    if (field == nullptr) continue;
    const event_fault fault = check_feature(feature.writer, *field);
    if (fault != event_fault::none)
      return wrong(fault, columns_[feature.column], needed_by(feature.writer), *field);
  }
  return std::nullopt;
}

void event_schema::parse(const event_batch& batch,
                         const names& known,
                         std::size_t i,
                         event& into) const {
  const schemas::event_head& event = batch.events[i];
  const column_fields fields(batch, known, event, columns_.size());
  into.label = 0.0F;
  into.more_labels.assign(std::max<std::size_t>(labels(), 1) - 1, 0.0F);
  for (std::size_t l = 0; l < labels_.size(); ++l) {
    const bound_label& label = labels_[l];
    double value = 0.0;
    CHECK(fields[label.column] != nullptr);
    CHECK(read_number(*fields[label.column], value) == event_fault::none);
    float& to = l == 0 ? into.label : into.more_labels[l - 1];
    to = holds(label.spec.is, value, label.spec.threshold) ? 1.0F : 0.0F;
  }
  into.event_time_ms = event.time_ms;
  into.keys.clear();
  into.values.clear();
  into.lengths.clear();
  into.sequence_keys.clear();
  into.windows.clear();
  for (std::size_t f = 0; f < features_.size(); ++f) {
    const bound_feature& feature = features_[f];
    const std::size_t w = into.windows.size();
    if (w < windows_.size() && windows_[w].feature == f) {
      feature.writer.missing(into, has_values_);
      into.windows.push_back(parse_window(windows_[w], fields, windows_[w].action < 0));
    } else {
      write_feature(feature.writer, batch, fields[feature.column], has_values_, into);
    }
  }
}

void event_schema::parse_over(const event_batch& batch,
                              const names& known,
                              std::size_t i,
                              const event& shared,
                              event& into) const {
  CHECK(windows_.empty() && labels_.empty());
  const schemas::event_head& event = batch.events[i];
  const column_fields fields(batch, known, event, columns_.size());
  into.label = 0.0F;
  into.more_labels.assign(shared.more_labels.size(), 0.0F);
  into.event_time_ms = event.time_ms;
  into.keys.clear();
  into.values.clear();
  into.lengths.clear();
  into.sequence_keys.clear();
  into.windows.clear();
  auto list = shared.sequence_keys.begin();
  std::size_t lists = 0;
  std::size_t keys = 0;
  for (const bound_feature& feature : features_) {
    const event_field* const field = fields[feature.column];
    const bool is_list = feature.writer.kind() == feature_kind::ids;
    if (field != nullptr) {
      write_feature(feature.writer, batch, field, has_values_, into);
    } else if (is_list) {
      into.lengths.push_back(shared.lengths[lists]);
      into.sequence_keys.insert(into.sequence_keys.end(), list, list + shared.lengths[lists]);
    } else {
      into.keys.push_back(shared.keys[keys]);
      if (has_values_) into.values.push_back(shared.values[keys]);
    }
    if (is_list) {
      list += shared.lengths[lists++];
    } else {
      ++keys;
    }
  }
}

void event_schema::parse_action(const event_batch& batch,
                                const names& known,
                                std::size_t i,
                                std::span<const std::byte> of_impression,
                                std::vector<window_input>& into) const {
  const std::int32_t action = action_of(batch, known, i);
  CHECK(action >= 0);
  into.assign(windows_.size(), {});
  if (std::ranges::find(windows_, action, &bound_window::action) == windows_.end()) return;
  column_fields fields(batch, known, batch.events[i], columns_.size());
  const kept_columns kept(of_impression, kept_);
  kept.lend_to(fields);
  for (std::size_t w = 0; w < windows_.size(); ++w) {
    const bound_window& window = windows_[w];
    if (window.action != action) continue;
    into[w].lacks = check_window(window, fields, true).has_value();  // of its impression
    if (!into[w].lacks) into[w] = parse_window(window, fields, true);
  }
}

void event_schema::keep_columns(const event_batch& batch,
                                const names& known,
                                std::size_t i,
                                std::vector<std::byte>& into) const {
  const column_fields fields(batch, known, batch.events[i], columns_.size());
  byte_writer out;
  for (const auto& [column, name] : kept_) kept_columns::write(out, name, fields[column]);
  into = out.take();
}

// The columns of a window: its key, and where the event feeds it, what is counted.
std::optional<event_schema::problem> event_schema::check_window(const bound_window& window,
                                                                const column_fields& fields,
                                                                bool feeds) const {
  for (const std::size_t column : window.of) {
    if (auto wrong = check_id(columns_[column], fields[column])) return wrong;
  }
  if (!feeds) return std::nullopt;
  if (window.spec.where) {
    if (auto wrong = check_number(columns_[window.where], fields[window.where])) return wrong;
  }
  if (!has_column(window.spec.is)) return std::nullopt;
  const std::size_t column = features_[window.feature].column;
  return window.spec.is == sliding_window::measure::sum
             ? check_number(columns_[column], fields[column])
             : check_id(columns_[column], fields[column]);
}

window_input event_schema::parse_window(const bound_window& window,
                                        const column_fields& fields,
                                        bool feeds) const {
  window_input made;
  std::array<std::string_view, window_columns_max> texts;
  std::array<std::array<char, 24>, window_columns_max> buffers;
  made.has_key = true;
  for (std::size_t i = 0; i < window.of.size(); ++i) {
    texts[i] = id_text(fields[window.of[i]], buffers[i]);
    made.has_key = made.has_key && !texts[i].empty();
  }
  made.lacks = feeds && !made.has_key;
  if (!made.has_key) return made;
  made.key = window_key(std::span(texts).first(window.of.size()));
  made.feeds = feeds;
  double x = 0.0;
  const auto read = [&](const event_field* field) {
    if (is_blank(field)) return false;
    CHECK(read_number(*field, x) == event_fault::none);
    return true;
  };
  if (made.feeds && window.spec.where) {
    made.lacks = !read(fields[window.where]);
    made.feeds = !made.lacks && holds(window.spec.where->is, x, window.spec.where->threshold);
  }
  if (!made.feeds || !has_column(window.spec.is)) return made;
  const bound_feature& feature = features_[window.feature];
  const event_field* field = fields[feature.column];
  if (window.spec.is == sliding_window::measure::sum) {
    made.feeds = read(field);
    made.lacks = !made.feeds;
    made.value = std::bit_cast<std::uint64_t>(x);
    return made;
  }
  const std::string_view text = id_text(field, buffers[0]);
  made.feeds = !text.empty();
  made.lacks = !made.feeds;
  if (made.feeds) made.value = feature.writer.key_of(text);
  return made;
}

}  // namespace headrace::worker
