#include "worker/events/event_text.hpp"

#include "base/json_line.hpp"

#include <span>
#include <vector>

namespace headrace::worker {
namespace {

using schemas::field_kind;

// A float is told from a whole number by how it is spelled.
void append_float(double number, std::string& into) {
  const std::size_t begin = into.size();
  append_json_number(into, number);
  if (into.find_first_of(".e", begin) == std::string::npos) into += ".0";
}

void append_texts(std::span<const std::string_view> texts, std::string& into) {
  into += '[';
  for (std::size_t i = 0; i < texts.size(); ++i) {
    if (i > 0) into += ',';
    append_json_string(into, texts[i]);
  }
  into += ']';
}

void append_value(const schemas::event_batch& batch,
                  const schemas::event_field& field,
                  std::string& into) {
  switch (field.kind) {
    case field_kind::text:
      return append_json_string(into, field.text);
    case field_kind::texts:
      return append_texts(batch.texts_of(field), into);
    case field_kind::number:
      return append_float(field.number, into);
    case field_kind::integer:
      into += std::to_string(field.integer);
      return;
  }
}

void append_features(const schemas::event_batch& batch,
                     const schemas::event_head& event,
                     std::string& into) {
  into += ",\"features\":{";
  bool first = true;
  for (const auto& field : batch.fields_of(event)) {
    if (!first) into += ',';
    first = false;
    append_json_string(into, batch.names[field.name]);
    into += ':';
    append_value(batch, field, into);
  }
  into += '}';
}

}  // namespace

void append_event_members(const schemas::event_batch& batch,
                          const schemas::event_head& event,
                          std::string_view id,
                          std::string& into) {
  if (!id.empty()) {
    into += "\"id\":";
    append_json_string(into, id);
    into += ',';
  }
  if (!event.key.empty()) {
    into += "\"key\":";
    append_json_string(into, event.key);
    into += ',';
  }
  into += "\"time\":" + std::to_string(event.time_ms);
  if (event.kind == schemas::event_kind::action) {
    into += ",\"action\":";
    append_json_string(into, batch.names[event.action]);
  }
  if (batch.schema_version != 1)
    into += ",\"schema_version\":" + std::to_string(batch.schema_version);
  if (event.fields_count > 0) append_features(batch, event, into);
}

void copy_event(const schemas::event_batch& from,
                const schemas::event_head& event,
                std::string_view id,
                schemas::event_batch_builder& into) {
  into.event(id, event.key, event.time_ms);
  if (event.kind == schemas::event_kind::action) into.action(into.name(from.names[event.action]));
  for (const auto& field : from.fields_of(event)) {
    const std::uint16_t name = into.name(from.names[field.name]);
    switch (field.kind) {
      case field_kind::text:
        into.text(name, field.text);
        break;
      case field_kind::texts:
        into.texts(name, from.texts_of(field));
        break;
      case field_kind::number:
        into.number(name, field.number);
        break;
      case field_kind::integer:
        into.integer(name, field.integer);
        break;
    }
  }
}

}  // namespace headrace::worker
