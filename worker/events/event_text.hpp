#pragma once

#include "schemas/event.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace headrace::worker {

/// Adds the members of an event, as event_json_reader reads them back to the same, without braces
/// around them:
///
///   "id":"e1","key":"r7","time":1764237600123,"action":"click","features":{"user":"u7","seen":["i1"]}
///
/// `id` stands for the event's own. What it has not is left out, all but the time; a version other
/// than 1 is there as schema_version.
void append_event_members(const schemas::event_batch& batch,
                          const schemas::event_head& event,
                          std::string_view id,
                          std::string& into);

/// Adds event `event` of `from` to a batch that has begun, with an id of its own.
void copy_event(const schemas::event_batch& from,
                const schemas::event_head& event,
                std::string_view id,
                schemas::event_batch_builder& into);

}  // namespace headrace::worker
