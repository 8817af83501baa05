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
/// Members that are not id, key, time, action, features or schema_version are columns too. `time` is
/// milliseconds or RFC 3339; without it the arrival time counts. Whole numbers keep their digits, so
/// that 64-bit ids survive; null is as if the member were not there.
class event_json_reader {
 public:
  event_json_reader();
  ~event_json_reader();

  struct read_options {
    std::uint64_t now_ms = 0;
    std::string_view key;       // of a broker's message: the join key when the event has none
    std::uint32_t schema_version = 1;
    std::size_t event_bytes_max = 65'536;
    int nesting_max = 8;
  };
  /// Adds the events of `text` to `into`. An event that is no event is told in `refused` by its
  /// place in `text` and leaves nothing in `into`; the others are added. Fails: malformed (nothing
  /// of it can be read: where and why), too_large.
  result<void> read(std::string_view text,
                    const read_options& how,
                    schemas::event_batch_builder& into,
                    std::vector<schemas::event_refusal>& refused);

 private:
  struct state;
  std::unique_ptr<state> state_;
};

}  // namespace headrace::worker
