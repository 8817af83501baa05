#include "schemas/event.hpp"

#include "base/check.hpp"
#include "base/utf8.hpp"
#include "schemas/event.capnp.h"
#include "schemas/flat_message.hpp"
#include "schemas/wire.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>

namespace headrace::schemas {

namespace {

/// Which of at most batch_names_max columns an event has, started anew for each without a loop.
class column_marks {
 public:
  void next_event() { ++event_; }
  /// False when this event has it already.
  bool add(std::uint16_t name) {
    const bool is_new = seen_[name] != event_;
    seen_[name] = event_;
    return is_new;
  }

 private:
  std::array<std::uint32_t, batch_names_max> seen_{};
  std::uint32_t event_ = 0;
};

/// Reads a batch into vectors that are used again, and says where it went wrong. After false
/// nothing more may be read.
class batch_reader {
 public:
  /// `words`: of the frame.
  batch_reader(event_batch& into, std::size_t words) : into_(into), words_left_(words) {}

  result<void> read(wire::EventBatch::Reader in) {
    if (read_head(in) && read_names(in.getNames()) && read_events(in.getEvents())) return {};
    return std::move(failure_);
  }

 private:
  bool refuse(errc code, std::string_view what, const std::string& why) {
    std::string where = "event batch: ";
    if (in_event_) where += "event " + std::to_string(into_.events.size()) + ": ";
    if (!column_.empty()) where += std::string(column_) + ": ";
    failure_ = {code, where + std::string(what) + why};
    return false;
  }

  bool text(capnp::Text::Reader from,
            std::size_t most,
            std::string_view what,
            std::string_view& into) {
    into = {from.begin(), from.size()};
    if (into.size() > most) {
      return refuse(errc::too_large,
                    what,
                    " of " + std::to_string(into.size()) + " bytes; at most " +
                        std::to_string(most) + " are accepted");
    }
    return is_utf8(into) || refuse(errc::malformed, what, " is not UTF-8");
  }

  /// A list of `count` elements of `words` each: within its limit, and within what is left of the
  /// frame. Cap'n Proto takes lists of smaller elements, too, and they could make more of less.
  bool list(std::size_t count, std::size_t most, std::size_t words, std::string_view what) {
    if (count > most) {
      return refuse(
          errc::too_large,
          what,
          ": " + std::to_string(count) + "; at most " + std::to_string(most) + " are accepted");
    }
    if (count * words > words_left_)
      return refuse(errc::malformed, what, ": " + std::to_string(count) + ", more than the frame");
    words_left_ -= count * words;
    return true;
  }

  bool place(std::uint16_t name, std::string_view what) {
    return name < into_.names.size() || refuse(errc::malformed,
                                               what,
                                               " " + std::to_string(name) + " of " +
                                                   std::to_string(into_.names.size()) + " names");
  }

  bool read_head(wire::EventBatch::Reader in) {
    const std::uint16_t spoken = in.getProtocol();
    if (spoken < protocol_version_min || spoken > protocol_version) {
      return refuse(errc::bad_protocol,
                    "peer speaks protocol ",
                    std::to_string(spoken) + ", this build " +
                        std::to_string(protocol_version_min) + " to " +
                        std::to_string(protocol_version) + "; upgrade the older of the two");
    }
    into_.schema_version = in.getSchemaVersion();
    into_.offset_end = in.getOffsetEnd();
    return text(in.getProducer(), producer_bytes_max, "producer", into_.producer) &&
           text(in.getPartition(), partition_bytes_max, "partition", into_.partition);
  }

  bool read_names(capnp::List<capnp::Text>::Reader names) {
    if (!list(names.size(), batch_names_max, 1, "names")) return false;
    into_.names.resize(names.size());
    for (unsigned i = 0; i < names.size(); ++i) {
      std::string_view& name = into_.names[i];
      if (!text(names[i], event_name_bytes_max, "name", name)) return false;
      if (name.empty()) return refuse(errc::malformed, "name ", std::to_string(i) + " is empty");
    }
    std::vector<std::string_view> sorted = into_.names;
    std::sort(sorted.begin(), sorted.end());
    const auto twice = std::adjacent_find(sorted.begin(), sorted.end());
    return twice == sorted.end() ||
           refuse(errc::malformed, "name ", std::string(*twice) + " is there twice");
  }

  bool read_events(capnp::List<wire::Event>::Reader events) {
    if (!list(events.size(), batch_events_max, struct_words<wire::Event>(), "events")) return false;
    into_.events.reserve(events.size());
    in_event_ = true;
    for (const wire::Event::Reader in : events) {
      event_head event;
      if (!read_event(in, event)) return false;
      into_.events.push_back(event);
    }
    return true;
  }

  bool read_event(wire::Event::Reader in, event_head& event) {
    if (!text(in.getId(), event_id_bytes_max, "id", event.id)) return false;
    if (!text(in.getKey(), event_key_bytes_max, "key", event.key)) return false;
    event.time_ms = in.getTimeMs();
    if (in.getKind() > static_cast<std::uint8_t>(event_kind::action))
      return refuse(errc::malformed, "kind ", std::to_string(in.getKind()) + " is not known");
    event.kind = static_cast<event_kind>(in.getKind());
    if (event.kind == event_kind::action) {
      event.action = in.getAction();
      if (!place(event.action, "action")) return false;
    }
    const auto fields = in.getFields();
    if (!list(fields.size(), event_fields_max, struct_words<wire::Field>(), "fields")) return false;
    event.fields_begin = static_cast<std::uint32_t>(into_.fields.size());
    event.fields_count = fields.size();
    columns_.next_event();
    for (const wire::Field::Reader field : fields) {
      if (!read_field(field, into_.fields.emplace_back())) return false;
    }
    column_ = {};
    return true;
  }

  bool read_field(wire::Field::Reader in, event_field& field) {
    field.name = in.getName();
    if (!place(field.name, "field")) return false;
    column_ = into_.names[field.name];
    if (!columns_.add(field.name)) return refuse(errc::malformed, "field", " is there twice");
    switch (in.which()) {
      case wire::Field::TEXT:
        field.kind = field_kind::text;
        return text(in.getText(), event_text_bytes_max, "text", field.text);
      case wire::Field::TEXTS:
        field.kind = field_kind::texts;
        return read_texts(in.getTexts(), field);
      case wire::Field::NUMBER:
        field.kind = field_kind::number;
        field.number = in.getNumber();
        return std::isfinite(field.number) || refuse(errc::malformed, "number", " is not finite");
      case wire::Field::INTEGER:
        field.kind = field_kind::integer;
        field.integer = in.getInteger();
        return true;
    }
    return refuse(errc::malformed, "a kind of field that is not known", "");
  }

  bool read_texts(capnp::List<capnp::Text>::Reader texts, event_field& field) {
    if (!list(texts.size(), event_texts_max, 1, "texts")) return false;
    field.texts_begin = static_cast<std::uint32_t>(into_.texts.size());
    field.texts_count = texts.size();
    for (const capnp::Text::Reader one : texts) {
      if (!text(one, event_text_bytes_max, "text", into_.texts.emplace_back())) return false;
    }
    return true;
  }

  event_batch& into_;
  std::size_t words_left_;
  column_marks columns_;
  bool in_event_ = false;
  std::string_view column_;
  error failure_;
};

void clear(event_batch& batch) {
  batch.producer = batch.partition = {};
  batch.schema_version = 1;
  batch.offset_end = 0;
  batch.names.clear();
  batch.events.clear();
  batch.fields.clear();
  batch.texts.clear();
  batch.bytes = {};
}

/// Of a text in a union, which is written even when it is empty.
std::size_t chosen_text_words(std::string_view text) { return words_of(text.size() + 1); }

/// Words behind the root's body; CHECKs the bounds on the way.
class batch_size {
 public:
  explicit batch_size(const event_batch& batch) : batch_(batch) {}

  std::size_t words() {
    CHECK(batch_.producer.size() <= producer_bytes_max);
    CHECK(batch_.partition.size() <= partition_bytes_max);
    CHECK(batch_.names.size() <= batch_names_max);
    CHECK(batch_.events.size() <= batch_events_max);
    std::size_t words = text_words(batch_.producer) + text_words(batch_.partition) +
                        batch_.names.size() + list_words<wire::Event>(batch_.events.size());
    for (const std::string_view name : batch_.names) {
      CHECK(!name.empty());
      CHECK(name.size() <= event_name_bytes_max);
      words += text_words(name);
    }
    for (const event_head& event : batch_.events) words += of(event);
    return words;
  }

 private:
  std::size_t of(const event_head& event) {
    CHECK(event.id.size() <= event_id_bytes_max);
    CHECK(event.key.size() <= event_key_bytes_max);
    CHECK(event.kind == event_kind::impression || event.action < batch_.names.size());
    CHECK(event.fields_count <= event_fields_max);
    std::size_t words =
        text_words(event.id) + text_words(event.key) + list_words<wire::Field>(event.fields_count);
    columns_.next_event();
    for (const event_field& field : batch_.fields_of(event)) {
      CHECK(field.name < batch_.names.size());
      CHECK(columns_.add(field.name));
      if (field.kind == field_kind::text) words += of(field.text);
      if (field.kind == field_kind::texts) words += of(batch_.texts_of(field));
    }
    return words;
  }

  std::size_t of(std::string_view text) const {
    CHECK(text.size() <= event_text_bytes_max);
    return chosen_text_words(text);
  }

  std::size_t of(std::span<const std::string_view> texts) const {
    CHECK(texts.size() <= event_texts_max);
    std::size_t words = texts.size();
    for (const std::string_view text : texts) {
      CHECK(text.size() <= event_text_bytes_max);
      words += text_words(text);
    }
    return words;
  }

  const event_batch& batch_;
  column_marks columns_;
};

unsigned size_of(std::string_view text) { return static_cast<unsigned>(text.size()); }

void write_texts(capnp::List<capnp::Text>::Builder into, std::span<const std::string_view> texts) {
  for (unsigned i = 0; i < into.size(); ++i) {
    if (!texts[i].empty()) write_text(into.init(i, size_of(texts[i])), texts[i]);
  }
}

void write_field(wire::Field::Builder into, const event_batch& batch, const event_field& field) {
  into.setName(field.name);
  switch (field.kind) {
    case field_kind::text:
      write_text(into.initText(size_of(field.text)), field.text);
      break;
    case field_kind::texts:
      write_texts(into.initTexts(field.texts_count), batch.texts_of(field));
      break;
    case field_kind::number:
      into.setNumber(field.number);
      break;
    case field_kind::integer:
      into.setInteger(field.integer);
      break;
  }
}

void write_event(wire::Event::Builder into, const event_batch& batch, const event_head& event) {
  if (!event.id.empty()) write_text(into.initId(size_of(event.id)), event.id);
  if (!event.key.empty()) write_text(into.initKey(size_of(event.key)), event.key);
  into.setTimeMs(event.time_ms);
  into.setKind(static_cast<std::uint8_t>(event.kind));
  if (event.kind == event_kind::action) into.setAction(event.action);
  if (event.fields_count == 0) return;
  auto fields = into.initFields(event.fields_count);
  unsigned i = 0;
  for (const event_field& field : batch.fields_of(event)) write_field(fields[i++], batch, field);
}

}  // namespace

frame encode(const event_batch& batch) {
  flat_message out(head_words<wire::EventBatch>(batch_size(batch).words()), 0);
  auto root = out.root<wire::EventBatch>();
  root.setProtocol(protocol_version);
  root.setSchemaVersion(batch.schema_version);
  root.setOffsetEnd(batch.offset_end);
  if (!batch.producer.empty())
    write_text(root.initProducer(size_of(batch.producer)), batch.producer);
  if (!batch.partition.empty())
    write_text(root.initPartition(size_of(batch.partition)), batch.partition);
  if (!batch.names.empty())
    write_texts(root.initNames(static_cast<unsigned>(batch.names.size())), batch.names);
  if (!batch.events.empty()) {
    auto events = root.initEvents(static_cast<unsigned>(batch.events.size()));
    unsigned i = 0;
    for (const event_head& event : batch.events) write_event(events[i++], batch, event);
  }
  return out.finish();
}

result<void> decode_event_batch(const frame& bytes, event_batch& into) {
  clear(into);
  result<void> done = read_flat<wire::EventBatch>(bytes, [&](wire::EventBatch::Reader in) {
    return batch_reader(into, bytes.size() / 8).read(in);
  });
  if (done.ok())
    into.bytes = bytes;
  else
    clear(into);
  return done;
}

result<event_batch> decode_event_batch(const frame& bytes) {
  event_batch batch;
  if (const auto done = decode_event_batch(bytes, batch); !done) return done.error();
  return batch;
}

}  // namespace headrace::schemas
