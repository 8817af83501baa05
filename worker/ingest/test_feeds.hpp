#pragma once

#include "tests/support/child_process.hpp"
#include "worker/ingest/broker_feed.hpp"

#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <memory>
#include <netinet/in.h>
#include <optional>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

/// What the tests of feeds share: finding servers, ports, and a log in memory.
namespace headrace::worker {

/// Where `name` lies in PATH or among the system's servers; empty when it is not installed.
inline std::string find_server(const std::string& name) {
  std::string folders = std::getenv("PATH") == nullptr ? "" : std::getenv("PATH");
  folders += ":/usr/sbin:/usr/bin";
  for (std::size_t from = 0; from < folders.size();) {
    const auto end = std::min(folders.find(':', from), folders.size());
    const auto path = folders.substr(from, end - from) + "/" + name;
    if (::access(path.c_str(), X_OK) == 0) return path;
    from = end + 1;
  }
  return {};
}

/// A port of loopback that was free a moment ago.
inline int free_port() {
  const int socket = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  EXPECT_EQ(::bind(socket, reinterpret_cast<sockaddr*>(&address), size), 0);
  EXPECT_EQ(::getsockname(socket, reinterpret_cast<sockaddr*>(&address), &size), 0);
  ::close(socket);
  return ntohs(address.sin_port);
}

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
