#pragma once

#include "base/clock.hpp"
#include "worker/events/event_json.hpp"
#include "worker/ingest/broker_feed.hpp"

#include <vector>

namespace headrace::worker {

/// Makes events of a broker's message: JSON as over HTTP (worker/events/event_json.hpp), or an
/// EventBatch in Cap'n Proto.
///
/// Which of them, `content_type` says: one with "json" in it, or with "capnp" or "octet-stream". A
/// message without one, or with another, is JSON when its first byte, spaces aside, is '{' or '[',
/// else an EventBatch. An event without a time happened when the broker took it. The feed_reader's
/// `message_decoder`; single-threaded.
class message_reader {
 public:
  explicit message_reader(const clock& time) : time_(time) {}

  /// See message_decoder.
  result<const schemas::event_batch*> read(const broker_message& message,
                                           std::vector<schemas::event_refusal>& refused);

 private:
  const clock& time_;
  event_json_reader json_;
  schemas::event_batch_builder builder_;
  schemas::event_batch decoded_;
};

}  // namespace headrace::worker
