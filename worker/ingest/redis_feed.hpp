#pragma once

#include "worker/ingest/broker_feed.hpp"

#include <memory>

namespace headrace::worker {

/// A feed of Redis Streams: each stream is a partition with its key as name; offsets are ids
/// (feed_support.hpp says how). An entry has a field `value`, and may have `key`, `content-type`
/// and `schema-version`; one without `value` has an empty value.
///
/// Reads with XREADGROUP as the one consumer of group `spec.group`, and acknowledges on commit, so
/// that XINFO GROUPS shows what is not read yet (lag) and what is read but not in the log
/// (pending). At the start and after each reconnect the group is set to `next` (XGROUP SETID) where
/// it stands elsewhere; what it then delivers again is what the log does not have. The group is
/// made when it is not there, a stream never is. One reader a group: a second one would share its
/// messages.
///
/// Redis doesn't say how many entries a trimmed stream has lost, so `missing` stays 0. An entry
/// whose id does not fit an offset fails (bad_input), naming it. Fails: bad_config.
result<std::unique_ptr<broker_feed>> open_redis_feed(const feed_spec& spec,
                                                     const feed_positions& next);

}  // namespace headrace::worker
