#include "worker/events/event_fields.hpp"
#include "worker/events/event_schema.hpp"

#include <algorithm>
#include <string>

/// Whether an event can become a sample, and what is wrong with it if not.
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

}  // namespace

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
  for (const std::size_t text : texts_) {
    if (auto wrong = check_id(columns_[text], fields[text])) return wrong;
  }
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

}  // namespace headrace::worker
