#pragma once

#include "base/result.hpp"
#include "schemas/event.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace headrace::worker {

/// Events as JSON: an object, an array of them, or one object a line; also {"events":[…]} with
/// "producer" and "schema_version" beside it.
///
///   {"id":"e1","key":"r7","time":"2026-11-27T10:00:00Z","features":{"user":"u7","item":13,
///    "price":3.5,"seen":["i1","i2"]},"rating":5}
///   {"id":"e2","key":"r7","time":1764237600123,"action":"click"}
///
/// Members that are not id, key, time, action, features or schema_version are columns too: texts,
/// numbers, true and false (1 and 0), and lists of texts and numbers (as texts, as they are
/// spelled). `time` is milliseconds or RFC 3339 with an offset; without it the arrival time counts.
/// Whole numbers keep their digits, so that 64-bit ids survive: one that fits no signed 64 bits is
/// a text of them. null is as if the member were not there. Nothing nests deeper than a list in
/// `features`, so depth costs nothing. One thread.
class event_json_reader {
 public:
  event_json_reader();
  ~event_json_reader();

  struct read_options {
    std::uint64_t now_ms = 0;
    std::string_view key;  // of a broker's message: the join key when the event has none
    /// Of the batch, where `text` names none; an event that names another one is refused.
    std::uint32_t schema_version = 1;
    std::size_t event_bytes_max = 65'536;
    std::size_t told_max = schemas::batch_events_max;  // refusals that are told, the first
  };
  /// Adds the events of `text` to `into`, which has begun. An event that is no event is told in
  /// `refused` by its place in `text` (from 0, each object or line counts) and leaves nothing in
  /// `into`; the others are added. "producer" counts where `into` has none.
  ///
  /// Fails: malformed (no JSON, or a form of none of the above: where and why), too_large (more
  /// events than a batch takes). Then nothing is added and nothing told. A line that is no JSON is
  /// one event refused.
  result<void> read(std::string_view text,
                    const read_options& how,
                    schemas::event_batch_builder& into,
                    std::vector<schemas::event_refusal>& refused);
  /// Events that the last `read` refused, told or not.
  std::uint32_t refused() const;

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace headrace::worker
