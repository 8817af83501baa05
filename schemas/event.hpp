#pragma once

#include "base/frame.hpp"
#include "base/result.hpp"
#include "schemas/text_arena.hpp"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

/// Events as producers push them and the event log keeps them: columns by name, as a row of a file
/// has them, with an id, a join key and the time they happened. What is a label, a feature or an id
/// is the job's to say, so one event may serve several jobs.
namespace headrace::schemas {

constexpr std::size_t batch_events_max = 65'536;
constexpr std::size_t batch_names_max = 1'024;
constexpr std::size_t event_fields_max = 1'024;
constexpr std::size_t event_texts_max = 1'024;  // of one list
constexpr std::size_t event_id_bytes_max = 64;
constexpr std::size_t event_key_bytes_max = 256;
constexpr std::size_t event_text_bytes_max = 65'535;
constexpr std::size_t event_name_bytes_max = 128;
constexpr std::size_t producer_bytes_max = 64;
constexpr std::size_t partition_bytes_max = 256;
constexpr std::size_t refusals_max = 16;  // told one by one
constexpr std::size_t push_token_bytes_max = 256;

enum class event_kind : std::uint8_t {
  impression = 0,  // or any event that stands for itself
  action = 1,      // something that came of an impression: a click, a purchase
};

enum class field_kind : std::uint8_t { text = 0, texts = 1, number = 2, integer = 3 };

/// One column of one event. Texts lie in the frame, or in the builder.
struct event_field {
  std::uint16_t name = 0;  // place in event_batch::names
  field_kind kind = field_kind::text;
  std::string_view text;
  std::uint32_t texts_begin = 0;  // in event_batch::texts
  std::uint32_t texts_count = 0;
  double number = 0.0;
  std::int64_t integer = 0;
};

struct event_head {
  std::string_view id;
  std::string_view key;
  std::uint64_t time_ms = 0;
  event_kind kind = event_kind::impression;
  std::uint16_t action = 0;  // place in event_batch::names
  std::uint32_t fields_begin = 0;
  std::uint32_t fields_count = 0;
};

/// Events of one producer, or of one partition of a broker, in its order. The views stay valid as
/// long as `bytes`, or what an event_batch_builder holds.
struct event_batch {
  std::uint32_t schema_version = 1;
  std::string_view producer;
  std::string_view partition;    // empty: pushed, not fetched
  std::uint64_t offset_end = 0;  // of the partition: where to go on behind this batch
  std::vector<std::string_view> names;
  std::vector<event_head> events;
  std::vector<event_field> fields;      // event after event
  std::vector<std::string_view> texts;  // list after list
  frame bytes;                          // decode only

  std::span<const event_field> fields_of(const event_head& event) const {
    return std::span(fields).subspan(event.fields_begin, event.fields_count);
  }
  std::span<const std::string_view> texts_of(const event_field& field) const {
    return std::span(texts).subspan(field.texts_begin, field.texts_count);
  }
};

/// One allocation of the exact size. A batch beyond the bounds above, an empty name or a column
/// twice in one event is a bug in the caller (CHECKed); UTF-8, finite numbers and names that are
/// there once are the decoder's to check.
frame encode(const event_batch& batch);
/// Fails: malformed (a place behind the names, a name or a column of an event twice, a text that is
/// no UTF-8, a number that is not finite), too_large, bad_protocol. Linear in the frame; never
/// returns more than it holds.
result<event_batch> decode_event_batch(const frame& bytes);
/// The same into a batch whose vectors are used again; it is empty after a failure.
result<void> decode_event_batch(const frame& bytes, event_batch& into);

/// Gathers events whose texts do not outlive the call, and encodes them. Single-threaded. Bounds
/// are the caller's to keep, as for `encode`.
class event_batch_builder {
 public:
  event_batch_builder();
  /// A new batch in the memory of the last one.
  void begin(std::string_view producer, std::uint32_t schema_version = 1);
  /// Of the batch, where they were not known when it began.
  void producer(std::string_view producer);
  void schema_version(std::uint32_t version) { batch_.schema_version = version; }
  void from_partition(std::string_view partition, std::uint64_t offset_end);
  /// Place of `name`, new or not.
  std::uint16_t name(std::string_view name);
  /// The same; nothing when it is new and batch_names_max are there.
  std::optional<std::uint16_t> try_name(std::string_view name);
  /// Its place, if it is there.
  std::optional<std::uint16_t> find_name(std::string_view name) const;
  void event(std::string_view id, std::string_view key, std::uint64_t time_ms);
  /// Of the last event, where it was not known when it began.
  void id(std::string_view id);
  void key(std::string_view key);
  void time(std::uint64_t time_ms) { batch_.events.back().time_ms = time_ms; }
  /// Makes the last event an action.
  void action(std::uint16_t name);
  /// Columns of the last event.
  void text(std::uint16_t name, std::string_view value);
  void texts(std::uint16_t name, std::span<const std::string_view> values);
  void number(std::uint16_t name, double value);
  void integer(std::uint16_t name, std::int64_t value);
  /// Takes the last event back, whole, with the names that came since it began. Once an event.
  void drop_event() { back_to(before_); }

  /// A point to go back to: what came behind it is taken back whole, names too.
  struct point {
    std::string_view producer;
    std::uint32_t schema_version = 1;
    std::size_t names = 0;
    std::size_t events = 0;
    std::size_t fields = 0;
    std::size_t texts = 0;
    std::size_t bytes = 0;
    text_arena::place end;
  };
  point here() const;
  void back_to(const point& earlier);

  std::size_t events() const { return batch_.events.size(); }
  std::size_t bytes() const { return bytes_; }  // the frame takes no more
  /// What was gathered; valid until the next call that changes it.
  const event_batch& batch() const { return batch_; }
  frame finish() const { return encode(batch_); }

 private:
  std::size_t slot_of(std::string_view name) const;
  event_field& add(std::uint16_t name, field_kind kind);

  event_batch batch_;
  text_arena texts_;
  std::vector<std::uint16_t> slots_;  // open addressing: place in names + 1, 0 = free
  std::size_t guess_ = 0;             // the name behind the last one: events are alike
  std::size_t bytes_ = 0;
  point before_;  // the last event
};

/// Why an event was not taken. Numbers are frozen; names are what producers and metrics see.
enum class event_fault : std::uint16_t {
  none = 0,
  malformed = 1,      // not readable as an event
  too_large = 2,      // itself or one of its parts
  missing_field = 3,  // a label, or what the job says must be there
  wrong_type = 4,     // text where a number is needed …
  not_finite = 5,
  bad_time = 6,        // further in the future, or older, than the job takes
  no_id = 7,           // the job needs one to know it again
  no_key = 8,          // an action, or an impression of a job that joins
  unknown_action = 9,  // none of the job's
  wrong_schema = 10,   // a version the job does not take
  duplicate = 11,      // counted apart, not refused
  quarantined = 12,
};
/// As metrics and answers spell it.
std::string_view name(event_fault fault);

struct event_refusal {
  std::uint32_t event = 0;  // place in the batch
  event_fault fault = event_fault::none;
  std::string detail;  // names the field and what is accepted
  friend bool operator==(const event_refusal&, const event_refusal&) = default;
};

/// What became of a batch. `status` is about all of it: ok (look at the counts), malformed,
/// unauthorized, overloaded (nothing was taken: again after `retry_after_ms`), too_large.
struct event_ack {
  errc status = errc::ok;
  std::string detail;
  std::uint32_t accepted = 0;
  std::uint32_t duplicates = 0;
  std::uint32_t refused = 0;
  std::vector<event_refusal> refusals;  // the first refusals_max
  std::uint32_t retry_after_ms = 0;
  friend bool operator==(const event_ack&, const event_ack&) = default;
};
frame encode(const event_ack& ack);
result<event_ack> decode_event_ack(const frame& bytes);

/// A batch with the token of who pushes it; the batch's frame shares this one's memory.
struct event_push {
  std::string token;  // at most push_token_bytes_max
  frame batch;        // an event_batch, not yet looked at
};
frame encode(const event_push& push);
result<event_push> decode_event_push(const frame& bytes);

}  // namespace headrace::schemas
