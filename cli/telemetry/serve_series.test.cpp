#include "cli/telemetry/serve_series.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>
#include <string>

namespace headrace::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

serve_figures some_figures() {
  serve_figures now;
  now.now_ms = 100'000;
  now.stamp = {.version = 812, .accepted_ms = 99'750, .whole = true};
  now.rows = 30;
  now.heard.heard_ms = 99'960;
  now.heard.deltas = 5;
  now.asked.answered = 7;
  now.asked.turned_away = 2;
  now.asked.p99_us = 1'500;
  return now;
}

std::string text_of(const serve_figures& now) {
  job_metrics metrics;
  metrics.add([&now](metrics_page& page) { say_serving(now, page); });
  return metrics.text();
}

TEST(ServeSeries, SayHowOldTheRowsAreAndWhatWasAsked) {
  const std::string text = text_of(some_figures());
  EXPECT_THAT(text, HasSubstr("\nheadrace_replica_version 812\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_replica_age_seconds 0.25\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_replica_heard_seconds 0.04\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_replica_deltas_total 5\n"));
  EXPECT_THAT(text, HasSubstr("headrace_serve_requests_total{outcome=\"answered\"} 7\n"));
  EXPECT_THAT(text, HasSubstr("headrace_serve_requests_total{outcome=\"turned_away\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("headrace_serve_predict_seconds{quantile=\"0.99\"} 0.0015\n"));
}

TEST(ServeSeries, AnAgeThatIsNotKnownIsNotSaid) {
  EXPECT_THAT(text_of(serve_figures{}), Not(HasSubstr("_age_seconds")));
  EXPECT_THAT(text_of(serve_figures{}), Not(HasSubstr("_heard_seconds")));
}

TEST(ServeSeries, EachIsDocumented) {
  std::ifstream file(std::filesystem::path(__FILE__).parent_path().parent_path().parent_path() /
                     "docs/metrics.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  std::istringstream lines(text_of(some_figures()));
  std::set<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) names.insert(line.substr(7, line.find(' ', 7) - 7));
  }
  EXPECT_GE(names.size(), 15U);
  for (const auto& name : names) EXPECT_THAT(page, HasSubstr("| `" + name + "`")) << name;
}

}  // namespace
}  // namespace headrace::cli
