#include "worker/ingest/broker_feed.hpp"

#include "worker/ingest/jetstream_feed.hpp"
#include "worker/ingest/kafka_feed.hpp"
#include "worker/ingest/redis_feed.hpp"

#include <algorithm>

namespace headrace::worker {
namespace {

constexpr std::size_t name_bytes_max = 200;  // with a partition's number it fits an EventBatch

result<void> check(const feed_spec& spec) {
  const auto missing = [](const char* what) {
    return error{errc::bad_config, std::string("a broker's source needs ") + what};
  };
  if (spec.endpoints.empty()) return missing("endpoints");
  if (spec.topics.empty()) return missing("a topic or stream");
  if (spec.group.empty()) return missing("a group");
  for (const auto& topic : spec.topics) {
    if (topic.empty() || topic.size() + spec.subject.size() > name_bytes_max) {
      return error{errc::bad_config, "'" + topic + "' is no topic: 1 to 200 bytes"};
    }
  }
  // JetStream's dead letters have a subject: whether the stream takes it, the server is asked.
  if (spec.broker != feed_spec::kind::jetstream &&
      std::find(spec.topics.begin(), spec.topics.end(), spec.dead_letter) != spec.topics.end()) {
    return error{errc::bad_config,
                 "dead letters in '" + spec.dead_letter + "', which is read, would come back"};
  }
  return {};
}

}  // namespace

result<std::unique_ptr<broker_feed>> open_feed(const feed_spec& spec, const feed_positions& next) {
  if (auto checked = check(spec); !checked) return checked.error();
  switch (spec.broker) {
    case feed_spec::kind::kafka:
      return open_kafka_feed(spec, next);
    case feed_spec::kind::jetstream:
      return open_jetstream_feed(spec, next);
    case feed_spec::kind::redis:
      return open_redis_feed(spec, next);
  }
  return error{errc::bad_config, "no such broker"};
}

}  // namespace headrace::worker
