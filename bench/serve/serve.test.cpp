#include "bench/serve/serve.hpp"

#include "actors/http/http_server.hpp"
#include "bench/serve/http_load.hpp"
#include "bench/serve/product.hpp"
#include "bench/serve/report.hpp"
#include "bench/serve/times.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

namespace headrace::bench {
namespace {

using testing::HasSubstr;

std::unique_ptr<actors::http_server> server_of(actors::http_handler answer) {
  auto server = actors::http_server::open({"127.0.0.1:0"}, {{"POST", "/v1/*", std::move(answer)}});
  EXPECT_TRUE(server.ok()) << describe(server.error());
  return std::move(*server);
}

http_load small_load(const std::string& address) {
  http_load load;
  load.address = address;
  load.connections = 2;
  load.rate = 1'000;
  load.seconds = 0.1;
  load.requests = {http_text("/v1/a", "{}"), http_text("/v1/b", "{\"x\":1}")};
  return load;
}

TEST(HttpLoad, EveryRequestThatIsDueIsSentAndCounted) {
  std::atomic<std::uint64_t> came{0};
  auto server = server_of([&](const actors::http_request& request, const actors::http_reply& to) {
    came += request.body.empty() ? 0 : 1;
    to({200, "12345678"});
  });
  const auto seen = put_load(small_load(server->endpoints()[0]));
  ASSERT_TRUE(seen.ok()) << describe(seen.error());
  EXPECT_EQ(seen->sent, 100U);
  EXPECT_EQ(seen->answered, 100U);
  EXPECT_EQ(came.load(), 100U);
  EXPECT_DOUBLE_EQ(seen->answer_bytes, 8);
  EXPECT_GT(seen->p50_ms, 0);
  EXPECT_LE(seen->p50_ms, seen->p99_ms);
  EXPECT_LE(seen->p99_ms, seen->max_ms);
}

TEST(HttpLoad, WithoutARateASlotIsFilledAgainAtOnce) {
  auto server = server_of([](const actors::http_request&, const actors::http_reply& to) {
    to({200, "1"});
  });
  auto load = small_load(server->endpoints()[0]);
  load.rate = 0;
  const auto seen = put_load(load);
  ASSERT_TRUE(seen.ok()) << describe(seen.error());
  EXPECT_GT(seen->answered, 100U);
  EXPECT_EQ(seen->answered, seen->sent);
}

TEST(HttpLoad, RefusalsAreCountedAndFailuresEndIt) {
  std::atomic<unsigned> status{429};
  auto server = server_of([&](const actors::http_request&, const actors::http_reply& to) {
    to({status.load(), "{\"error\":\"why\"}"});
  });
  const auto refused = put_load(small_load(server->endpoints()[0]));
  ASSERT_TRUE(refused.ok()) << describe(refused.error());
  EXPECT_EQ(refused->refused, refused->sent);
  EXPECT_EQ(refused->answered, 0U);
  status = 400;
  const auto failed = put_load(small_load(server->endpoints()[0]));
  ASSERT_FALSE(failed.ok());
  EXPECT_THAT(failed.error().detail, HasSubstr("why"));
}

TEST(HttpLoad, FiguresSurviveTheirLine) {
  const http_figures seen{9, 8, 1, 0.5, 1.25, 2, 3, 4, 77.5};
  const auto read = parse_http_figures(to_line(seen));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(to_line(*read), to_line(seen));
  EXPECT_FALSE(parse_http_figures("1 2 3").ok());
  EXPECT_FALSE(parse_http_figures("").ok());
}

TEST(ServeBench, RequestsAreOfOneUserAndSoManyCandidates) {
  serve_options options;
  options.candidates = 3;
  options.user_columns = 2;
  options.item_columns = 1;
  options.rows = 4;
  const std::string body = predict_body(options, 5);
  EXPECT_THAT(body,
              testing::MatchesRegex("\\{\"user\":\\{\"u0\":[0-9]+,\"u1\":[0-9]+\\},"
                                    "\"candidates\":\\[\\{\"c0\":[0-9]+\\},\\{\"c0\":[0-9]+"
                                    "\\},\\{\"c0\":[0-9]+\\}\\]\\}"));
  EXPECT_NE(body, predict_body(options, 6));
  EXPECT_THAT(lookup_body(options, 1), testing::StartsWith(R"({"feature":"c0","ids":[)"));
  EXPECT_EQ(whole_in(R"({"a":17,"rows":20})", "rows"), 20U);
  EXPECT_EQ(whole_in(R"({"a":17})", "rows"), 0U);
}

// Probes at 1.0 and 1.1 s; the first answer behind them does not have the second yet.
TEST(FreshnessTimes, AProbeCountsWithTheFirstAnswerThatHasIt) {
  const std::vector<probe_event> probes{{990'000'000, 1'000'000'000, 5'000},
                                        {1'090'000'000, 1'100'000'000, 5'100}};
  // A stamp says of events accepted before it: one of the same millisecond may not be in.
  const std::vector<stamped_answer> answers{{995'000'000, 4'995, 5'001},
                                            {1'050'000'000, 5'050, 5'001},
                                            {1'150'000'000, 5'150, 5'100},
                                            {1'200'000'000, 5'200, 5'101}};
  freshness_figures seen;
  add_freshness(probes, answers, seen);
  EXPECT_EQ(seen.missing, 0U);
  EXPECT_EQ(seen.went_back, 0U);
  EXPECT_DOUBLE_EQ(seen.p50_seconds, 0.05);
  EXPECT_DOUBLE_EQ(seen.p99_seconds, 0.1);
  EXPECT_DOUBLE_EQ(seen.sent_p99_seconds, 0.11);
  EXPECT_DOUBLE_EQ(seen.age_p99_seconds, 0.099);
  EXPECT_TRUE(is_within_limits(seen));
  seen = {};
  add_freshness(probes, {answers[1], answers[0]}, seen);
  EXPECT_EQ(seen.missing, 1U);
  EXPECT_FALSE(is_within_limits(seen));
  seen = {};
  add_freshness({}, {answers[3], answers[0]}, seen);
  EXPECT_EQ(seen.went_back, 1U);
}

TEST(FreshnessTimes, FiguresSurviveTheirLine) {
  freshness_figures seen;
  seen.probes = 3;
  seen.p99_seconds = 0.1;
  seen.backlog_end = 7;
  seen.refused = 1;
  const auto read = parse_freshness_figures(to_line(seen));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, seen);
  for (const char* bad : {"", "1 2", "x"}) EXPECT_FALSE(parse_freshness_figures(bad).ok()) << bad;
  EXPECT_FALSE(parse_freshness_figures(to_line(seen) + " 1").ok());
}

TEST(ServeBench, LimitsStandBesideTheFigures) {
  serve_points points;
  points.predict.p99_ms = 3;
  EXPECT_TRUE(is_within_limits(points));
  const std::string json = to_json(serve_options{}, points);
  EXPECT_THAT(json, HasSubstr("\"predict_p99_ms\":3,"));
  EXPECT_THAT(json, HasSubstr("\"predict_p99_ms_max\":6,"));
  points.predict.p99_ms = 6;
  EXPECT_FALSE(is_within_limits(points));
  const std::string fresh = to_json(freshness_options{}, freshness_figures{}, "none");
  for (const char* key : {"freshness_p50_seconds",
                          "freshness_p99_seconds",
                          "probes",
                          "load_samples_per_second",
                          "backlog_end",
                          "path"})
    EXPECT_THAT(fresh, HasSubstr("\"" + std::string(key) + "\":")) << key;
}

}  // namespace
}  // namespace headrace::bench
