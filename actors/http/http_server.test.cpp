#include "actors/http/http_server.hpp"

#include "actors/http/test_http_server.hpp"
#include "base/random.hpp"
#include "tests/support/child_process.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <mutex>
#include <stdexcept>
#include <utility>
#include <vector>

namespace headrace::actors {
namespace {

using namespace std::chrono_literals;

using testing::HasSubstr;

TEST_F(HttpServer, AnswersOneRequestAfterAnotherOnOneConnection) {
  serve();
  test_http_client client(where());
  for (int i = 0; i < 50; ++i) {
    const auto answer = client.ask(post("/echo/a%20b?n=" + std::to_string(i), "body"));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 200U);
    EXPECT_EQ(answer->body, "POST /echo/a b n=" + std::to_string(i) + " body");
    EXPECT_EQ(answer->fields.count("connection"), 0U);
    EXPECT_EQ(answer->fields.count("date"), 1U);
  }
  EXPECT_EQ(server_->count().connections, 1U);
  EXPECT_EQ(server_->count().requests, 50U);
}

TEST_F(HttpServer, TellsARouteOnceWhenWhatCameTogetherWasHandedOver) {
  std::vector<http_reply> waiting;
  std::atomic<std::size_t> handled = 0;
  std::mutex lock;
  std::vector<std::size_t> told;  // how many were handed over by then
  http_route route{"POST", "/told", [&](const http_request&, http_reply reply) {
                     waiting.push_back(std::move(reply));
                     ++handled;
                   }};
  route.after_turn = [&] {
    {
      const std::lock_guard hold(lock);
      told.push_back(handled);
    }
    for (const http_reply& each : std::exchange(waiting, {})) each(text_answer("told"));
  };
  auto made = http_server::open({"127.0.0.1:0"}, {route, {"GET", "/echo/*", echo}});
  ASSERT_TRUE(made.ok()) << describe(made.error());
  server_ = std::move(*made);
  test_http_client client(where());
  std::string together = get("/echo/x");
  for (int i = 0; i < 8; ++i) together += post("/told", "body");
  ASSERT_TRUE(client.send(together));
  for (int i = 0; i < 9; ++i) ASSERT_TRUE(client.read());
  ASSERT_TRUE(client.ask(post("/told", "body")));
  ASSERT_TRUE(client.ask(get("/echo/x")));  // another's requests tell it nothing
  const std::lock_guard hold(lock);
  EXPECT_EQ(told, (std::vector<std::size_t>{8, 9}));
}

TEST_F(HttpServer, HeadHasTheLengthOfGetAndNoBody) {
  serve();
  test_http_client client(where());
  ASSERT_TRUE(client.send("HEAD /echo/x HTTP/1.1\r\nHost: h\r\n\r\n" + get("/echo/y")));
  const auto head = client.read(true);
  ASSERT_TRUE(head);
  EXPECT_EQ(head->fields.at("content-length"), std::to_string(sizeof "GET /echo/x  " - 1));
  const auto next = client.read();
  ASSERT_TRUE(next);
  EXPECT_EQ(next->body, "GET /echo/y  ");
}

TEST_F(HttpServer, AnOldClientIsAnsweredAndTheConnectionEnds) {
  serve();
  test_http_client once(where());
  const auto answer = once.ask("GET /echo/x HTTP/1.0\r\n\r\n");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->fields.at("connection"), "close");
  EXPECT_TRUE(once.ended());
  test_http_client kept(where());
  const auto first = kept.ask("GET /echo/x HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  ASSERT_TRUE(first);
  EXPECT_EQ(first->fields.at("connection"), "keep-alive");
  EXPECT_TRUE(kept.ask(get("/echo/x")));
}

TEST_F(HttpServer, PipelinedRequestsAreAnsweredInOrderWhateverOrderHandlersTake) {
  const auto seed = tests::test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  random_stream draw(seed);
  http_options how;
  how.pipeline_max = 16;
  serve(how);
  for (int round = 0; round < 10; ++round) {
    constexpr std::size_t requests = 60;  // more than wait at once
    test_http_client client(where());
    std::string text;
    for (std::size_t i = 0; i < requests; ++i) {
      const auto body = std::to_string(i);
      text += draw.next_below(2) == 0 ? post("/held", body) : post_in_chunks("/held", body, 1);
    }
    ASSERT_TRUE(client.send(text));
    std::vector<std::jthread> answering;
    ASSERT_TRUE(held_.wait_for(how.pipeline_max));
    for (std::size_t done = 0; done < requests; ++done) {
      ASSERT_TRUE(held_.wait_for(1));
      auto [request, reply] = held_.take(draw.next_below(held_.size()));
      answering.emplace_back([body = request.body, answer = std::move(reply)] {
        answer(text_answer(body));
        answer(text_answer("twice"));  // does nothing
      });
    }
    for (std::size_t i = 0; i < requests; ++i) {
      const auto answer = client.read();
      ASSERT_TRUE(answer);
      ASSERT_EQ(answer->body, std::to_string(i));
    }
  }
}

TEST_F(HttpServer, ARefusedRequestKeepsItsPlaceInTheOrder) {
  serve();
  test_http_client client(where());
  ASSERT_TRUE(client.send(get("/held") + get("/nowhere") + get("/echo/x") +
                          "DELETE /held HTTP/1.1\r\n"
                          "Host: h\r\n\r\n"));
  ASSERT_TRUE(held_.wait_for(1));
  held_.take(0).second(text_answer("first"));
  EXPECT_EQ(client.read()->body, "first");
  const auto missing = client.read();
  EXPECT_EQ(missing->status, 404U);
  EXPECT_EQ(missing->body, "{\"error\":\"nothing is at /nowhere\"}\n");
  EXPECT_EQ(client.read()->status, 200U);
  EXPECT_EQ(client.read()->status, 405U);
  EXPECT_EQ(client.ask("POST /echo HTTP/1.1\r\nHost: h\r\n\r\n")->status, 404U);
}

TEST_F(HttpServer, AMethodThatAPathLacksIsToldTheOthers) {
  auto made = http_server::open({"127.0.0.1:0"}, {{"GET", "/a", echo}, {"POST", "/b", echo}});
  ASSERT_TRUE(made.ok());
  test_http_client client((*made)->endpoints()[0]);
  const auto answer = client.ask("POST /a HTTP/1.1\r\nHost: h\r\n\r\n");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 405U);
  EXPECT_EQ(answer->fields.at("allow"), "GET, HEAD");
  EXPECT_EQ((*made)->count().refused, 1U);
}

TEST_F(HttpServer, WhoExpectsToBeAskedIsAskedBehindEarlierAnswers) {
  serve();
  test_http_client client(where());
  ASSERT_TRUE(client.send(get("/held") +
                          "POST /echo/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
                          "Content-Length: 3\r\n\r\n"));
  ASSERT_TRUE(held_.wait_for(1));
  held_.take(0).second(text_answer("first"));
  EXPECT_EQ(client.read()->body, "first");
  EXPECT_EQ(client.read()->status, 100U);
  const auto answer = client.ask("abc");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->body, "POST /echo/x  abc");
}

TEST_F(HttpServer, AReplyThatIsDroppedIsAnError) {
  serve();
  test_http_client client(where());
  ASSERT_TRUE(client.send(get("/held") + get("/echo/x")));
  ASSERT_TRUE(held_.wait_for(1));
  { const auto dropped = held_.take(0); }
  EXPECT_EQ(client.read()->status, 500U);
  EXPECT_EQ(client.read()->status, 200U);
}

TEST_F(HttpServer, AHandlerThatThrowsIsAnErrorOfItsRequestAlone) {
  auto made =
      http_server::open({"127.0.0.1:0"}, {{"GET", "/", [](const http_request&, const http_reply&) {
                                             throw std::runtime_error("no");
                                           }}});
  ASSERT_TRUE(made.ok());
  test_http_client client((*made)->endpoints()[0]);
  EXPECT_EQ(client.ask(get("/"))->status, 500U);
  EXPECT_EQ(client.ask(get("/"))->status, 500U);
}

TEST_F(HttpServer, AHalfClosedClientStillGetsItsAnswers) {
  serve();
  test_http_client client(where());
  ASSERT_TRUE(client.send(get("/held") + get("/echo/x")));
  client.end_sending();
  ASSERT_TRUE(held_.wait_for(1));
  held_.take(0).second(text_answer("first"));
  EXPECT_EQ(client.read()->body, "first");
  EXPECT_EQ(client.read()->body, "GET /echo/x  ");
  EXPECT_TRUE(client.ended());
}

TEST_F(HttpServer, AReplyToAConnectionThatDiedDoesNothing) {
  serve();
  for (int i = 0; i < 20; ++i) {
    test_http_client client(where());
    ASSERT_TRUE(client.send(get("/held")));
    ASSERT_TRUE(held_.wait_for(1));
    client.close_with_reset();
    if (i % 2 == 0) {
      ASSERT_TRUE(eventually([&] { return server_->count().open == 0; }));
    }
    held_.take(0).second(text_answer("nobody"));
  }
  test_http_client next(where());
  EXPECT_TRUE(next.ask(get("/echo/x")));
}

TEST_F(HttpServer, StoppingAnswersWhatIsHeldAndCallsNobodyAfterwards) {
  serve();
  test_http_client client(where());
  ASSERT_TRUE(client.send(get("/held")));
  ASSERT_TRUE(held_.wait_for(1));
  std::jthread stopping([this] { server_->stop(); });
  ASSERT_TRUE(eventually([&] { return !test_http_client(where()).connected(); }));
  ASSERT_TRUE(client.send(get("/held")));  // behind the stop: nobody takes it
  held_.take(0).second(text_answer("last"));
  const auto answer = client.read();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->body, "last");
  EXPECT_EQ(answer->fields.at("connection"), "close");
  EXPECT_TRUE(client.ended());
  stopping.join();
  EXPECT_EQ(held_.size(), 0U);
  server_->stop();
}

TEST_F(HttpServer, ListensOnLoopbackAloneAndOnAFreePort) {
  for (const char* bad : {"0.0.0.0:0",
                          "192.168.1.1:80",
                          "localhost:0",
                          "127.0.0.1",
                          "127.0.0.1:x",
                          "127.0.0.1:99999",
                          "127.evil.org:80",
                          "",
                          "[::1]:0"}) {
    const auto made = http_server::open({bad}, {});
    ASSERT_FALSE(made.ok()) << bad;
    EXPECT_EQ(made.error().code, errc::bad_config) << bad;
    EXPECT_THAT(made.error().detail, HasSubstr(bad));
  }
  serve();
  const auto second = http_server::open({"127.0.0.1:0", where()}, {});
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, errc::in_use);
}

TEST_F(HttpServer, GarbageIsAnsweredOrClosedAndServiceGoesOn) {
  const auto seed = tests::test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  random_stream draw(seed);
  serve();
  for (int i = 0; i < 200; ++i) {
    test_http_client client(where());
    std::string bytes;
    const bool has_start = draw.next_below(2) == 0;
    if (has_start) bytes = "POST /echo/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (std::uint64_t n = draw.next_below(3'000); n-- > 0;) {
      bytes += static_cast<char>(draw.next_below(256));
    }
    (void)client.send(bytes);
    client.end_sending();
    EXPECT_TRUE(client.ended());
  }
  test_http_client next(where());
  EXPECT_TRUE(next.ask(get("/echo/x")));
  EXPECT_EQ(server_->count().bytes, 0U);
}

}  // namespace
}  // namespace headrace::actors
