#include "base/random.hpp"
#include "schemas/event.hpp"
#include "storage/job_folder.hpp"
#include "storage/segment_log.hpp"
#include "tests/integration/live_run.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/small_job.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>
#include <vector>

/// `headrace tail` and `headrace replay`: what a live job took, seen again and learned again.
namespace headrace::tests {
namespace {

constexpr auto patience = live_patience;

// Labels are clicks within an hour, by the events' own times; weights are counts.
std::string job_file(const temporary_folder& folder, const std::string& name) {
  std::string path = folder / (name + ".toml");
  std::ofstream(path) << "[job]\nname = \"live\"\n[server]\nlisten = \"tcp://127.0.0.1:0\"\n"
                         "[source]\nuri = \"http://127.0.0.1:0\"\n[features.user]\n"
                         "[features.item]\n[model]\narch = \"count\"\n[train]\nbatch_max = 64\n"
                         "push = \"fp32\"\n[durability]\nlog = \"os\"\n[join]\n"
                         "actions = \"click\"\nwindow = \"1h\"\nout_of_order = \"1h\"\n";
  return path;
}

std::string text_of(const std::vector<std::string>& lines) {
  std::string made;
  for (const std::string& line : lines) made += line;
  return made;
}

// Impressions [from, to) of the clicked stream and their clicks.
std::string event_lines(std::uint64_t from, std::uint64_t to) {
  const auto all = clicked_stream(to);
  return text_of({all.begin() + static_cast<std::ptrdiff_t>(from + (from + 2) / 3), all.end() - 1});
}

class LogOfALiveJob : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_curl()) GTEST_SKIP() << "no curl: ./dev setup peers";
  }
  temporary_folder folder_;
};

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);) lines.push_back(line);
  return lines;
}

finished tail(const std::string& state, std::vector<std::string> more) {
  more.insert(more.begin(), {headrace_binary(), "tail", state});
  return run_program(more, patience);
}

TEST_F(LogOfALiveJob, TailShowsWhatIsTakenWhileItRuns) {
  const std::string state = folder_ / "state";
  live_run run(job_file(folder_, "job"), state);
  ASSERT_NE(run.url, "") << run.process.errors();
  EXPECT_EQ(json_field(post(run.url, event_lines(0, 75), folder_).output, "accepted"), "100");
  // One behind a hundred that were there.
  EXPECT_EQ(json_field(post(run.url, event_lines(0, 76), folder_).output, "accepted"), "2");

  const auto newest = tail(state, {"-n", "3", "--json"});
  EXPECT_EQ(newest.status, 0) << newest.errors;
  const auto shown = lines_of(newest.output);
  ASSERT_EQ(shown.size(), 3U) << newest.output;
  EXPECT_EQ(json_field(shown[0], "id"), "i74");
  EXPECT_EQ(json_field(shown[1], "id"), "i75");
  EXPECT_EQ(json_field(shown[1], "user"), "u7");
  EXPECT_EQ(json_field(shown[1], "place"), "100");
  EXPECT_EQ(json_field(shown[2], "action"), "click");
  EXPECT_EQ(json_field(shown[2], "time"), "1760000000075");
  const std::string record = json_field(shown[2], "record");
  EXPECT_EQ(lines_of(tail(state, {}).output).size(), 10U);
  EXPECT_EQ(lines_of(tail(state, {"--from", "1"}).output).size(), 102U);
  EXPECT_EQ(lines_of(tail(state, {"--from", record, "-n", "5"}).output).size(), 2U);
  EXPECT_EQ(lines_of(tail(state, {"--from", "1h"}).output).size(), 102U);

  child_process follow({headrace_binary(), "tail", state, "--follow", "-n", "0"});
  child_process piped(
      {"/bin/sh", "-c", headrace_binary() + " tail " + state + " -f --from 1 2>&1 | head -n 2"});
  EXPECT_EQ(piped.wait_for(patience), 0);
  EXPECT_EQ(lines_of(piped.output()).size(), 2U) << piped.output();
  for (std::uint64_t id = 76;
       id < 200 && !follow.wait_for_text("\"id\"", std::chrono::milliseconds(200));
       ++id)
    post(run.url, event_lines(id, id + 1), folder_);
  EXPECT_NE(follow.output().find("\"features\":{"), std::string::npos) << follow.output();
  follow.signal(SIGINT);
  EXPECT_EQ(follow.wait_for(patience), 0) << follow.errors();

  run.interrupt();
  EXPECT_EQ(lines_of(tail(state, {"-n", "1", "--json"}).output).size(), 1U) << "stopped";
  const auto wrong = tail(state, {"--from", "yesterday"});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_NE(wrong.errors.find("--from"), std::string::npos) << wrong.errors;
}

finished replay(const std::string& state, std::vector<std::string> more) {
  more.insert(more.begin(), {headrace_binary(), "replay", state});
  return run_program(more, patience);
}

// The other job joins by the events' own times, so these came with them.
TEST_F(LogOfALiveJob, AReplayedLogIsLearnedAsTheFirstTimeAndDoublesNothing) {
  const std::string state = folder_ / "first";
  constexpr std::uint64_t events = 700;
  {
    live_run run(job_file(folder_, "first"), state);
    ASSERT_NE(run.url, "") << run.process.errors();
    for (std::uint64_t from = 0; from < events; from += 100)
      post(run.url, event_lines(from, from + 100), folder_);
    post(run.url, clicked_stream(events).back(), folder_);
    run.interrupt();
  }
  const auto labels = sealed_labels(state);
  ASSERT_EQ(labels.size(), events);
  const std::string taken = std::to_string(events + (events + 2) / 3 + 1);

  const auto printed = replay(state, {});
  EXPECT_EQ(printed.status, 0) << printed.errors;
  EXPECT_EQ(std::to_string(lines_of(printed.output).size()), taken);

  const std::string other = folder_ / "other";
  live_run run(
      job_file(folder_, "other"), other, {"--set", "source.listen=zmq://" + (folder_ / "socket")});
  ASSERT_NE(run.url, "") << run.process.errors();
  const std::string http = run.url.substr(0, run.url.find("/v1/"));
  // Some of it by one way, all of it by the other, and all of it again.
  std::string fourth;
  for (const std::string& line : lines_of(tail(state, {"--from", "1", "--json"}).output)) {
    if (json_field(line, "id") == "i300") fourth = json_field(line, "record");
  }
  const auto some = replay(state, {"--to", http, "--until", fourth, "--json"});
  EXPECT_EQ(some.status, 0) << some.errors;
  EXPECT_EQ(json_field(some.errors, "accepted"), std::to_string(300 + 100)) << some.errors;
  const auto all = replay(state, {"--to", "zmq://" + (folder_ / "socket"), "--json"});
  EXPECT_EQ(all.status, 0) << all.errors;
  EXPECT_EQ(json_field(all.errors, "duplicates"), "400") << all.errors;
  EXPECT_EQ(json_field(all.errors, "accepted"), std::to_string(std::stoul(taken) - 400));
  const auto again = replay(state, {"--to", run.url, "--json"});
  EXPECT_EQ(again.status, 0) << again.errors;
  EXPECT_EQ(json_field(again.errors, "duplicates"), taken) << again.errors;
  const auto lines = post(run.url, printed.output, folder_);
  EXPECT_EQ(json_field(lines.output, "duplicates"), taken) << lines.output;
  run.interrupt();
  EXPECT_EQ(sealed_labels(other), labels);
}

// A log as a job would have left it: a record every `apart_ms`, one event in each.
void write_event_log(const std::string& state, std::uint64_t records, std::uint64_t apart_ms) {
  auto job = storage::job_folder::open(state, {"live", 7}, storage::job_role::worker);
  ASSERT_TRUE(job) << describe(job.error());
  storage::segment_log::options how;
  how.folder = (*job)->event_log("events");
  how.mode = schemas::log_mode::os;
  auto log = storage::segment_log::open(how);
  ASSERT_TRUE(log) << describe(log.error());
  for (std::uint64_t i = 1; i <= records; ++i) {
    schemas::event_batch_builder builder;
    builder.begin("shop");
    builder.event("e" + std::to_string(i), "", 5);
    storage::log_record record;
    record.lsn = lsn{i};
    record.stamp_ms = 1'000 + i * apart_ms;
    record.kind = storage::record_kind::events;
    record.payload = builder.finish();
    (*log)->append(std::span(&record, 1), lsn{i - 1}, [](const auto&) {});
  }
}

TEST(Replay, TakesAsLongAsItTookOrItsShare) {
  const temporary_folder folder;
  write_event_log(folder / "state", 5, 1'000);
  const auto took_ms = [&](const char* speed) {
    const auto begun = std::chrono::steady_clock::now();
    const auto done = replay(folder / "state", {"--speed", speed});
    EXPECT_EQ(done.status, 0) << done.errors;
    EXPECT_EQ(lines_of(done.output).size(), 5U);
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begun)
        .count();
  };
  EXPECT_GE(took_ms("10"), 400.0);
  EXPECT_GE(took_ms("4"), 1'000.0);
  took_ms("max");
  const auto wrong = replay(folder / "state", {"--speed", "fast"});
  EXPECT_EQ(wrong.status, 2);
  EXPECT_NE(wrong.errors.find("--speed 'fast'"), std::string::npos) << wrong.errors;
}

TEST(Replay, SaysWhereToGoOn) {
  const temporary_folder folder;
  const std::string state = folder / "state";
  write_event_log(state, 3, 3'600'000);
  child_process slow({headrace_binary(), "replay", state, "--speed", "1"});
  ASSERT_TRUE(slow.wait_for_text("\"e1\"", patience)) << slow.errors();
  slow.signal(SIGINT);
  EXPECT_EQ(slow.wait_for(patience), 130);
  EXPECT_NE(slow.errors().find("go on with --from 2"), std::string::npos) << slow.errors();
  const auto rest = replay(state, {"--from", "2"});
  EXPECT_EQ(rest.status, 0) << rest.errors;
  ASSERT_EQ(lines_of(rest.output).size(), 2U) << rest.output;
  EXPECT_EQ(json_field(rest.output, "id"), "e2");
  // Nobody there: it says what was not sent when it is told to stop.
  child_process to_nobody(
      {headrace_binary(), "replay", state, "--to", "zmq://" + (folder / "nobody")});
  to_nobody.signal(SIGINT);
  EXPECT_EQ(to_nobody.wait_for(patience), 130);
}

// ---- samples that rows hold ----

std::string small_log_job(const temporary_folder& folder) {
  std::string path = folder / "small.toml";
  std::ofstream(path) << "[job]\nname = \"live\"\n[server]\nlisten = \"tcp://127.0.0.1:0\"\n"
                         "[source]\nuri = \"http://127.0.0.1:0\"\nlabel = \"rating >= 4\"\n"
                         "keep_bytes = \"64KiB\"\n[features.user]\n[features.item]\n[model]\n"
                         "arch = \"count\"\n[train]\nbatch_max = 64\npush = \"fp32\"\n"
                         "[durability]\nlog = \"os\"\nflush_interval = \"200ms\"\n";
  return path;
}

std::string rated_lines(std::uint64_t from, std::uint64_t to) {
  std::string made;
  for (std::uint64_t id = from; id < to; ++id) {
    const std::string n = std::to_string(id);
    made += R"({"id":"e)" + n + R"(","user":"u)" + std::to_string(id % 17) + R"(","item":)" +
            std::to_string(id % 23) + R"(,"rating":)" + std::to_string(1 + id % 5) + "}\n";
  }
  return made;
}

/// First batch of the sample log's oldest file.
std::uint64_t oldest_sample(const std::string& state) {
  std::uint64_t oldest = UINT64_MAX;  // no file yet: as if from 1
  for (const auto& file : std::filesystem::directory_iterator(state + "/samples/events#1"))
    oldest = std::min<std::uint64_t>(oldest, std::stoull(file.path().stem().string()));
  return oldest == UINT64_MAX ? 1 : oldest;
}

std::string weights_of(const std::string& state) {
  const auto read =
      run_program({headrace_binary(), "inspect", "digest", "--state", state, "--json"}, patience);
  EXPECT_EQ(read.status, 0) << read.errors << read.output;
  return json_field(read.output, "digest_weights");
}

TEST_F(LogOfALiveJob, SamplesThatRowsHoldGoAndAKilledRunLearnsTheSame) {
  const auto seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::cout << "HEADRACE_SEED=" << seed << "\n";
  random_stream random(seed);
  const std::string job = small_log_job(folder_);
  const std::string state = folder_ / "killed";
  std::uint64_t events = 0;
  for (int kill = 0; kill < by_weight(3, 15); ++kill) {
    live_run run(job, state);
    ASSERT_NE(run.url, "") << run.process.errors();
    const std::uint64_t before = oldest_sample(state);
    const auto deadline = std::chrono::steady_clock::now() + patience;
    do {
      post(run.url, rated_lines(events, events + 400), folder_);
      events += 400;
    } while (oldest_sample(state) <= before && std::chrono::steady_clock::now() < deadline);
    ASSERT_GT(oldest_sample(state), before) << "nothing was given up";
    const std::string file = folder_ / "killed.lines";
    std::ofstream(file) << rated_lines(events, events + 400);  // and again, in the next run
    child_process curl(
        {"/usr/bin/curl", "-sS", "--max-time", "20", "--data-binary", "@" + file, run.url});
    static_cast<void>(curl.wait_for(std::chrono::milliseconds(random.next_below(30))));
    run.process.signal(SIGKILL);
    EXPECT_EQ(run.process.wait_for(patience), 128 + SIGKILL);
  }
  live_run last(job, state);
  ASSERT_NE(last.url, "") << last.process.errors();
  post(last.url, rated_lines(events, events + 400), folder_);
  last.interrupt();

  const std::string calm = folder_ / "calm";
  live_run once(job, calm);
  ASSERT_NE(once.url, "") << once.process.errors();
  post(once.url, rated_lines(0, events + 400), folder_);
  once.interrupt();
  EXPECT_EQ(weights_of(state), weights_of(calm)) << events + 400 << " events";
}

}  // namespace
}  // namespace headrace::tests
