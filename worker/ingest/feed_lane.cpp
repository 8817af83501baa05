#include "worker/ingest/feed_lane.hpp"

#include "base/check.hpp"

#include <algorithm>

namespace headrace::worker {

std::size_t feed_lane::sealed_batch::message_of(std::uint32_t place) const {
  const auto found = std::upper_bound(
      messages.begin(), messages.end(), place, [](std::uint32_t event, const kept_message& one) {
        return event < one.events_end;
      });
  CHECK(found != messages.end());
  return static_cast<std::size_t>(found - messages.begin());
}

broker_message feed_lane::sealed_batch::message(std::size_t i, std::string_view partition) const {
  std::size_t from = 0;
  for (std::size_t k = 0; k < i; ++k) {
    from += messages[k].key_bytes + messages[k].type_bytes + messages[k].value_bytes;
  }
  const auto& kept = messages[i];
  const std::string_view all(texts);
  broker_message made;
  made.partition = partition;
  made.offset = kept.offset;
  made.key = all.substr(from, kept.key_bytes);
  made.content_type = all.substr(from + kept.key_bytes, kept.type_bytes);
  made.value = all.substr(from + kept.key_bytes + kept.type_bytes, kept.value_bytes);
  return made;
}

feed_lane::feed_lane(std::string partition, const settings& how)
    : partition_(std::move(partition)), how_(how) {
  begin(1);
}

void feed_lane::begin(std::uint32_t schema_version) {
  builder_.begin(how_.producer, schema_version);
  gathering_ = {};
}

void feed_lane::seal() {
  builder_.from_partition(partition_, gathering_.offset_end);
  gathering_.events = builder_.finish();
  waiting_.push_back(std::move(gathering_));
  begin(builder_.batch().schema_version);
}

/// False when the builder has no room for all of their names.
bool feed_lane::take_names(const schemas::event_batch& events) {
  names_.clear();
  for (const auto name : events.names) {
    const auto place = builder_.try_name(name);
    if (!place) return false;
    names_.push_back(*place);
  }
  return true;
}

void feed_lane::add_event(const schemas::event_batch& events, std::size_t i, std::string_view key) {
  const auto& head = events.events[i];
  builder_.event(head.id, head.key.empty() ? key : head.key, head.time_ms);
  if (head.kind == schemas::event_kind::action) builder_.action(names_[head.action]);
  for (const auto& field : events.fields_of(head)) {
    const auto name = names_[field.name];
    switch (field.kind) {
      case schemas::field_kind::text:
        builder_.text(name, field.text);
        break;
      case schemas::field_kind::texts:
        builder_.texts(name, events.texts_of(field));
        break;
      case schemas::field_kind::number:
        builder_.number(name, field.number);
        break;
      case schemas::field_kind::integer:
        builder_.integer(name, field.integer);
        break;
    }
  }
}

namespace {

// More than the frame of these events takes: structs, pointers and every text once.
std::size_t bytes_of(const broker_message& message, const schemas::event_batch& events) {
  return 128 * events.events.size() + 64 * events.fields.size() + 32 * events.texts.size() +
         256 * events.names.size() + 2 * message.value.size() + message.key.size();
}

}  // namespace

void feed_lane::add(const broker_message& message,
                    const schemas::event_batch& events,
                    std::string_view key) {
  const bool speaks_alike =
      events.events.empty() || builder_.batch().schema_version == events.schema_version;
  const bool fits =
      speaks_alike && gathering_.messages.size() < how_.batch_events_max &&
      builder_.events() + events.events.size() <= how_.batch_events_max &&
      builder_.bytes() + gathering_.texts.size() + bytes_of(message, events) < how_.batch_bytes_max;
  if (!fits && !gathering_.messages.empty()) seal();
  if (gathering_.messages.empty()) begin(events.schema_version);
  if (!take_names(events)) {
    seal();
    begin(events.schema_version);
    CHECK(take_names(events));
  }
  for (std::size_t i = 0; i < events.events.size(); ++i) add_event(events, i, key);
  gathering_.offset_end = message.offset + 1;
  gathering_.messages.push_back({message.offset,
                                 message.key.size(),
                                 message.content_type.size(),
                                 message.value.size(),
                                 static_cast<std::uint32_t>(builder_.events())});
  gathering_.texts.append(message.key).append(message.content_type).append(message.value);
}

feed_lane::sealed_batch feed_lane::take() {
  if (waiting_.empty()) {
    CHECK(!gathering_.messages.empty());
    seal();
  }
  auto oldest = std::move(waiting_.front());
  waiting_.pop_front();
  return oldest;
}

}  // namespace headrace::worker
