#include "cli/live_metrics.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <sstream>

namespace headrace::cli {
namespace {

using testing::HasSubstr;

live_figures some_figures() {
  live_figures now;
  now.taken.batches = 3;
  now.taken.events.accepted = 40;
  now.taken.events.refused[static_cast<std::size_t>(schemas::event_fault::wrong_type)] = 2;
  now.taken.unread_bytes = 7;
  now.learned.samples = 38;
  now.learned.available_ms_p99 = 20;
  now.joined.emplace();
  now.joined->count.matched = 5;
  now.joined->pending = 9;
  worker::window_figures window;
  window.name = "clicks_1h";
  window.count.added = 11;
  window.lacking = 3;
  window.keys = 4;
  now.windows.each.push_back(window);
  now.windows.impressions = {6, 900, 2};
  now.texts.emplace();
  now.texts->count.taken = 12;
  now.texts->count.refused[static_cast<std::size_t>(worker::text_fault::near_duplicate)] = 8;
  now.texts->known = 10;
  return now;
}

TEST(LiveMetrics, SayWhatIsCountedNowHoweverOftenTheyAreAsked) {
  live_metrics series;
  live_figures now = some_figures();
  static_cast<void>(series.text(now));
  static_cast<void>(series.text(now));
  now.taken.events.accepted = 41;
  now.joined->pending = 8;
  const std::string text = series.text(now);
  EXPECT_THAT(text, HasSubstr("\nheadrace_events_accepted_total 41\n"));
  EXPECT_THAT(text, HasSubstr("headrace_events_refused_total{fault=\"wrong_type\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_event_log_unread_bytes 7\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_samples_learned_total 38\n"));
  EXPECT_THAT(text, HasSubstr("headrace_event_available_seconds{quantile=\"0.99\"} 0.02\n"));
  EXPECT_THAT(text, HasSubstr("headrace_join_actions_total{outcome=\"matched\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_join_pending 8\n"));
  EXPECT_THAT(text, HasSubstr("headrace_window_keys{window=\"clicks_1h\"} 4\n"));
  EXPECT_THAT(text,
              HasSubstr("headrace_window_events_total{fate=\"lacking\",window=\"clicks_1h\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_window_impressions 6\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_texts_taken_total 12\n"));
  EXPECT_THAT(text, HasSubstr("headrace_texts_refused_total{reason=\"text_near_duplicate\"} 8\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_texts_known 10\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_window_impression_bytes 900\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_window_impressions_forgotten_total 2\n"));
}

TEST(LiveMetrics, EachIsDocumented) {
  std::ifstream file(std::filesystem::path(__FILE__).parent_path().parent_path() /
                     "docs/metrics.md");
  const std::string page{std::istreambuf_iterator<char>(file), {}};
  live_metrics series;
  std::istringstream lines(series.text(some_figures()));
  std::set<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with("# TYPE ")) continue;
    names.insert(line.substr(7, line.find(' ', 7) - 7));
  }
  EXPECT_GE(names.size(), 15U);
  for (const auto& name : names) EXPECT_THAT(page, HasSubstr("| `" + name + "`")) << name;
}

}  // namespace
}  // namespace headrace::cli
