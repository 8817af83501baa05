#include "bench/available/available.hpp"

#include "bench/available/live_job.hpp"
#include "bench/available/open_loop.hpp"
#include "bench/available/report.hpp"
#include "schemas/event.hpp"
#include "storage/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <string>

namespace headrace::bench {
namespace {

using namespace std::chrono_literals;

available_options small(available_job job) {
  available_options options;
  options.rate = 100'000;
  options.seconds = 1;
  options.batch = 20'000;  // five pushes
  options.job = job;
  return options;
}

class AvailableBench : public testing::TestWithParam<available_job> {};

TEST_P(AvailableBench, EveryPushIsMadeOfSoManyEvents) {
  available_options options = small(GetParam());
  options.batch = 1'000;
  const auto batch = schemas::decode_event_batch(make_labelled_batch(options, 3, 1));
  ASSERT_TRUE(batch.ok());
  EXPECT_EQ(batch->events.size(), 1'000U);
  std::size_t actions = 0;
  for (const auto& event : batch->events)
    actions += event.kind == schemas::event_kind::action ? 1 : 0;
  EXPECT_EQ(1'000U - actions, options.samples_of_push());
}

TEST_P(AvailableBench, EverySampleOfALiveJobIsSeen) {
  const storage::temporary_folder folder;
  available_options options = small(GetParam());
  options.dir = folder.path();
  auto job = live_job::start(options);
  ASSERT_TRUE(job.ok()) << describe(job.error());
  options.endpoint = (*job)->endpoint();
  auto sender = open_loop_sender::open(options);
  ASSERT_TRUE(sender.ok()) << describe(sender.error());
  const auto sent = (*sender)->send_all();
  ASSERT_TRUE(sent.ok()) << describe(sent.error());
  (*job)->wait_for(options.pushes() * options.samples_of_push(), 60s);
  const auto round = to_round(options, *sent, (*job)->look());
  ASSERT_TRUE(round.ok()) << describe(round.error());
  EXPECT_EQ(round->samples, options.pushes() * options.samples_of_push());
  EXPECT_GT(round->from_intake.p50_ms, 0.0);
  EXPECT_LE(round->from_intake.p50_ms, round->from_schedule.max_ms);
}

INSTANTIATE_TEST_SUITE_P(Both,
                         AvailableBench,
                         testing::Values(available_job::labelled, available_job::joined),
                         [](const auto& of) { return std::string(name(of.param)); });

// A hundred pushes of ten samples, one every 10 ms; the second half of the second is sealed with
// the third.
TEST(AvailableBenchTimes, EverySampleCountsWithTheDelayOfItsPush) {
  available_options options;
  options.rate = 1'000;
  options.batch = 10;
  options.seconds = 1;
  const sent_pushes sent{1'000'000'000, 1'990'000'000, 1'000, 0, 0, 500};
  seen_samples seen;
  for (std::uint64_t push = 0; push < 100; ++push) {
    const std::uint64_t due = sent.begin_ns + push * 10'000'000;
    seen.arrived_ns.push_back(due + 1'000'000);
    seen.batches.push_back({push == 1 ? 15 : (push + 1) * 10, due + 2'000'000});
  }
  const auto round = to_round(options, sent, seen);
  ASSERT_TRUE(round.ok()) << describe(round.error());
  EXPECT_EQ(round->samples, 1'000U);
  EXPECT_DOUBLE_EQ(round->from_intake.p50_ms, 1.0);
  EXPECT_DOUBLE_EQ(round->from_schedule.p50_ms, 2.0);
  EXPECT_DOUBLE_EQ(round->from_intake.p99_ms, 1.0);
  EXPECT_DOUBLE_EQ(round->from_intake.p999_ms, 11.0);  // five of a thousand
  EXPECT_DOUBLE_EQ(round->from_schedule.max_ms, 12.0);
  EXPECT_DOUBLE_EQ(round->offered_events_per_second, 1'000.0);
  EXPECT_DOUBLE_EQ(round->client_us_per_event, 0.5);
}

TEST(AvailableBenchTimes, NothingFollowsWhereEventsAreMissing) {
  const available_options options = small(available_job::labelled);
  const sent_pushes sent{1, 2, 100'000, 0, 0, 0};
  seen_samples seen;
  seen.arrived_ns.assign(5, 1);
  seen.batches.push_back({100'000, 5});
  EXPECT_TRUE(to_round(options, sent, seen).ok());
  for (auto change : {+[](sent_pushes&s, seen_samples&) { s.accepted = 99'999; },
                      +[](sent_pushes&s, seen_samples&) { s.sent_again = 1; },
                      +[](sent_pushes&, seen_samples&s) { s.batches.back().through = 99'999; },
                      +[](sent_pushes&, seen_samples&s) { s.batches.clear(); },
                      +[](sent_pushes&, seen_samples&s) { s.arrived_ns.pop_back(); }}) {
    sent_pushes other = sent;
    seen_samples others = seen;
    change(other, others);
    EXPECT_FALSE(to_round(options, other, others).ok());
  }
}

TEST(AvailableBenchTimes, ResultsSurviveTheirLines) {
  const sent_pushes sent{5, 6, 7, 8, 9, 10};
  const auto same = parse_sent_pushes(to_line(sent));
  ASSERT_TRUE(same.ok());
  EXPECT_EQ(*same, sent);
  seen_samples seen;
  seen.arrived_ns = {11, 12, 13};
  seen.batches = {{512, 14}, {1'000, 15}};
  seen.processor_us = 3;
  seen.status_ms_p50 = 1;
  seen.status_ms_p99 = 2;
  const auto read = parse_seen_samples(to_line(seen));
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, seen);
  for (const char* bad : {"", "1 2 3", "1 2 3 4", "1 2 3 1 9 9", "x"})
    EXPECT_FALSE(parse_seen_samples(bad).ok()) << bad;
}

TEST(AvailableBenchTimes, TheLimitStandsBesideTheFigures) {
  available_points points;
  available_round round;
  round.from_intake.p99_ms = 12;
  points.labelled = {round};
  points.joined = {round};
  EXPECT_TRUE(is_within_limit(points));
  const std::string json = to_json({}, points);
  EXPECT_NE(json.find("\"available_ms_p99\":12"), std::string::npos) << json;
  EXPECT_NE(json.find("\"available_ms_p99_max\":50"), std::string::npos) << json;
  points.joined[0].from_intake.p99_ms = 50;
  EXPECT_FALSE(is_within_limit(points));
}

}  // namespace
}  // namespace headrace::bench
