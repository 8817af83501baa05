#include "actors/http/event_feed.hpp"

#include "actors/http/test_http_server.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace headrace::actors {
namespace {

class EventFeed : public testing::Test {
 protected:
  EventFeed() {
    auto listen = [this](const http_request&, const http_reply& reply) {
      http_answer answer;
      answer.feed = feed_;
      reply(std::move(answer));
    };
    auto made = http_server::open({"127.0.0.1:0"}, {{"GET", "/events", listen, 0}});
    EXPECT_TRUE(made.ok()) << describe(made.error());
    server_ = std::move(*made);
  }
  std::string where() const { return server_->endpoints()[0]; }
  bool comes_to(std::size_t listeners) {
    return eventually([&] { return feed_->listeners() == listeners; });
  }

  std::shared_ptr<event_feed> feed_ = std::make_shared<event_feed>();
  std::unique_ptr<http_server> server_;
};

TEST_F(EventFeed, GivesTheNewestAtOnceAndThenEachAsItComes) {
  feed_->publish("never heard");
  feed_->publish("one");
  test_http_client first(where());
  const auto head = first.ask(get("/events"));
  ASSERT_TRUE(head);
  EXPECT_EQ(head->status, 200U);
  EXPECT_EQ(head->fields.at("content-type"), "text/event-stream");
  EXPECT_EQ(head->fields.at("cache-control"), "no-store");
  EXPECT_FALSE(head->fields.contains("content-length"));
  EXPECT_EQ(first.read_until("\n\n"), "data: one\n\n");
  test_http_client second(where());
  ASSERT_TRUE(second.ask(get("/events")));
  EXPECT_EQ(second.read_until("\n\n"), "data: one\n\n");
  feed_->publish("two");
  EXPECT_EQ(first.read_until("\n\n"), "data: two\n\n");
  EXPECT_EQ(second.read_until("\n\n"), "data: two\n\n");
}

TEST_F(EventFeed, WhoGoesIsForgotten) {
  auto first = std::make_unique<test_http_client>(where());
  auto second = std::make_unique<test_http_client>(where());
  ASSERT_TRUE(first->send(get("/events")));
  ASSERT_TRUE(second->send(get("/events")));
  ASSERT_TRUE(comes_to(2));
  first->close_with_reset();
  second->close();
  ASSERT_TRUE(comes_to(0));
  EXPECT_TRUE(eventually([&] { return server_->count().open == 0; }));
  feed_->publish("to nobody");
}

TEST_F(EventFeed, OneThatReadsSlowlyIsSentTheNewestAndHoldsOne) {
  test_http_client slow(where(), 4'096);
  ASSERT_TRUE(slow.ask(get("/events")));
  ASSERT_TRUE(comes_to(1));
  test_http_client fast(where());
  ASSERT_TRUE(fast.ask(get("/events")));
  constexpr int messages = 300;
  const std::string filling(200'000, '.');
  for (int i = 1; i <= messages; ++i) {
    feed_->publish(std::to_string(i) + filling);
    ASSERT_TRUE(fast.read_until("\n\n"));
  }
  int last = 0;
  int heard = 0;
  while (last < messages) {
    const auto next = slow.read_until("\n\n");
    ASSERT_TRUE(next);
    const int number = std::stoi(next->substr(6));
    EXPECT_GT(number, last);
    last = number;
    ++heard;
  }
  EXPECT_LT(heard, messages / 2) << "all of it was kept for who reads nothing";
}

TEST_F(EventFeed, StoppingEndsThem) {
  feed_->publish("one");
  test_http_client client(where());
  ASSERT_TRUE(client.ask(get("/events")));
  ASSERT_TRUE(client.read_until("\n\n"));
  server_->stop();
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(feed_->listeners(), 0U);
  feed_->publish("two");
}

TEST_F(EventFeed, AHeadIsAllThatIsAskedFor) {
  feed_->publish("one");
  test_http_client client(where());
  ASSERT_TRUE(client.send("HEAD /events HTTP/1.1\r\nHost: here\r\n\r\n"));
  const auto head = client.read(true);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->fields.at("content-type"), "text/event-stream");
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(feed_->listeners(), 0U);
}

// What is sent behind the request is of no interest; the stream goes on.
TEST_F(EventFeed, WhatIsSentBehindIsNotLookedAt) {
  test_http_client client(where());
  ASSERT_TRUE(client.ask(get("/events") + get("/events")));
  ASSERT_TRUE(client.send("garbage\r\n\r\n"));
  feed_->publish("one");
  EXPECT_EQ(client.read_until("\n\n"), "data: one\n\n");
}

}  // namespace
}  // namespace headrace::actors
