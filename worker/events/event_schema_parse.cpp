#include "base/byte_io.hpp"
#include "base/check.hpp"
#include "worker/events/event_fields.hpp"
#include "worker/events/event_schema.hpp"
#include "worker/text/text_cleaning.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

/// What a job takes of an event that was checked.
namespace headrace::worker {
namespace {

using schemas::event_batch;
using schemas::event_fault;
using schemas::event_field;
using schemas::field_kind;

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

}  // namespace

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

void event_schema::clean_texts(event_batch& batch,
                               const names& known,
                               std::size_t i,
                               std::vector<std::string>& into) const {
  into.resize(texts_.size());
  for (std::string& text : into) text.clear();
  const schemas::event_head& event = batch.events[i];
  std::array<char, 24> buffer;
  for (event_field& field :
       std::span(batch.fields).subspan(event.fields_begin, event.fields_count)) {
    const std::int32_t column = field.name < known.columns.size() ? known.columns[field.name] : -1;
    if (column < 0) continue;
    for (std::size_t t = 0; t < texts_.size(); ++t) {
      if (texts_[t] != static_cast<std::size_t>(column)) continue;
      if (field.kind == field_kind::integer) into[t] = digits(field.integer, buffer);
      if (field.kind != field_kind::text) continue;
      CHECK(clean_text(field.text, into[t]));  // the decoder let no other in
      field.text = into[t];
    }
  }
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
