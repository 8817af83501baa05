#include "base/check.hpp"
#include "storage/engines/jetstream_stream.hpp"
#include "storage/engines/kafka_stream.hpp"
#include "storage/engines/message_log.hpp"
#include "storage/engines/test_message_stream.hpp"
#include "storage/test_log_contract.hpp"
#include "tests/support/test_brokers.hpp"
#include "tests/support/test_kafka_server.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>

/// The contract of ordered_log, run against the logs that brokers keep.
namespace headrace::storage {
namespace {

using tests::kafka_server;
using tests::mock_kafka;
using tests::nats_server;
using contents = test_message_stream::contents;

log_engine in_parts(const std::string& name, std::size_t bytes_max) {
  // What a folder's log has, across openings.
  auto all = std::make_shared<std::map<std::filesystem::path, std::shared_ptr<contents>>>();
  return {name,
          [all, bytes_max](const std::filesystem::path& folder,
                           const std::shared_ptr<memory_log::contents>&) {
            auto& kept = (*all)[folder];
            if (!kept) kept = std::make_shared<contents>();
            kept->bytes_max = bytes_max;
            auto log = message_log::open(std::make_unique<test_message_stream>(kept), {});
            CHECK(log.ok());
            return std::unique_ptr<ordered_log>(std::move(*log));
          }};
}

// One server for the contract; each test has a stream of its own.
class shared_nats {
 public:
  static nats_server& get() {
    static nats_server server;
    static const bool started = (server.start(), true);
    CHECK(started);
    return server;
  }
};

log_engine over_jetstream(const std::string& name, std::size_t part_bytes_max) {
  return {name,
          [part_bytes_max](const std::filesystem::path& folder,
                           const std::shared_ptr<memory_log::contents>&) {
            jetstream_options at;
            at.login.endpoints = shared_nats::get().url();
            at.stream = folder.filename().string();
            auto stream = open_jetstream_stream(at);
            CHECK(stream.ok());
            message_log::options how;
            how.part_bytes_max = part_bytes_max;
            auto log = message_log::open(std::move(*stream), how);
            CHECK(log.ok());
            return std::unique_ptr<ordered_log>(std::move(*log));
          },
          [] { return !tests::find_server("nats-server").empty(); }};
}

std::unique_ptr<ordered_log> open_topic(const std::string& servers,
                                        const std::string& topic,
                                        std::size_t part_bytes_max) {
  kafka_stream_options at;
  at.login.endpoints = servers;
  at.topic = topic;
  auto stream = open_kafka_stream(at);
  CHECK(stream.ok());
  message_log::options how;
  how.part_bytes_max = part_bytes_max;
  auto log = message_log::open(std::move(*stream), how);
  CHECK(log.ok());
  return std::move(*log);
}

log_engine over_mock_kafka(const std::string& name, std::size_t part_bytes_max) {
  return {name,
          [part_bytes_max](const std::filesystem::path& folder,
                           const std::shared_ptr<memory_log::contents>&) {
            static mock_kafka kafka;
            static std::set<std::string> made;
            const auto topic = folder.filename().string();
            if (made.insert(topic).second) kafka.tell("topic " + topic + " 1");
            return open_topic(kafka.bootstraps(), topic, part_bytes_max);
          },
          [] { return std::getenv("HEADRACE_MOCK_KAFKA") != nullptr; },
          "the mock cluster has no DeleteRecords"};
}

log_engine over_kafka(const std::string& name, std::size_t part_bytes_max) {
  return {name,
          [part_bytes_max](const std::filesystem::path& folder,
                           const std::shared_ptr<memory_log::contents>&) {
            static kafka_server kafka;
            static const bool started = (kafka.start(), true);
            CHECK(started);
            return open_topic(kafka.endpoint(), folder.filename().string(), part_bytes_max);
          },
          [] { return kafka_server::is_there(); }};
}

INSTANTIATE_TEST_SUITE_P(Brokers,
                         OrderedLog,
                         ::testing::Values(in_parts("messages", std::size_t{1} << 20),
                                           in_parts("messages_in_parts", 100),
                                           over_jetstream("jetstream", 512 << 10),
                                           over_jetstream("jetstream_in_parts", 100),
                                           over_mock_kafka("mock_kafka", 512 << 10),
                                           over_kafka("kafka_in_parts", 100)),
                         [](const auto& one) { return one.param.name; });

}  // namespace
}  // namespace headrace::storage
