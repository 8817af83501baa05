#include "bench/ingest/ingest.hpp"

#include "bench/ingest/load.hpp"
#include "bench/ingest/measurement.hpp"
#include "bench/ingest/redis_server.hpp"
#include "bench/ingest/report.hpp"
#include "schemas/event.hpp"
#include "storage/segment_log.hpp"
#include "storage/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <set>
#include <string>
#include <vector>

namespace headrace::bench {
namespace {

ingest_options small() {
  ingest_options options;
  options.events = 400;
  options.batch = 100;
  options.clients = 2;
  options.depth = 2;
  return options;
}

TEST(IngestBench, AnEventHas200Bytes) { EXPECT_NEAR(event_bytes(ingest_options{}), 200.0, 1.0); }

TEST(IngestBench, EveryEventOfEveryClientAndRoundHasAnIdOfItsOwn) {
  std::set<std::string> ids;
  std::size_t events = 0;
  ingest_options options = small();
  for (options.round = 0; options.round < 3; ++options.round) {
    for (options.client = 0; options.client < 2; ++options.client) {
      for (std::uint64_t i = 0; i < options.batches_of_client(); ++i) {
        const auto batch = schemas::decode_event_batch(make_event_batch(options, i, 1));
        ASSERT_TRUE(batch.ok());
        events += batch->events.size();
        for (const auto& event : batch->events) ids.emplace(event.id);
      }
    }
  }
  EXPECT_EQ(events, 1'200U);
  EXPECT_EQ(ids.size(), events);
}

TEST(IngestBench, AResultSurvivesItsLine) {
  const client_result found{1'000, 5, 2'000'000'005, {700, 20, 90}};
  const auto read = parse_client_result(to_line(found));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, found);
  for (const char* bad : {"", "1 2", "1 2 x", "ready"})
    EXPECT_FALSE(parse_client_result(bad).ok()) << bad;
}

TEST(IngestBench, ARoundRunsFromTheFirstPushToTheLastAcknowledgement) {
  const auto round = sum_of({{600, 1'000'000'000, 2'000'000'000, {1'000, 3'000}},
                             {400, 1'500'000'000, 3'000'000'000, {2'000}}});
  EXPECT_EQ(round.acknowledged, 1'000U);
  EXPECT_DOUBLE_EQ(round.events_per_second, 500.0);
  EXPECT_DOUBLE_EQ(round.p50_ms, 2.0);
}

TEST(IngestBench, OnlyEventsThatWereTakenAreCounted) {
  const storage::temporary_folder folder;
  {
    storage::segment_log::options how;
    how.folder = folder.path();
    how.mode = schemas::log_mode::os;
    auto log = storage::segment_log::open(std::move(how));
    ASSERT_TRUE(log.ok());
    for (std::uint64_t i = 1; i <= 3; ++i) {
      storage::log_record record;
      record.kind = storage::record_kind::events;
      record.lsn = lsn{i};
      // The third holds the ids of the second.
      record.payload = make_event_batch(small(), std::min<std::uint64_t>(i, 2), 1);
      std::vector<std::byte> left_out(13);
      if (i == 1) left_out[12] = std::byte{0x0f};  // the last four of a hundred
      if (i == 1) record.decisions = frame::copy_of(left_out);
      (*log)->append(std::span(&record, 1), lsn{i - 1}, [](const storage::append_outcome& outcome) {
        EXPECT_EQ(outcome.state, storage::append_state::committed);
      });
    }
    ASSERT_TRUE((*log)->close().ok());
  }
  const auto counted = count_logged_events(folder.path());
  ASSERT_TRUE(counted.ok()) << describe(counted.error());
  EXPECT_EQ(counted->events, 196U);
  EXPECT_EQ(counted->twice, 100U);
}

TEST(IngestBench, RedisTakesWhatItsSenderPushes) {
  const auto version = redis_version("redis-server");
  if (!version) GTEST_SKIP() << "no redis-server: " << version.error().detail;
  const storage::temporary_folder folder;
  auto redis = redis_server::start("redis-server", folder.path());
  ASSERT_TRUE(redis.ok()) << describe(redis.error());
  ingest_options options = small();
  options.peer = ingest_peer::redis;
  options.endpoint = std::to_string(redis->port());
  auto sender = open_redis_sender(options);
  ASSERT_TRUE(sender.ok());
  for (std::uint64_t i = 0; i < 5; ++i) {
    const auto sent = (*sender)->send(i, std::chrono::seconds(20));
    ASSERT_TRUE(sent.ok() && *sent);
  }
  ASSERT_TRUE((*sender)->finish().ok());
  EXPECT_EQ((*sender)->look().acknowledged, 500U);
  EXPECT_EQ((*sender)->look().batch_us.size(), 5U);
}

TEST(IngestBench, AMissingRedisIsSaid) {
  EXPECT_FALSE(redis_version("no-such-redis-server").ok());
  ingest_points points;
  points.headrace.push_back({1'000, 1'000, 1, 2});
  points.redis_absent = "no-such-redis-server";
  const std::string json = to_json(small(), points);
  EXPECT_NE(json.find("\"redis_events_per_second\":null,\"ratio_to_redis\":null"),
            std::string::npos)
      << json;
  EXPECT_NE(to_table(small(), points).find("not measured"), std::string::npos);
}

}  // namespace
}  // namespace headrace::bench
