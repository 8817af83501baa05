#include "base/check.hpp"
#include "schemas/event.hpp"

#include <algorithm>
#include <functional>

namespace headrace::schemas {

namespace {

constexpr std::size_t slots = 2 * batch_names_max;  // a power of two
// At most what the frame takes, in bytes (schemas/event.capnp): each with its pointers and tags, a
// text with up to 8 bytes to the next word.
constexpr std::size_t batch_bytes = 96;
constexpr std::size_t event_bytes = 64;
constexpr std::size_t field_bytes = 24;
std::size_t text_bytes(std::string_view text) { return 16 + text.size(); }

}  // namespace

event_batch_builder::event_batch_builder() : slots_(slots) { begin(""); }

void event_batch_builder::begin(std::string_view producer, std::uint32_t schema_version) {
  texts_.clear();
  batch_.names.clear();
  batch_.events.clear();
  batch_.fields.clear();
  batch_.texts.clear();
  std::fill(slots_.begin(), slots_.end(), std::uint16_t{0});
  guess_ = 0;
  batch_.producer = texts_.keep(producer);
  batch_.partition = {};
  batch_.offset_end = 0;
  batch_.schema_version = schema_version;
  bytes_ = batch_bytes + producer.size();
}

void event_batch_builder::from_partition(std::string_view partition, std::uint64_t offset_end) {
  batch_.partition = texts_.keep(partition);
  batch_.offset_end = offset_end;
  bytes_ += partition.size();
}

void event_batch_builder::producer(std::string_view producer) {
  batch_.producer = texts_.keep(producer);
  bytes_ += producer.size();
}

std::size_t event_batch_builder::slot_of(std::string_view name) const {
  std::size_t at = std::hash<std::string_view>{}(name) % slots;
  while (slots_[at] != 0 && batch_.names[slots_[at] - 1U] != name) at = (at + 1) % slots;
  return at;
}

std::optional<std::uint16_t> event_batch_builder::find_name(std::string_view name) const {
  const std::uint16_t found = slots_[slot_of(name)];
  if (found == 0) return std::nullopt;
  return static_cast<std::uint16_t>(found - 1);
}

std::optional<std::uint16_t> event_batch_builder::try_name(std::string_view name) {
  auto& names = batch_.names;
  if (guess_ < names.size() && names[guess_] == name) return static_cast<std::uint16_t>(guess_++);
  std::uint16_t& slot = slots_[slot_of(name)];
  if (slot == 0) {
    if (names.size() == batch_names_max) return std::nullopt;
    names.push_back(texts_.keep(name));
    bytes_ += text_bytes(name);
    slot = static_cast<std::uint16_t>(names.size());
  }
  guess_ = slot;
  return static_cast<std::uint16_t>(slot - 1);
}

std::uint16_t event_batch_builder::name(std::string_view name) {
  const auto place = try_name(name);
  CHECK(place);
  return *place;
}

void event_batch_builder::event(std::string_view id, std::string_view key, std::uint64_t time_ms) {
  before_ = here();
  guess_ = 0;
  event_head& made = batch_.events.emplace_back();
  made.id = texts_.keep(id);
  made.key = texts_.keep(key);
  made.time_ms = time_ms;
  made.fields_begin = static_cast<std::uint32_t>(batch_.fields.size());
  bytes_ += event_bytes + id.size() + key.size();
}

void event_batch_builder::id(std::string_view id) {
  batch_.events.back().id = texts_.keep(id);
  bytes_ += id.size();
}

void event_batch_builder::key(std::string_view key) {
  batch_.events.back().key = texts_.keep(key);
  bytes_ += key.size();
}

void event_batch_builder::action(std::uint16_t name) {
  CHECK(!batch_.events.empty());
  batch_.events.back().kind = event_kind::action;
  batch_.events.back().action = name;
}

event_field& event_batch_builder::add(std::uint16_t name, field_kind kind) {
  CHECK(!batch_.events.empty());
  ++batch_.events.back().fields_count;
  bytes_ += field_bytes;
  event_field& field = batch_.fields.emplace_back();
  field.name = name;
  field.kind = kind;
  return field;
}

void event_batch_builder::text(std::uint16_t name, std::string_view value) {
  add(name, field_kind::text).text = texts_.keep(value);
  bytes_ += text_bytes(value);
}

void event_batch_builder::texts(std::uint16_t name, std::span<const std::string_view> values) {
  event_field& field = add(name, field_kind::texts);
  field.texts_begin = static_cast<std::uint32_t>(batch_.texts.size());
  field.texts_count = static_cast<std::uint32_t>(values.size());
  for (const std::string_view value : values) {
    batch_.texts.push_back(texts_.keep(value));
    bytes_ += text_bytes(value);
  }
}

void event_batch_builder::number(std::uint16_t name, double value) {
  add(name, field_kind::number).number = value;
}

void event_batch_builder::integer(std::uint16_t name, std::int64_t value) {
  add(name, field_kind::integer).integer = value;
}

event_batch_builder::point event_batch_builder::here() const {
  return {batch_.producer,
          batch_.schema_version,
          batch_.names.size(),
          batch_.events.size(),
          batch_.fields.size(),
          batch_.texts.size(),
          bytes_,
          texts_.end()};
}

void event_batch_builder::back_to(const point& earlier) {
  CHECK(earlier.events <= batch_.events.size());
  batch_.producer = earlier.producer;
  batch_.schema_version = earlier.schema_version;
  batch_.events.resize(earlier.events);
  batch_.fields.resize(earlier.fields);
  batch_.texts.resize(earlier.texts);
  // Newest first: what came later alone may have been placed behind it.
  while (batch_.names.size() > earlier.names) {
    slots_[slot_of(batch_.names.back())] = 0;
    batch_.names.pop_back();
  }
  texts_.back_to(earlier.end);
  bytes_ = earlier.bytes;
  guess_ = 0;
}

}  // namespace headrace::schemas
