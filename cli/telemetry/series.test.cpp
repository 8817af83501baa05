#include "cli/telemetry/learning_series.hpp"
#include "cli/telemetry/live_series.hpp"
#include "cli/telemetry/process_series.hpp"
#include "cli/telemetry/sealing_series.hpp"
#include "cli/telemetry/shard_series.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>

namespace headrace::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

live_figures some_events() {
  live_figures now;
  now.taken.batches = 3;
  now.taken.events.accepted = 40;
  now.taken.events.refused[static_cast<std::size_t>(schemas::event_fault::wrong_type)] = 2;
  now.taken.producers.quarantined = 6;
  now.taken.unread_bytes = 7;
  now.joined.emplace();
  now.joined->count.matched = 5;
  now.joined->pending = 9;
  now.pending_max = 10;
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
  now.fetched.emplace();
  now.fetched->broker.lag = {{"a/0", 5}, {"a/1", 6}};
  now.asked.emplace();
  return now;
}

actors::progress some_learning() {
  actors::progress now;
  now.samples = 38;
  now.available_ms_p99 = 20;
  now.auc = 0.75;
  now.auc_recent = 0.8;
  now.tail_samples = 10;
  now.auc_frozen = 0.7;
  now.routed_room = 64;
  return now;
}

server_figures some_shards() {
  server_figures now;
  now.shards.resize(2);
  now.shards[1].status.shard = shard_id{1};
  now.shards[1].status.rows = 100;
  now.shards[1].status.lsn = lsn{30};
  now.shards[1].status.flushed = lsn{10};
  now.shards[1].refused[errc::overloaded] = 4;
  now.shards[1].heard_ns = 1'000'000'000;
  now.shards[1].log_refuses = true;
  now.shards[0].is_up = false;
  now.shards[0].restarts = 2;
  now.now_ns = 3'500'000'000;
  now.archive = {1, 2, 300, 4'000};
  return now;
}

process_facts this_process() {
  return {"run", "ctr", std::filesystem::temp_directory_path(), 5'000, [] { return ""; }};
}

std::string all_series(job_metrics& metrics) {
  metrics.add([](metrics_page& page) {
    say_events(some_events(), page);
    say_learning(some_learning(), "click", page);
    say_shards(some_shards(), page);
    say_sealing({10, 5, 3, 2'000'000'000}, page);
    say_process(this_process(), page);
  });
  static_cast<void>(batch_durations(metrics.series()));
  return metrics.text();
}

TEST(JobMetrics, SayWhatIsCountedNowHoweverOftenTheyAreAsked) {
  job_metrics metrics;
  live_figures now = some_events();
  metrics.add([&now](metrics_page& page) { say_events(now, page); });
  static_cast<void>(metrics.text());
  static_cast<void>(metrics.text());
  now.taken.events.accepted = 41;
  now.joined->pending = 8;
  const std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("\nheadrace_events_accepted_total 41\n"));
  EXPECT_THAT(text, HasSubstr("headrace_events_refused_total{fault=\"wrong_type\"} 2\n"));
  EXPECT_THAT(text, HasSubstr("headrace_events_refused_total{fault=\"no_key\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("headrace_event_batches_refused_total{reason=\"quarantined\"} 6\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_event_log_unread_bytes 7\n"));
  EXPECT_THAT(text, HasSubstr("headrace_join_actions_total{outcome=\"matched\"} 5\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_join_pending 8\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_join_pending_max 10\n"));
  EXPECT_THAT(text, HasSubstr("headrace_window_keys{window=\"clicks_1h\"} 4\n"));
  EXPECT_THAT(text,
              HasSubstr("headrace_window_events_total{fate=\"lacking\",window=\"clicks_1h\"} 3\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_window_impressions 6\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_source_lag_events 11\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_texts_taken_total 12\n"));
  EXPECT_THAT(text, HasSubstr("headrace_texts_refused_total{reason=\"text_near_duplicate\"} 8\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_texts_known 10\n"));
}

// A shard that was started again counts from 0.
TEST(JobMetrics, ACountThatWentBackBeganAnew) {
  job_metrics metrics;
  std::uint64_t count = 10;
  metrics.add([&count](metrics_page& page) { page.count("headrace_x_total", "x", count); });
  static_cast<void>(metrics.text());
  count = 4;
  EXPECT_THAT(metrics.text(), HasSubstr("\nheadrace_x_total 14\n"));
}

TEST(JobMetrics, SayHowTheModelAndItsTwinAre) {
  job_metrics metrics;
  actors::progress now = some_learning();
  metrics.add([&now](metrics_page& page) { say_learning(now, "click", page); });
  std::string text = metrics.text();
  EXPECT_THAT(text, HasSubstr("\nheadrace_samples_learned_total 38\n"));
  EXPECT_THAT(text, HasSubstr("headrace_event_available_seconds{quantile=\"0.99\"} 0.02\n"));
  EXPECT_THAT(text, HasSubstr("headrace_model_auc{head=\"click\",window=\"all\"} 0.75\n"));
  EXPECT_THAT(text, HasSubstr("headrace_model_auc{head=\"click\",window=\"recent\"} 0.8\n"));
  EXPECT_THAT(text, HasSubstr("headrace_twin_auc{head=\"click\",side=\"frozen\"} 0.7\n"));
  now.heads.resize(2);
  now.heads[0].name = "click";
  now.heads[1].name = "buy";
  now.heads[1].auc = 0.25;
  text = metrics.text();
  EXPECT_THAT(text, HasSubstr("headrace_model_auc{head=\"buy\",window=\"all\"} 0.25\n"));
}

TEST(JobMetrics, SayWhichShardIsInTrouble) {
  job_metrics metrics;
  const std::string text = all_series(metrics);
  EXPECT_THAT(text, HasSubstr("headrace_shard_up{shard=\"0\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("headrace_shard_restarts_total{shard=\"0\"} 2\n"));
  EXPECT_THAT(text, Not(HasSubstr("headrace_shard_rows{shard=\"0\"}")));  // it never said
  EXPECT_THAT(text, HasSubstr("headrace_shard_heard_age_seconds{shard=\"1\"} 2.5\n"));
  EXPECT_THAT(text, HasSubstr("headrace_shard_unflushed_records{shard=\"1\"} 20\n"));
  EXPECT_THAT(text, HasSubstr("headrace_shard_refusing{shard=\"1\"} 1\n"));
  EXPECT_THAT(text,
              HasSubstr("headrace_pushes_refused_total{reason=\"overloaded\",shard=\"1\"} 4\n"));
  EXPECT_THAT(text,
              HasSubstr("headrace_pushes_refused_total{reason=\"quarantined\",shard=\"1\"} 0\n"));
  EXPECT_THAT(text, HasSubstr("\nheadrace_checkpoint_age_seconds 4\n"));
}

// Names in the first column of the page's tables but for those of who serves predictions.
std::set<std::string> documented() {
  std::ifstream file(std::filesystem::path(__FILE__).parent_path().parent_path().parent_path() /
                     "docs/metrics.md");
  std::set<std::string> names;
  for (std::string line; std::getline(file, line);) {
    if (!line.starts_with("| `headrace_")) continue;
    const std::string name = line.substr(3, line.find('`', 3) - 3);
    if (!name.starts_with("headrace_replica_") && !name.starts_with("headrace_serve_"))
      names.insert(name);
  }
  return names;
}

TEST(JobMetrics, EachIsDocumentedAndEachDocumentedOneIsThere) {
  job_metrics metrics;
  std::istringstream lines(all_series(metrics));
  std::set<std::string> names;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# TYPE ")) names.insert(line.substr(7, line.find(' ', 7) - 7));
  }
  EXPECT_GE(names.size(), 60U);
  EXPECT_THAT(documented(), testing::ContainerEq(names));
}

}  // namespace
}  // namespace headrace::cli
