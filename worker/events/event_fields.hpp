#pragma once

#include "schemas/event.hpp"
#include "worker/events/event_schema.hpp"
#include "worker/ingest/column_text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

/// How event_schema reads the fields of an event: of what it checks and what it writes alike.
namespace headrace::worker {

/// Not there, or a text of nothing but spaces and tabs.
inline bool is_blank(const schemas::event_field* field) {
  return field == nullptr ||
         (field->kind == schemas::field_kind::text && trimmed(field->text).empty());
}

/// A number in any of the forms that have one: none, wrong_type, not_finite.
inline schemas::event_fault read_number(const schemas::event_field& field, double& into) {
  if (field.kind == schemas::field_kind::texts) return schemas::event_fault::wrong_type;
  if (field.kind == schemas::field_kind::text) {
    const auto bad = to_number(field.text, into);
    if (!bad) return schemas::event_fault::none;
    return *bad == bad_row::not_finite ? schemas::event_fault::not_finite
                                       : schemas::event_fault::wrong_type;
  }
  into = field.kind == schemas::field_kind::integer ? static_cast<double>(field.integer)
                                                    : field.number;
  return std::isfinite(into) ? schemas::event_fault::none : schemas::event_fault::not_finite;
}

inline std::string_view digits(std::int64_t value, std::array<char, 24>& buffer) {
  const auto made = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), static_cast<std::size_t>(made.ptr - buffer.data())};
}

/// Of a column that was checked as an id; empty where there is none.
inline std::string_view id_text(const schemas::event_field* field, std::array<char, 24>& buffer) {
  if (field == nullptr) return {};
  return field->kind == schemas::field_kind::integer ? digits(field->integer, buffer) : field->text;
}

/// The field of one event that is each column of the job; null where none is.
class event_schema::column_fields {
 public:
  column_fields(const schemas::event_batch& batch,
                const event_schema::names& known,
                const schemas::event_head& event,
                std::size_t columns) {
    if (columns > small_.size()) {
      large_.resize(columns);
      fields_ = large_.data();
    }
    std::fill_n(fields_, columns, nullptr);
    for (const schemas::event_field& field : batch.fields_of(event)) {
      if (field.name >= known.columns.size()) continue;
      const std::int32_t column = known.columns[field.name];
      if (column < 0) continue;
      if (fields_[column] != nullptr && twice_ < 0) twice_ = column;
      fields_[column] = &field;
    }
  }
  column_fields(const column_fields&) = delete;
  column_fields& operator=(const column_fields&) = delete;

  const schemas::event_field* operator[](std::size_t column) const { return fields_[column]; }
  /// Where the event's own is blank.
  void lend(std::size_t column, const schemas::event_field& field) {
    if (is_blank(fields_[column])) fields_[column] = &field;
  }
  /// A column that is there more than once, or −1.
  std::int32_t twice() const { return twice_; }

 private:
  std::array<const schemas::event_field*, 64> small_;  // no allocation for the usual jobs
  std::vector<const schemas::event_field*> large_;
  const schemas::event_field** fields_ = small_.data();
  std::int32_t twice_ = -1;
};

}  // namespace headrace::worker
