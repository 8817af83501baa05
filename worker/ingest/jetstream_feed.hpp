#pragma once

#include "worker/ingest/broker_feed.hpp"

#include <memory>

namespace headrace::worker {

/// A feed of one NATS JetStream stream, or of the messages of one subject in it: partition "stream"
/// or "stream/subject", offsets are stream sequences.
///
/// Pulls through the durable consumer `spec.group` with explicit acks, so that `nats consumer info`
/// shows what was read (delivered), what is in the log (ack floor) and what waits. A durable
/// delivers again out of order what was not acked, so it is made anew, from `next` on, whenever
/// order could be lost: at the start, after each reconnect, and when its own sequence has a gap.
/// Messages below `next` never come. One reader a durable: a second one would take it over.
///
/// Retention that overtook the log is counted as `missing` and logged; a stream that ends before
/// `next` fails (bad_input). A dead letter is written when a stream takes its subject, and waited
/// for. Fails: bad_config.
result<std::unique_ptr<broker_feed>> open_jetstream_feed(const feed_spec& spec,
                                                         const feed_positions& next);

}  // namespace headrace::worker
