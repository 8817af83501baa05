#pragma once

#include "worker/ingest/broker_feed.hpp"

#include <memory>

namespace headrace::worker {

/// A feed of Kafka topics: partition "topic/number", Kafka's own offsets.
///
/// A member of the consumer group `spec.group`. When the group hands it a partition, it seeks to
/// `next` of the log, else to the group's committed offset, else to the oldest message. A job has
/// one event log, so one member is the rule. A second process with the same group takes some of the
/// partitions: what it takes stands in its log only, and a partition that comes back goes on behind
/// what the group committed meanwhile, if that is further. What a member had taken but not yet
/// committed when it lost the partition stands in both logs.
///
/// Offsets are committed about every half second, when partitions leave, and at the end.
/// Transactions that were aborted are not read. Retention that overtook the log is counted as
/// `missing` and logged; a topic that ends before `next` fails (bad_input): it is not the one the
/// log has read. Fails: bad_config.
result<std::unique_ptr<broker_feed>> open_kafka_feed(const feed_spec& spec,
                                                     const feed_positions& next);

}  // namespace headrace::worker
