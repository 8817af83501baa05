#include "base/random.hpp"
#include "tests/integration/live_run.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/small_job.hpp"

#include <gtest/gtest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <span>
#include <string>
#include <vector>

/// `headrace run` of a job whose events are pushed: what a producer sees, and what is learned.
namespace headrace::tests {
namespace {

constexpr auto patience = live_patience;

// `more` begins with keys of [durability].
std::string live_job(const temporary_folder& folder,
                     const std::string& more = {},
                     const std::string& arch = "fm") {
  const std::string path = folder / "live.toml";
  const bool joins = more.find("[join]") != std::string::npos;
  std::ofstream(path) << "[job]\nname = \"live\"\n[server]\nlisten = \"tcp://127.0.0.1:0\"\n"
                      << "[source]\nuri = \"http://127.0.0.1:0\"\n"
                      << (joins ? "" : "label = \"rating >= 4\"\n")
                      << "[features.user]\n[features.item]\n[model]\narch = \"" << arch << "\"\n"
                      << (arch == "count" ? "" : "dim = 4\n")
                      << "[train]\nbatch_max = 64\npush = \"fp32\"\n[durability]\nlog = \"os\"\n"
                      << more;
  return path;
}

std::string base_of(const live_run& run) { return run.url.substr(0, run.url.find("/v1/")); }

// With the token, if one is given; what was answered and " status=" with its code.
finished get(const std::string& url, const std::string& token = {}) {
  std::vector<std::string> words{
      "/usr/bin/curl", "-sS", "--max-time", "20", "-w", " status=%{http_code}", url};
  if (!token.empty()) words.insert(words.end(), {"-H", "Authorization: Bearer " + token});
  return run_program(words, patience);
}

std::string event_line(std::uint64_t id) {
  const std::string n = std::to_string(id);
  return R"({"id":"e)" + n + R"(","features":{"user":"u)" + std::to_string(id % 17) +
         R"(","item":)" + std::to_string(id % 23) + R"(},"rating":)" + std::to_string(1 + id % 5) +
         "}\n";
}

class LiveRun : public testing::Test {
 protected:
  void SetUp() override {
    if (!has_curl()) GTEST_SKIP() << "no curl: ./dev setup peers";
  }
  temporary_folder folder_;
};

TEST_F(LiveRun, LearnsWhatIsPushedAndSaysWhatIsWrong) {
  live_run run(live_job(folder_), folder_ / "state");
  ASSERT_NE(run.url, "") << run.process.errors();
  const auto one = post(run.url, event_line(0), folder_);
  EXPECT_NE(one.output.find("status=200"), std::string::npos) << one.output << one.errors;
  EXPECT_EQ(json_field(one.output, "accepted"), "1");
  std::string lines;
  for (std::uint64_t id = 1; id <= 300; ++id) lines += event_line(id);
  EXPECT_EQ(json_field(post(run.url, lines, folder_).output, "accepted"), "300");
  const auto again = post(run.url, lines, folder_);
  EXPECT_EQ(json_field(again.output, "duplicates"), "300") << again.output;
  const auto wrong =
      post(run.url, R"({"id":"w","features":{"user":"u"},"rating":"good"})", folder_);
  EXPECT_NE(wrong.output.find("status=400"), std::string::npos) << wrong.output;
  EXPECT_NE(wrong.output.find("rating"), std::string::npos) << wrong.output;
  const auto unreadable = post(run.url, "{\"id\":", folder_);
  EXPECT_NE(unreadable.output.find("status=400"), std::string::npos) << unreadable.output;

  const std::string status_url = run.url.substr(0, run.url.find("/v1/")) + "/v1/status";
  const auto status = run_program({"/usr/bin/curl", "-sS", status_url}, patience);
  EXPECT_EQ(json_field(status.output, "accepted"), "301") << status.output;
  EXPECT_EQ(json_field(status.output, "duplicates"), "300");
  EXPECT_EQ(json_field(status.output, "wrong_type"), "1");
  EXPECT_EQ(json_field(run.interrupt(), "samples"), "301");
}

TEST_F(LiveRun, TellsStrangersNothing) {
  const std::string tokens = folder_ / "tokens";
  std::ofstream(tokens) << "shop token-of-the-shop\n";
  std::filesystem::permissions(tokens, std::filesystem::perms::owner_read);
  live_run run(live_job(folder_,
                        "[gate]\ntoken_file = \"" + tokens +
                            "\"\n[join]\nactions = \"click\"\nwindow = \"1h\"\n"),
               folder_ / "state");
  ASSERT_NE(run.url, "") << run.process.errors();
  const std::string base = base_of(run);
  for (const std::string path : {"/v1/status", "/metrics"}) {
    for (const std::string token : {"", "token-of-nobody"}) {
      const auto refused = get(base + path, token);
      EXPECT_NE(refused.output.find("status=401"), std::string::npos) << path << refused.output;
      EXPECT_EQ(refused.output.find("accepted"), std::string::npos) << refused.output;
      EXPECT_EQ(refused.output.find("headrace_"), std::string::npos) << refused.output;
    }
  }
  EXPECT_NE(post(run.url, event_line(1), folder_).output.find("status=401"), std::string::npos);
  EXPECT_EQ(get(base + "/healthz").output, "{\"status\":\"ok\"}\n status=200");
  EXPECT_EQ(get(base + "/readyz").output, "{\"status\":\"ready\"}\n status=200");
  const auto status = get(base + "/v1/status", "token-of-the-shop");
  EXPECT_EQ(json_field(status.output, "unauthorized_batches"), "0") << status.output;
  EXPECT_EQ(json_field(status.output, "matched"), "0") << status.output;
  EXPECT_EQ(json_field(status.output, "spilled"), "0") << status.output;
  const auto metrics = get(base + "/metrics", "token-of-the-shop");
  EXPECT_NE(metrics.output.find("headrace_events_accepted_total 0"), std::string::npos)
      << metrics.output;
}

// Of a broker that is not there: the job waits for it, and says so.
TEST_F(LiveRun, SaysHowItGoesWhereNothingIsPushed) {
  const auto write_job = [&](const std::string& status) {
    const std::string path = folder_ / "feed.toml";
    std::ofstream(path) << "[job]\nname = \"feed\"\n[server]\nlisten = \"ipc://"
                        << folder_ / "server"
                        << "\"\n[source]\nuri = \"redis://127.0.0.1:1\"\n"
                        << "stream = \"clicks\"\nlabel = \"rating >= 4\"\n"
                        << status << "[features.user]\n[model]\narch = \"fm\"\ndim = 4\n";
    return path;
  };
  child_process run(
      {headrace_binary(), "run", write_job(""), "--state", folder_ / "state", "--json"});
  ASSERT_TRUE(run.wait_for_text("/v1/status", patience)) << run.errors();
  const std::string said = run.errors();
  const auto from = said.find("http://127.0.0.1:");
  const std::string base = said.substr(from, said.find("/v1/", from) - from);
  EXPECT_EQ(get(base + "/healthz").output, "{\"status\":\"ok\"}\n status=200");
  EXPECT_NE(get(base + "/metrics").output.find("headrace_events_accepted_total 0"),
            std::string::npos);
  EXPECT_NE(post(base + "/v1/events", event_line(1), folder_).output.find("status=404"),
            std::string::npos);
  const auto asked = run_program(
      {headrace_binary(), "status", write_job("status = \"" + base + "\"\n"), "--json"}, patience);
  EXPECT_EQ(asked.status, 0) << asked.errors;
  EXPECT_EQ(json_field(asked.output, "connected"), "false") << asked.output;
  EXPECT_EQ(json_field(asked.output, "accepted"), "0") << asked.output;
  run.signal(SIGINT);
  EXPECT_EQ(run.wait_for(patience), 0) << run.errors();
}

TEST_F(LiveRun, GoesOnWhereItEnded) {
  const std::string job = live_job(folder_);
  {
    live_run run(job, folder_ / "state");
    ASSERT_NE(run.url, "") << run.process.errors();
    std::string lines;
    for (std::uint64_t id = 0; id < 100; ++id) lines += event_line(id);
    EXPECT_EQ(json_field(post(run.url, lines, folder_).output, "accepted"), "100");
    EXPECT_EQ(json_field(run.interrupt(), "samples"), "100");
  }
  live_run run(job, folder_ / "state");
  ASSERT_NE(run.url, "") << run.process.errors();
  std::string lines;
  for (std::uint64_t id = 90; id < 120; ++id) lines += event_line(id);
  const auto pushed = post(run.url, lines, folder_);
  EXPECT_EQ(json_field(pushed.output, "accepted"), "20") << pushed.output;
  EXPECT_EQ(json_field(pushed.output, "duplicates"), "10");
  EXPECT_EQ(json_field(run.interrupt(), "samples"), "120");
}

// Joined in one go by anyone who has all the events: every impression once, every third clicked.
// Windows of hours, for the time between two runs is counted while nothing comes, and the events'
// own goes slower.
TEST_F(LiveRun, AKilledRunLosesNothingAndDoublesNothing) {
  const auto seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::cout << "HEADRACE_SEED=" << seed << "\n";
  random_stream random(seed);
  const std::string job =
      live_job(folder_,
               "keep_log = \"all\"\nflush_interval = \"300ms\"\n"
               "[join]\nactions = \"click\"\nwindow = \"1h\"\nout_of_order = \"1h\"\n",
               "count");
  const int kills = by_weight(6, 50);
  const std::uint64_t impressions = static_cast<std::uint64_t>(kills + 1) * 300;
  const auto lines = clicked_stream(impressions);
  push_under_fire(job, folder_ / "state", {lines, kills, 200}, random);
  expect_all_joined(folder_ / "state", impressions);
  std::string why;
  EXPECT_NE(audited(folder_ / "state", why), "") << why;
}

// The same with memory for fewer than a thousand impressions: the rest lies in the state folder,
// which every start empties of it.
TEST_F(LiveRun, AKilledRunThatSpillsLosesNothingAndDoublesNothing) {
  constexpr std::uint64_t memory = 65'536;
  const auto seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::cout << "HEADRACE_SEED=" << seed << "\n";
  random_stream random(seed);
  const std::string job =
      live_job(folder_,
               "keep_log = \"all\"\nflush_interval = \"300ms\"\n"
               "[join]\nactions = \"click\"\nwindow = \"1h\"\nout_of_order = \"1h\"\n"
               "memory = " +
                   std::to_string(memory) + "\n",
               "count");
  constexpr std::uint64_t held = 3'000;  // impressions that wait at once
  const int kills = by_weight(6, 12);
  const std::uint64_t impressions = held + static_cast<std::uint64_t>(kills + 1) * 300;
  const auto lines = clicked_stream(impressions);
  const std::span first = std::span(lines).first(held + held / 3);  // their clicks, too
  std::string figures;
  {
    live_run run(job, folder_ / "state");
    ASSERT_NE(run.url, "") << run.process.errors();
    std::string body;
    for (const std::string& line : first) body += line;
    const auto pushed = post(run.url, body, folder_);
    ASSERT_NE(pushed.output.find("status=200"), std::string::npos) << pushed.output;
    const auto deadline = std::chrono::steady_clock::now() + patience;
    do {
      figures = get(base_of(run) + "/v1/status").output;
    } while (json_field(figures, "impressions") != "3000" &&
             std::chrono::steady_clock::now() < deadline);
    run.process.signal(SIGKILL);
    EXPECT_EQ(run.process.wait_for(patience), 128 + SIGKILL);
  }
  EXPECT_EQ(json_field(figures, "impressions"), "3000") << figures;
  EXPECT_GT(std::stoull("0" + json_field(figures, "spilled_most")), 0U) << figures;
  EXPECT_LE(std::stoull("0" + json_field(figures, "payload_bytes_most")), memory * 3 / 2)
      << figures;
  push_under_fire(
      job, folder_ / "state", {std::span(lines).subspan(first.size()), kills, 1'000}, random);
  expect_all_joined(folder_ / "state", impressions);
}

TEST_F(LiveRun, JoinsImpressionsWithTheirActions) {
  live_run run(live_job(folder_, "[join]\nactions = [\"click\", \"buy\"]\nwindow = \"2s\"\n"),
               folder_ / "state");
  ASSERT_NE(run.url, "") << run.process.errors();
  std::string lines;
  const std::uint64_t now =
      static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(
                                     std::chrono::system_clock::now().time_since_epoch())
                                     .count());
  for (int i = 0; i < 50; ++i) {
    const std::string n = std::to_string(i);
    lines += R"({"id":"i)" + n + R"(","key":"k)" + n + R"(","time":)" + std::to_string(now) +
             R"(,"features":{"user":"u1","item":"x"}})" + "\n";
    if (i % 2 == 0)
      lines += R"({"id":"a)" + n + R"(","key":"k)" + n + R"(","time":)" + std::to_string(now + 5) +
               R"(,"action":"click"})" + "\n";
  }
  const auto pushed = post(run.url, lines, folder_);
  EXPECT_EQ(json_field(pushed.output, "accepted"), "75") << pushed.output;
  EXPECT_NE(post(run.url, R"({"id":"x","key":"k","action":"like"})", folder_).output.find("like"),
            std::string::npos);
  // The windows end by the log's clock, for nothing else comes.
  const std::string status_url = run.url.substr(0, run.url.find("/v1/")) + "/v1/status";
  const auto deadline = std::chrono::steady_clock::now() + patience;
  std::string learned;
  do {
    learned =
        json_field(run_program({"/usr/bin/curl", "-sS", status_url}, patience).output, "samples");
  } while (learned != "50" && std::chrono::steady_clock::now() < deadline);
  EXPECT_EQ(learned, "50");
  EXPECT_EQ(json_field(run.interrupt(), "samples"), "50");
}

}  // namespace
}  // namespace headrace::tests
