#include "cli/pages/dashboard.hpp"

#include "actors/http/test_http_server.hpp"
#include "cli/pages/dashboard_page.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace headrace::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

dashboard_view some_view(double seconds) {
  dashboard_view now;
  now.job = "clicks";
  now.data = "http";
  now.seconds = seconds;
  now.learned.samples = static_cast<std::uint64_t>(1'000 * seconds);
  now.learned.push_bytes = static_cast<std::uint64_t>(50'000 * seconds);
  now.learned.auc = 0.71;
  now.learned.auc_recent = 0.7412;
  now.learned.available_ms_p50 = 12;
  now.learned.available_ms_p99 = 48;
  for (std::uint32_t i = 0; i < 2; ++i) {
    schemas::status_reply shard;
    shard.shard = shard_id{i};
    shard.rows = 1'500;
    shard.version = static_cast<std::uint64_t>(20 * seconds);
    now.shards.push_back(shard);
  }
  now.live.emplace();
  now.live->taken.events.accepted = static_cast<std::uint64_t>(2'000 * seconds);
  now.live->joined.emplace();
  now.live->joined->pending = 321;
  return now;
}

std::vector<series_point> some_points(std::size_t count) {
  std::vector<series_point> points(count);
  for (std::size_t i = 0; i < count; ++i) {
    points[i].seconds = static_cast<double>(i);
    points[i].samples = 1'000 * (i + 1);
    points[i].auc_recent = 0.7;
  }
  return points;
}

std::string part(const std::vector<page_part>& parts, const std::string& id) {
  for (const auto& each : parts) {
    if (each.id == id) return each.html;
  }
  return "no part " + id;
}

TEST(Dashboard, RatesAreWhatPassedSinceAWhileAgo) {
  const auto flow = part(figures_now(some_view(10), count_flow(some_view(8))), "flow");
  EXPECT_THAT(flow, HasSubstr(">2,000 <small>/ s</small>"));    // accepted
  EXPECT_THAT(flow, HasSubstr(">1,000 <small>/ s</small>"));    // learned
  EXPECT_THAT(flow, HasSubstr(">50.0 kB <small>/ s</small>"));  // pushed
  EXPECT_THAT(flow, HasSubstr(">40 <small>/ s</small>"));       // both shards' versions
  EXPECT_THAT(flow, HasSubstr("321 wait for an action"));
}

// A shard that was started again, or a clock that stood still, makes no rate.
TEST(Dashboard, CountsThatWentBackAreNoRate) {
  const auto flow = part(figures_now(some_view(10), count_flow(some_view(12))), "flow");
  EXPECT_THAT(flow, AllOf(HasSubstr(">0 <small>/ s</small>"), Not(HasSubstr("-"))));
  const auto still = part(figures_now(some_view(10), count_flow(some_view(10))), "flow");
  EXPECT_THAT(still, AllOf(HasSubstr(">0 <small>/ s</small>"), Not(HasSubstr("nan"))));
}

TEST(Dashboard, RefusalsAndTroubleAreSaidWhereTheyAre) {
  auto now = some_view(10);
  now.live->taken.events.refused[static_cast<std::size_t>(schemas::event_fault::wrong_type)] = 17;
  now.live->taken.producers.unauthorized = 3;
  now.shards[1].trouble = "the log's disk is <full>";
  const auto figures = figures_now(now, {});
  EXPECT_THAT(part(figures, "flow"),
              AllOf(HasSubstr("17 refused"), HasSubstr("a shard is in trouble")));
  EXPECT_THAT(part(figures, "source"),
              AllOf(HasSubstr("refused: wrong_type"), HasSubstr("batches without a good token")));
  EXPECT_THAT(part(figures, "shards"), HasSubstr("the log&#39;s disk is &lt;full&gt;"));
  now.shards.clear();
  EXPECT_THAT(part(figures_now(now, {}), "shards"), HasSubstr("did not answer"));
}

TEST(Dashboard, WhatAnswersPredictionsEndsTheFlow) {
  auto now = some_view(10);
  EXPECT_THAT(part(figures_now(now, {}), "flow"), Not(HasSubstr("predictions answered")));
  now.served.emplace();
  now.served->asked.answered = 700;
  EXPECT_THAT(part(figures_now(now, {}), "flow"), HasSubstr("not every row has come yet"));
  now.served->stamp = {40, 1'000, true};
  now.served->now_ms = 1'045;
  auto before = count_flow(some_view(8));
  before.answered = 100;
  const auto flow = part(figures_now(now, before), "flow");
  EXPECT_THAT(flow, AllOf(HasSubstr(">300 <small>/ s</small>"), HasSubstr("700 answers")));
  EXPECT_THAT(flow, HasSubstr("newest event in: 45 ms ago"));
}

TEST(Dashboard, NoTextOfAJobIsMarkup) {
  auto now = some_view(10);
  now.job = "<script>alert(1)</script>";
  now.data = "\"><img src=x>";
  now.stopped = "<b>disk</b>";
  const std::string page = dashboard_page(now, {}, some_points(3));
  EXPECT_THAT(
      page,
      AllOf(Not(HasSubstr("<script>alert")), Not(HasSubstr("<img")), Not(HasSubstr("<b>disk"))));
  EXPECT_THAT(page, HasSubstr("&lt;script&gt;alert(1)"));
}

TEST(Dashboard, AFileHasNeitherGateNorJoin) {
  auto now = some_view(10);
  now.live.reset();
  now.data = "clicks.csv";
  const std::string page = dashboard_page(now, {}, {});
  EXPECT_THAT(page,
              AllOf(Not(HasSubstr("events accepted")),
                    HasSubstr("clicks.csv"),
                    HasSubstr("nothing is joined")));
}

TEST(Dashboard, OldPointsLeaveTheRecentChartsAndStayInTheFirst) {
  auto points = some_points(3'000);
  points.front().samples_per_second = 987'654;  // would set the axis
  points.front().auc_recent = 0.123;
  const auto charts = charts_now(some_view(3'000), points);
  EXPECT_THAT(part(charts, "charts"), Not(HasSubstr("988k")));
  EXPECT_THAT(part(charts, "auc"), HasSubstr("0.123"));
}

TEST(Dashboard, IsAPageThatKeepsItselfUpToDate) {
  dashboard shown;
  shown.show(some_view(1), some_points(1));
  auto opened = actors::http_server::open({"127.0.0.1:0"}, shown.routes());
  ASSERT_TRUE(opened.ok()) << describe(opened.error());
  const std::string where = (*opened)->endpoints()[0];
  actors::test_http_client client(where);
  const auto page = client.ask(actors::get("/"));
  ASSERT_TRUE(page);
  EXPECT_EQ(page->fields.at("content-type"), "text/html; charset=utf-8");
  EXPECT_THAT(page->body, AllOf(HasSubstr("<h1>clicks</h1>"), HasSubstr("1,000 samples of http")));
  const auto script = client.ask(actors::get("/dashboard.js"));
  ASSERT_TRUE(script);
  EXPECT_THAT(script->body, HasSubstr("EventSource('/v1/dashboard/events')"));

  ASSERT_TRUE(client.send(actors::get("/v1/dashboard/events")));
  ASSERT_TRUE(client.read());
  // The listener is there a moment after its head: figures come with the first `show` behind that.
  std::optional<std::string> heard;
  double seconds = 2;
  std::jthread showing([&shown, &seconds](const std::stop_token& stop) {
    for (; !stop.stop_requested(); ++seconds) {
      shown.show(some_view(seconds), some_points(static_cast<std::size_t>(seconds)));
      std::this_thread::yield();
    }
  });
  heard = client.read_until("\n\n");
  showing.request_stop();
  showing.join();
  ASSERT_TRUE(heard);
  EXPECT_THAT(*heard,
              AllOf(HasSubstr("data: {\"lede\":"), HasSubstr("\"flow\":"), HasSubstr("\"auc\":")));
  const auto later = actors::test_http_client(where).ask(actors::get("/"));
  ASSERT_TRUE(later);
  EXPECT_THAT(later->body, Not(HasSubstr(">1,000 samples of http")));
}

}  // namespace
}  // namespace headrace::cli
