#include "actors/http/plain_routes.hpp"

#include "actors/http/test_http_client.hpp"
#include "base/metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>

namespace headrace::actors {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

TEST(PlainRoutes, HealthReadinessAndMetricsAreAnswered) {
  metrics_registry metrics;
  metrics.counter("headrace_test_total", "of a test").add(3);
  std::atomic<bool> ready{false};
  auto server = http_server::open(
      {"127.0.0.1:0"},
      plain_routes({.not_ready = [&] { return ready ? "" : "the log is being read"; },
                    .metrics = [&] { return metrics.serialize(); }}));
  ASSERT_TRUE(server.ok());
  test_http_client client((*server)->endpoints()[0]);
  EXPECT_EQ(client.ask(get("/healthz"))->body, "{\"status\":\"ok\"}\n");
  const auto waiting = client.ask(get("/readyz"));
  EXPECT_EQ(waiting->status, 503U);
  EXPECT_EQ(waiting->body, "{\"error\":\"the log is being read\"}\n");
  EXPECT_EQ(waiting->fields.at("retry-after"), "1");
  ready = true;
  EXPECT_EQ(client.ask(get("/readyz"))->status, 200U);
  const auto page = client.ask(get("/metrics"));
  EXPECT_THAT(page->body, HasSubstr("headrace_test_total 3"));
  EXPECT_THAT(page->fields.at("content-type"), StartsWith("text/plain; version=0.0.4"));
  EXPECT_EQ(client.ask(post("/healthz", ""))->status, 405U);
}

}  // namespace
}  // namespace headrace::actors
