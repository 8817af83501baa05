#include "actors/http/serve_routes.hpp"

#include "actors/http/test_http_client.hpp"
#include "actors/http/test_http_server.hpp"
#include "base/clock.hpp"
#include "serve/test_serving.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace headrace::actors {
namespace {

using ::testing::HasSubstr;

/// A shop's model behind a server, its replica filled or not.
class serving {
 public:
  explicit serving(serve_routes::settings how = {},
                   bool whole = true,
                   std::function<std::string()> not_ready = nullptr)
      : job("shop", serve::shop(), "lr"), rows(job.empty_replica()) {
    if (whole) job.teach(*rows, {});
    routes = std::make_unique<serve_routes>(
        serve_routes::parts{job.model(), rows, std::move(not_ready)}, time, how);
    auto opened = http_server::open({"127.0.0.1:0"}, routes->routes());
    CHECK(opened.ok());
    server = std::move(*opened);
  }
  ~serving() { server->stop(); }

  test_http_client client() const { return test_http_client(server->endpoints()[0]); }
  test_http_client::answer ask(const std::string& bytes) const {
    auto made = client().ask(bytes);
    CHECK(made.has_value());
    return *made;
  }

  serve::test_job job;
  std::shared_ptr<serve::replica> rows;
  system_clock time;
  std::unique_ptr<serve_routes> routes;
  std::unique_ptr<http_server> server;
};

constexpr const char* one_user =
    R"({"user":{"user":"u7"},"candidates":[{"item":"i1"},{"item":"i2"}]})";

TEST(ServeRoutes, AnswerPredictionsExplanationsRowsAndTensors) {
  const serving at;
  auto client = at.client();
  const auto predicted = client.ask(post("/v1/models/shop:predict", one_user));
  ASSERT_TRUE(predicted);
  EXPECT_EQ(predicted->status, 200U);
  EXPECT_EQ(predicted->fields.at("content-type"), "application/json");
  EXPECT_THAT(predicted->body, HasSubstr("\"predictions\":[{\"click\":"));
  const auto explained =
      client.ask(post("/v1/models/shop:explain", R"({"instance":{"user":"u7"}})"));
  ASSERT_TRUE(explained);
  EXPECT_THAT(explained->body, HasSubstr("\"baseline_logit\":"));
  const auto rows = client.ask(post("/v1/embeddings/embedding:lookup", R"({"keys":[1,2]})"));
  ASSERT_TRUE(rows);
  EXPECT_THAT(rows->body, HasSubstr("\"dim\":1,\"rows\":[["));
  const auto inferred = client.ask(
      post("/v2/models/shop/infer",
           R"({"inputs":[{"name":"user","shape":[2],"datatype":"BYTES","data":["a","b"]}]})"));
  ASSERT_TRUE(inferred);
  EXPECT_THAT(inferred->body, HasSubstr("\"shape\":[2]"));
  EXPECT_THAT(client.ask(get("/v1/models/shop"))->body, HasSubstr("\"columns\":[{"));
  EXPECT_THAT(client.ask(get("/v2/models/shop"))->body, HasSubstr("\"platform\":\"headrace\""));
  EXPECT_EQ(client.ask(get("/v2/health/live"))->status, 200U);
  EXPECT_EQ(client.ask(get("/v2/health/ready"))->status, 200U);
  EXPECT_EQ(client.ask(get("/v2/models/shop/ready"))->status, 200U);
  const auto count = at.routes->count();
  EXPECT_EQ(count.requests, 4U);
  EXPECT_EQ(count.answered, 4U);
  EXPECT_EQ(count.samples, 4U);
  EXPECT_EQ(count.batches, 2U);
  EXPECT_EQ(count.waiting, 0U);
}

TEST(ServeRoutes, RefuseWhatIsNotHereByName) {
  serve_routes::settings how;
  how.body_bytes_max = 1'000;
  how.samples_max = 2;
  const serving at(how);
  const auto refused = [&](const std::string& bytes, unsigned status, const std::string& says) {
    const auto answer = at.ask(bytes);
    EXPECT_EQ(answer.status, status) << bytes;
    EXPECT_THAT(answer.body, HasSubstr(says)) << bytes;
    EXPECT_EQ(answer.body.find('\n'), answer.body.size() - 1) << "one line";
  };
  refused(post("/v1/models/shop2:predict", one_user), 404, "there is 'shop'");
  refused(post("/v1/models/shop:predct", one_user), 404, "there are :predict and :explain");
  refused(post("/v1/models/shop", one_user), 404, "there are :predict and :explain");
  refused(post("/v1/embeddings/items:lookup", R"({"keys":[1]})"), 404, "'embedding'");
  refused(post("/v1/embeddings/embedding", "{}"), 404, "there is :lookup");
  refused(post("/v2/models/shop/versions/3/infer", "{}"), 404, "/ready and /infer");
  refused(post("/v2/models/other/infer", "{}"), 404, "there is 'shop'");
  refused(get("/v2/models/shop/stats"), 404, "/ready and /infer");
  refused(get("/v1/models/other"), 404, "there is 'shop'");
  refused(get("/v1/embeddings/embedding:lookup"), 405, "");
  refused(post("/v1/models/shop:predict", "{"), 400, "not JSON");
  refused(post("/v1/models/shop:predict", R"({"instances":[{"itm":1}]})"), 400, "'item'");
  refused(post("/v1/models/shop:predict", R"({"instances":[{},{},{}]})"), 413, "at most 2");
  refused(post("/v1/models/shop:predict", std::string(1'001, ' ')), 413, "");
  refused(post("/v1/models/shop:predict", one_user, "Content-Encoding: gzip\r\n"),
          415,
          "Content-Encoding");
  EXPECT_EQ(at.ask(post("/v1/models/shop:predict", one_user)).status, 200U);
}

TEST(ServeRoutes, WithoutAllRowsTheyAreNotReadyAndSaySo) {
  const serving at({}, false);
  for (const std::string& bytes : {post("/v1/models/shop:predict", one_user),
                                   get("/v2/health/ready"),
                                   get("/v2/models/shop/ready")}) {
    const auto answer = at.ask(bytes);
    EXPECT_EQ(answer.status, 503U);
    EXPECT_EQ(answer.fields.at("retry-after"), "1");
    EXPECT_THAT(answer.body, HasSubstr("does not have all rows yet"));
  }
  EXPECT_EQ(at.routes->count().not_ready, 1U) << "whether it is ready may be asked";
  EXPECT_EQ(at.ask(get("/v2/health/live")).status, 200U);
  at.job.teach(*at.rows, {});
  EXPECT_EQ(at.ask(post("/v1/models/shop:predict", one_user)).status, 200U);
  EXPECT_EQ(at.ask(get("/v2/health/ready")).status, 200U);
}

TEST(ServeRoutes, AStaleReplicaIsNotReadyButAnswers) {
  const serving at({}, true, [] { return std::string("it is 9 s behind"); });
  const auto ready = at.ask(get("/v2/health/ready"));
  EXPECT_EQ(ready.status, 503U);
  EXPECT_THAT(ready.body, HasSubstr("9 s behind"));
  EXPECT_EQ(at.ask(post("/v1/models/shop:predict", one_user)).status, 200U);
}

// A batch that waits for others holds the one thread, so that what comes meanwhile waits and joins
// it, up to the bound.
TEST(ServeRoutes, RequestsThatWaitTogetherAreOneBatch) {
  serve_routes::settings how;
  how.batch_delay_us = 60'000'000;
  how.batch_samples = 8;
  const serving at(how);
  std::vector<std::unique_ptr<test_http_client>> clients;
  for (int i = 0; i < 3; ++i) {
    clients.push_back(std::make_unique<test_http_client>(at.server->endpoints()[0]));
    ASSERT_TRUE(clients.back()->send(post("/v1/models/shop:predict", one_user)));
  }
  ASSERT_TRUE(eventually([&] { return at.routes->count().requests == 3; }));
  EXPECT_EQ(at.routes->count().answered, 0U) << "two samples each: six of eight";
  clients.push_back(std::make_unique<test_http_client>(at.server->endpoints()[0]));
  ASSERT_TRUE(clients.back()->send(post("/v1/models/shop:predict", one_user)));
  for (const auto& client : clients) {
    const auto answer = client->read();
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status, 200U);
  }
  const auto count = at.routes->count();
  EXPECT_EQ(count.batches, 1U);
  EXPECT_EQ(count.samples, 8U);
}

// The first answer's receiver holds the one thread.
TEST(ServeRoutes, AFullQueueTurnsAwayAndEveryRequestIsAnsweredOnce) {
  const serve::test_job job("shop", serve::shop(), "lr");
  const auto rows = job.empty_replica();
  job.teach(*rows, {});
  const system_clock time;
  serve_routes::settings how;
  how.waiting_max = 2;
  auto routes = std::make_unique<serve_routes>(serve_routes::parts{job.model(), rows}, time, how);
  const http_handler handle = routes->routes()[0].handle;
  const auto ask = [&](http_reply reply) {
    http_request request;
    request.path = "/v1/models/shop:predict";
    request.body = one_user;
    handle(std::move(request), std::move(reply));
  };
  std::latch in_hand(1);
  std::latch released(1);
  ask([&](const http_answer& answer) {
    EXPECT_EQ(answer.status, 200U);
    in_hand.count_down();
    released.wait();
  });
  in_hand.wait();
  std::atomic<int> answered = 0;
  for (int i = 0; i < 2; ++i) {
    ask([&](const http_answer& answer) {
      EXPECT_TRUE(answer.status == 200 || answer.status == 503) << answer.status;
      ++answered;
    });
  }
  EXPECT_EQ(routes->count().waiting, 2U);
  bool turned_away = false;
  ask([&](const http_answer& answer) {
    EXPECT_EQ(answer.status, 429U);
    EXPECT_EQ(answer.retry_after_s, 1U);
    turned_away = true;
  });
  EXPECT_TRUE(turned_away) << "at once";
  EXPECT_EQ(routes->count().turned_away, 1U);
  EXPECT_EQ(answered, 0);
  released.count_down();
  routes.reset();
  EXPECT_EQ(answered, 2) << "by the thread, or by the end";
}

TEST(ServeRoutes, ManyClientsGetTheirOwnAnswersWhileRowsChange) {
  serve_routes::settings how;
  how.threads = 2;
  const serving at(how);
  constexpr int clients = 4;
  constexpr int requests = 50;
  std::atomic<bool> done = false;
  std::atomic<int> wrong = 0;
  std::jthread writer([&] {
    for (std::uint64_t v = 2; !done; ++v) at.job.teach(*at.rows, {}, v);
  });
  {
    std::vector<std::jthread> threads;
    for (int c = 0; c < clients; ++c) {
      threads.emplace_back([&, c] {
        auto client = at.client();
        std::uint64_t version = 0;
        for (int r = 0; r < requests; ++r) {
          std::string text = R"({"user":{"user":"u"},"candidates":[)";
          for (int i = 0; i <= c; ++i) text += i > 0 ? ",{}" : "{}";
          const auto got = client.ask(post("/v1/models/shop:predict", text + "]}"));
          if (!got || got->status != 200) {
            ++wrong;
            return;
          }
          int found = 0;
          for (auto at_click = got->body.find("\"click\":"); at_click != std::string::npos;
               at_click = got->body.find("\"click\":", at_click + 1))
            ++found;
          const auto place = got->body.find("\"model_version\":") + 16;
          const auto now = std::stoull(got->body.substr(place));
          if (found != c + 1 || now < version) ++wrong;
          version = now;
        }
      });
    }
  }
  done = true;
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(at.routes->count().answered, static_cast<std::uint64_t>(clients * requests));
}

}  // namespace
}  // namespace headrace::actors
