#include "actors/http/test_http_server.hpp"

#include <gtest/gtest.h>

#include <optional>
#include <sys/resource.h>
#include <vector>

namespace headrace::actors {
namespace {

using namespace std::chrono_literals;

using HttpLimits = HttpServer;

TEST_F(HttpLimits, ABodyThatIsTooLargeIsRefusedBeforeItIsSent) {
  serve();
  test_http_client client(where());
  const auto answer =
      client.ask("POST /echo/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000001\r\n\r\n");
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 413U);
  EXPECT_EQ(answer->fields.at("connection"), "close");
  // What was under way still comes, and does not take the answer away from who reads it late.
  test_http_client late(where());
  ASSERT_TRUE(late.send("POST /echo/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000001\r\n\r\n"));
  (void)late.send(std::string(1'000'001, 'x'));
  const auto read = late.read();
  ASSERT_TRUE(read);
  EXPECT_EQ(read->status, 413U);
  EXPECT_TRUE(client.ended());
}

TEST_F(HttpLimits, ASlowHeaderAndASlowBodyAreGivenUp) {
  http_options how;
  how.header_ms_max = 60;
  how.body_ms_max = 60;
  serve(how);
  for (const std::string start :
       {"GET /echo/x HT", "POST /echo/x HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\nab"}) {
    test_http_client client(where());
    std::optional<test_http_client::answer> answer;
    ASSERT_TRUE(client.send(start));
    // A byte now and then buys no time.
    for (int i = 0; i < 1'000; ++i) {
      pollfd item{client.socket(), POLLIN, 0};
      if (::poll(&item, 1, 10) == 1) break;
      if (!client.send("a")) break;
    }
    answer = client.read();
    ASSERT_TRUE(answer) << start;
    EXPECT_EQ(answer->status, 408U);
    EXPECT_TRUE(client.ended());
  }
  EXPECT_EQ(server_->count().timed_out, 2U);
}

TEST_F(HttpLimits, WhoSaysNothingIsClosedInSilence) {
  http_options how;
  how.idle_ms_max = 50;
  serve(how);
  test_http_client silent(where());
  test_http_client served(where());
  EXPECT_TRUE(served.ask(get("/echo/x")));
  EXPECT_TRUE(silent.ended());
  EXPECT_TRUE(served.ended());
  EXPECT_EQ(server_->count().timed_out, 2U);
}

TEST_F(HttpLimits, AHandlerThatNeverRepliesIsAnsweredFor) {
  http_options how;
  how.answer_ms_max = 50;
  serve(how);
  test_http_client client(where());
  EXPECT_EQ(client.ask(get("/held"))->status, 504U);
  EXPECT_TRUE(held_.wait_for(1));
  held_.take(0).second(text_answer("too late"));
  EXPECT_EQ(client.ask(get("/echo/x"))->body, "GET /echo/x  ");
}

TEST_F(HttpLimits, AClientThatNeverReadsIsBoundedAndClosed) {
  http_options how;
  how.write_ms_max = 100;
  serve(how);
  test_http_client client(where(), 4'096);
  const std::string one = post("/echo/x", std::string(100'000, 'x'));
  std::string much;
  for (int i = 0; i < 200; ++i) much += one;
  EXPECT_FALSE(client.send(much, 2s)) << "20 MB of requests were taken whose answers nobody reads";
  ASSERT_TRUE(eventually([&] { return server_->count().timed_out == 1; }));
  EXPECT_TRUE(eventually([&] { return server_->count().open == 0; }));
  EXPECT_LT(server_->count().requests, 150U);
}

TEST_F(HttpLimits, AnswersBehindOneAnotherKeepToTheRoomOfAConnection) {
  const std::string large(200'000, 'x');
  auto made = http_server::open(
      {"127.0.0.1:0"},
      {{"GET", "/held", held_.handler(), 0, nullptr, large.size()}, {"GET", "/echo/*", echo, 0}});
  ASSERT_TRUE(made.ok());
  server_ = std::move(*made);
  test_http_client client(where());
  std::string much;
  for (int i = 0; i < 20; ++i) much += get("/held");
  ASSERT_TRUE(client.send(much));
  for (std::size_t left = 20; left > 0; --left) {
    ASSERT_TRUE(held_.wait_for(1));
    // What the server took, it took before it answers another.
    ASSERT_TRUE(test_http_client(where()).ask(get("/echo/x")));
    ASSERT_LE(held_.size(), 2U) << "256 KiB and one answer";
    held_.take(0).second(text_answer(large));
    const auto answer = client.read();
    ASSERT_TRUE(answer);
    ASSERT_EQ(answer->body.size(), large.size());
  }
}

TEST_F(HttpLimits, BodiesOfAllConnectionsTogetherAreBounded) {
  http_options how;
  how.bytes_max = 1'000;
  serve(how);
  test_http_client first(where());
  ASSERT_TRUE(first.send(post("/held", std::string(900, 'x'))));
  ASSERT_TRUE(held_.wait_for(1));
  test_http_client second(where());
  const auto refused = second.ask(post("/held", std::string(101, 'x')));
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->status, 503U);
  EXPECT_EQ(refused->fields.at("retry-after"), "1");
  test_http_client third(where());
  EXPECT_TRUE(third.ask(get("/echo/x"))) << "what has no body is still answered";
  held_.take(0).second(text_answer("done"));
  EXPECT_TRUE(first.read());
  test_http_client fourth(where());
  EXPECT_EQ(fourth.ask(post("/echo/x", std::string(1'000, 'x')))->status, 200U);
}

TEST_F(HttpLimits, OneConnectionTooManyIsTurnedAway) {
  http_options how;
  how.connections_max = 3;
  serve(how);
  std::vector<std::unique_ptr<test_http_client>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<test_http_client>(where()));
    ASSERT_TRUE(clients.back()->ask(get("/echo/x")));
  }
  test_http_client fourth(where());
  const auto answer = fourth.read();
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status, 503U);
  EXPECT_TRUE(fourth.ended());
  clients.pop_back();
  ASSERT_TRUE(eventually([&] { return server_->count().open == 2; }));
  test_http_client next(where());
  EXPECT_EQ(next.ask(get("/echo/x"))->status, 200U);
}

TEST_F(HttpLimits, AThousandConnectionsAreServedAtOnce) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  files.rlim_cur = files.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_cur < 2'200) GTEST_SKIP() << "2,200 open files are needed";
  serve();
  std::vector<std::unique_ptr<test_http_client>> clients;
  for (int i = 0; i < 1'000; ++i) {
    clients.push_back(std::make_unique<test_http_client>(where()));
    ASSERT_TRUE(clients.back()->connected());
  }
  for (int round = 0; round < 3; ++round) {
    for (auto& each : clients) ASSERT_TRUE(each->send(get("/echo/" + std::to_string(round))));
    for (auto& each : clients) {
      const auto answer = each->read();
      ASSERT_TRUE(answer);
      ASSERT_EQ(answer->body, "GET /echo/" + std::to_string(round) + "  ");
    }
  }
  EXPECT_EQ(server_->count().open, 1'000U);
}

TEST_F(HttpLimits, StoppingWaitsNoLongerThanItSays) {
  http_options how;
  how.stop_ms_max = 50;
  serve(how);
  test_http_client client(where());
  ASSERT_TRUE(client.send(get("/held")));
  ASSERT_TRUE(held_.wait_for(1));
  server_->stop();
  EXPECT_TRUE(client.ended());
  auto late = held_.take(0);
  server_.reset();
  late.second(text_answer("nobody"));  // outlives the server
}

}  // namespace
}  // namespace headrace::actors
