#pragma once

#include "base/result.hpp"
#include "storage/engines/broker_login.hpp"
#include "storage/engines/message_stream.hpp"

#include <cstdint>
#include <memory>
#include <string>

namespace headrace::storage {

/// A Kafka topic of one partition that has messages of one log and nothing else; positions are its
/// offsets + 1. Whoever runs the cluster makes it: with cleanup.policy=delete, and with
/// retention.ms=-1 and retention.bytes=-1 where the log's own retention is to count.
///
/// A broker takes what it is sent, and knows no expected offset. So each message says for which
/// position it was written, and of two for one position the first counts (claimed_order.hpp): of
/// several writers one has it, and what was sent twice is there once. What was acknowledged is on
/// all replicas in sync; how many that must be is the topic's min.insync.replicas.
///
/// Truncating is DeleteRecords. Where the broker does not let us, its own retention counts. Either
/// way what is left begins with a message that was placed where it was meant to be.
struct kafka_stream_options {
  broker_login login;
  std::string topic;
  std::int64_t patience_ms = 10'000;  // of each call
};
/// Fails: unavailable, not_found (in words that say how to make it), bad_config (several
/// partitions, compaction, a name that is none), io_error.
result<std::unique_ptr<message_stream>> open_kafka_stream(const kafka_stream_options& how);

}  // namespace headrace::storage
