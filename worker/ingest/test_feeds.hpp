#pragma once

#include "tests/support/test_brokers.hpp"
#include "worker/ingest/broker_feed.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

/// What the tests of feeds share: a log in memory, and reading into it.
namespace headrace::worker {

using tests::find_server;
using tests::free_port;

/// What an event log would hold: values by partition, and where each goes on.
struct kept_log {
  feed_positions next;
  std::map<std::string, std::vector<std::string>> values;
  std::size_t size = 0;

  void take(const broker_message& message) {
    const std::string partition(message.partition);
    auto& at = next[partition];
    EXPECT_GE(message.offset, at) << partition;
    at = message.offset + 1;
    values[partition].emplace_back(message.value);
    ++size;
  }
};

inline std::unique_ptr<broker_feed> must_open(const feed_spec& spec, const feed_positions& next) {
  auto opened = open_feed(spec, next);
  EXPECT_TRUE(opened.ok()) << describe(opened.error());
  return std::move(*opened);
}

/// Polls until `done` or a deadline; `each` is given every message. False at the deadline; a feed
/// that fails fails the test.
inline bool poll_until(broker_feed& feed,
                       const std::function<bool()>& done,
                       const std::function<void(const broker_message&)>& each,
                       std::size_t messages_max = 100,
                       std::chrono::milliseconds deadline = std::chrono::seconds(60)) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  std::vector<broker_message> messages;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    messages.clear();
    const auto polled = feed.poll(std::chrono::milliseconds(20), messages_max, messages);
    if (!polled) {
      ADD_FAILURE() << describe(polled.error());
      return false;
    }
    for (const auto& message : messages) each(message);
  }
  return true;
}

/// Takes messages into `log` until it holds `count`, committing each poll's.
inline bool take_until(broker_feed& feed, kept_log& log, std::size_t count) {
  return poll_until(
      feed,
      [&] { return log.size >= count; },
      [&](const broker_message& message) {
        log.take(message);
        EXPECT_TRUE(feed.commit(std::string(message.partition), message.offset + 1));
      });
}

/// Polls until the feed fails; nothing when it did not by the deadline.
inline std::optional<error> failure_of(
    broker_feed& feed, std::chrono::milliseconds deadline = std::chrono::seconds(60)) {
  const auto end = std::chrono::steady_clock::now() + deadline;
  std::vector<broker_message> messages;
  while (std::chrono::steady_clock::now() < end) {
    const auto polled = feed.poll(std::chrono::milliseconds(20), 100, messages);
    if (!polled) return polled.error();
  }
  return std::nullopt;
}

/// "e0" … of each partition, in order, none missing or twice.
inline void expect_numbered(const kept_log& log, const std::string& partition, std::size_t count) {
  const auto found = log.values.find(partition);
  ASSERT_NE(found, log.values.end()) << partition;
  ASSERT_EQ(found->second.size(), count) << partition;
  for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(found->second[i], "e" + std::to_string(i));
}

}  // namespace headrace::worker
