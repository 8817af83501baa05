#pragma once

#include "schemas/event.hpp"

#include <algorithm>
#include <cstdint>
#include <deque>
#include <initializer_list>
#include <string>
#include <string_view>

namespace headrace::tests {

/// A batch of events made by hand, without the wire: texts lie in here, so it stays where it is.
/// Each call adds to the last event.
class made_batch {
 public:
  made_batch() = default;
  made_batch(const made_batch&) = delete;
  made_batch& operator=(const made_batch&) = delete;

  made_batch& event(std::string_view id, std::string_view key = "", std::uint64_t time_ms = 0) {
    schemas::event_head head;
    head.id = keep(id);
    head.key = keep(key);
    head.time_ms = time_ms;
    head.fields_begin = static_cast<std::uint32_t>(batch.fields.size());
    batch.events.push_back(head);
    return *this;
  }
  made_batch& action(std::string_view name) {
    batch.events.back().kind = schemas::event_kind::action;
    batch.events.back().action = place(name);
    return *this;
  }
  made_batch& text(std::string_view name, std::string_view value) {
    field(name, schemas::field_kind::text).text = keep(value);
    return *this;
  }
  made_batch& texts(std::string_view name, std::initializer_list<std::string_view> values) {
    schemas::event_field& made = field(name, schemas::field_kind::texts);
    made.texts_begin = static_cast<std::uint32_t>(batch.texts.size());
    made.texts_count = static_cast<std::uint32_t>(values.size());
    for (const std::string_view value : values) batch.texts.push_back(keep(value));
    return *this;
  }
  made_batch& more_text(std::string_view value) {  // of the last list
    ++batch.fields.back().texts_count;
    batch.texts.push_back(keep(value));
    return *this;
  }
  made_batch& number(std::string_view name, double value) {
    field(name, schemas::field_kind::number).number = value;
    return *this;
  }
  made_batch& integer(std::string_view name, std::int64_t value) {
    field(name, schemas::field_kind::integer).integer = value;
    return *this;
  }

  schemas::event_batch batch;

 private:
  std::string_view keep(std::string_view text) { return kept_.emplace_back(text); }
  std::uint16_t place(std::string_view name) {
    const auto at = std::find(batch.names.begin(), batch.names.end(), name);
    const auto place = static_cast<std::uint16_t>(at - batch.names.begin());
    if (at == batch.names.end()) batch.names.push_back(keep(name));
    return place;
  }
  schemas::event_field& field(std::string_view name, schemas::field_kind kind) {
    schemas::event_field& made = batch.fields.emplace_back();
    made.name = place(name);
    made.kind = kind;
    ++batch.events.back().fields_count;
    return made;
  }

  std::deque<std::string> kept_;
};

}  // namespace headrace::tests
