#include "base/random.hpp"
#include "tests/support/child_process.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <fstream>

/// `headrace run` of a job whose events are pushed: what a producer sees, and what is learned.
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 120s;

std::string live_job(const temporary_folder& folder, const std::string& more = {}) {
  const std::string path = folder / "live.toml";
  std::ofstream(path) << "[job]\nname = \"live\"\n[source]\nuri = \"http://127.0.0.1:0\"\n"
                      << (more.find("[join]") == std::string::npos ? "label = \"rating >= 4\"\n"
                                                                   : "")
                      << "[features.user]\n[features.item]\n[model]\narch = \"fm\"\ndim = 4\n"
                      << "[train]\nbatch_max = 64\n[durability]\nlog = \"os\"\n"
                      << "[server]\nlisten = \"tcp://127.0.0.1:0\"\n"
                      << more;
  return path;
}

/// `headrace run` as a process, and where it takes events.
struct live_run {
  live_run(const std::string& job, const std::string& state, std::vector<std::string> more = {})
      : process(arguments(job, state, std::move(more))) {
    if (!process.wait_for_text("/v1/events", patience)) return;
    const std::string said = process.errors();
    const auto from = said.find("http://127.0.0.1:");
    url = said.substr(from, said.find('"', from) - from);
  }
  static std::vector<std::string> arguments(const std::string& job,
                                            const std::string& state,
                                            std::vector<std::string> more) {
    std::vector<std::string> made{headrace_binary(), "run", job, "--state", state, "--json"};
    made.insert(made.end(), more.begin(), more.end());
    return made;
  }
  /// Ends it with Ctrl-C and returns its line.
  std::string interrupt() {
    process.signal(SIGINT);
    EXPECT_EQ(process.wait_for(patience), 0) << process.errors();
    return process.output();
  }
  child_process process;
  std::string url;
};

finished post(const std::string& url, const std::string& body, const temporary_folder& folder) {
  const std::string file = folder / "body";
  std::ofstream(file) << body;
  return run_program({"/usr/bin/curl",
                      "-sS",
                      "--max-time",
                      "20",
                      "-w",
                      " status=%{http_code}",
                      "--data-binary",
                      "@" + file,
                      url},
                     patience);
}

std::string event_line(std::uint64_t id) {
  const std::string n = std::to_string(id);
  return R"({"id":"e)" + n + R"(","features":{"user":"u)" + std::to_string(id % 17) +
         R"(","item":)" + std::to_string(id % 23) + R"(},"rating":)" + std::to_string(1 + id % 5) +
         "}\n";
}

bool has_curl() { return std::filesystem::exists("/usr/bin/curl"); }

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

// A producer that sends again what was not acknowledged; a run that is killed at random moments.
TEST_F(LiveRun, AKilledRunLosesNothingAndDoublesNothing) {
  const auto seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  random_stream random(seed);
  const std::string job = live_job(folder_);
  std::uint64_t next = 0;
  std::uint64_t kept = 0;  // events below are acknowledged
  for (int round = 0; round < 6; ++round) {
    live_run run(job, folder_ / "state");
    ASSERT_NE(run.url, "") << run.process.errors();
    const auto pushes = 1 + random.next_below(6);
    for (std::uint64_t push = 0; push < pushes; ++push) {
      std::string lines;
      next = kept + 1 + random.next_below(200);
      for (std::uint64_t id = kept; id < next; ++id) lines += event_line(id);
      const bool last = push + 1 == pushes;
      const std::string file = folder_ / "killed";
      std::ofstream(file) << lines;
      child_process curl({"/usr/bin/curl",
                          "-sS",
                          "--max-time",
                          "20",
                          "-w",
                          " status=%{http_code}",
                          "--data-binary",
                          "@" + file,
                          run.url});
      if (last) run.process.signal(SIGKILL);
      curl.wait_for(patience);
      if (curl.output().find("status=200") != std::string::npos) kept = next;
    }
    ASSERT_EQ(run.process.wait_for(patience), 128 + SIGKILL);
  }
  live_run run(job, folder_ / "state");
  ASSERT_NE(run.url, "") << run.process.errors();
  std::string lines;
  for (std::uint64_t id = kept; id < next; ++id) lines += event_line(id);
  if (kept < next) {
    const auto pushed = post(run.url, lines, folder_);
    ASSERT_NE(pushed.output.find("status=200"), std::string::npos) << pushed.output;
  }
  EXPECT_EQ(json_field(run.interrupt(), "samples"), std::to_string(next));
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
