#include "worker/ingest/feed_support.hpp"

#include <gtest/gtest.h>

namespace headrace::worker {
namespace {

using namespace std::chrono_literals;

TEST(FeedSupport, RedisIdsComeBackFromTheirOffsets) {
  for (const char* id : {"0-1", "1764237600123-0", "1764237600123-2097151", "8796093022207-0"}) {
    const auto offset = offset_of_redis_id(id);
    ASSERT_TRUE(offset) << id;
    EXPECT_EQ(redis_id_of_offset(*offset), id);
  }
}

TEST(FeedSupport, RedisIdsKeepTheirOrder) {
  EXPECT_LT(*offset_of_redis_id("5-2097151"), *offset_of_redis_id("6-0"));
  EXPECT_LT(*offset_of_redis_id("6-0"), *offset_of_redis_id("6-1"));
}

TEST(FeedSupport, RefusesRedisIdsThatDoNotFit) {
  for (const char* id : {"",
                         "7",
                         "-",
                         "7-",
                         "x-1",
                         "1-2097152",
                         "8796093022208-0",
                         "-1-1",
                         "8796093022207-2097151",
                         "18446744073709551615-18446744073709551615"}) {
    EXPECT_FALSE(offset_of_redis_id(id)) << id;
  }
}

TEST(FeedSupport, WaitsLongerAfterEachFailureUpToFiveSeconds) {
  reconnect_pace pace;
  reconnect_pace::time now{};
  EXPECT_TRUE(pace.is_due(now));
  pace.failed(now);
  EXPECT_FALSE(pace.is_due(now + 49ms));
  EXPECT_TRUE(pace.is_due(now + 50ms));
  for (int i = 0; i < 20; ++i) pace.failed(now);
  EXPECT_EQ(pace.due() - now, 5s);
  pace.worked();
  pace.failed(now);
  EXPECT_EQ(pace.due() - now, 50ms);
}

TEST(FeedSupport, CountsOnlyReconnects) {
  broker_feed::state state;
  link_watch link("a broker", state);
  link.down("not there yet");
  EXPECT_EQ(state.last_error, "not there yet");
  link.up();
  EXPECT_TRUE(state.connected);
  EXPECT_EQ(state.reconnects, 0U);
  link.down("gone");
  EXPECT_FALSE(state.connected);
  link.up();
  link.up();
  EXPECT_EQ(state.reconnects, 1U);
}

TEST(FeedSupport, ASchemaVersionThatIsNoNumberIsTheFirst) {
  EXPECT_EQ(parse_schema_version("3"), 3U);
  EXPECT_EQ(parse_schema_version(""), 1U);
  EXPECT_EQ(parse_schema_version("three"), 1U);
}

TEST(FeedSupport, NamesWhatASpecLacks) {
  feed_spec spec;
  const auto detail = [&] { return open_feed(spec, {}).error().detail; };
  EXPECT_NE(detail().find("endpoints"), std::string::npos);
  spec.endpoints = "localhost:1";
  EXPECT_NE(detail().find("topic"), std::string::npos);
  spec.topics = {"clicks"};
  EXPECT_NE(detail().find("group"), std::string::npos);
  spec.group = "job";
  spec.dead_letter = "clicks";
  EXPECT_NE(detail().find("would come back"), std::string::npos);
  spec.dead_letter.clear();
  spec.topics = {"^click.*"};
  EXPECT_NE(detail().find("is no topic"), std::string::npos);
  spec.broker = feed_spec::kind::jetstream;
  spec.topics = {"a", "b"};
  EXPECT_NE(detail().find("one stream"), std::string::npos);
  spec.topics = {"a"};
  spec.group = "a.b";
  EXPECT_NE(detail().find("a.b"), std::string::npos);
  spec.broker = feed_spec::kind::redis;
  spec.tls = true;
  EXPECT_NE(detail().find("TLS"), std::string::npos);
}

}  // namespace
}  // namespace headrace::worker
