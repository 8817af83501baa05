#include "base/random.hpp"
#include "schemas/hash.hpp"
#include "schemas/sample.hpp"
#include "storage/segment_log.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/small_job.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>

/// `headrace run` of a job whose events are pushed: what a producer sees, and what is learned.
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 120s;

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

/// What a run under fire is given: impressions by number, a click for every third.
class clicked_stream {
 public:
  static std::string lines(std::uint64_t from, std::uint64_t to) {
    std::string made;
    for (std::uint64_t id = from; id < to; ++id) {
      const std::string n = std::to_string(id);
      const std::string shown = std::to_string(start_ms + id);
      made += R"({"id":"i)" + n + R"(","key":"k)" + n + R"(","time":)" + shown +
              R"(,"features":{"user":"u)" + std::to_string(id % 17) + R"(","item":"i)" + n +
              "\"}}\n";
      if (id % 3 == 0)
        made += R"({"id":"c)" + n + R"(","key":"k)" + n + R"(","time":)" + shown +
                R"(,"action":"click"})" + "\n";
    }
    return made;
  }
  /// Ends every window: an impression three hours later, which is not joined itself.
  static std::string closer(std::uint64_t behind) {
    return R"({"id":"closer","key":"closer","time":)" +
           std::to_string(start_ms + behind + 10'800'000) +
           R"(,"features":{"user":"u","item":"closer"}})" + "\n";
  }

 private:
  static constexpr std::uint64_t start_ms = 1'760'000'000'000;
};

/// Label of each sealed sample by its item's key; a sample that is there twice fails the test.
std::map<std::uint64_t, float> sealed_labels(const std::string& state) {
  storage::segment_log::options how;
  how.folder = state + "/samples/events#1";
  how.read_only = true;
  auto log = storage::segment_log::open(how);
  EXPECT_TRUE(log) << describe(log.error());
  std::map<std::uint64_t, float> labels;
  std::uint64_t next_row = 0;
  auto read = (*log)->read_from(lsn{1}, [&](const storage::log_record& record) {
    const auto batch = schemas::decode_sample_batch(record.payload);
    EXPECT_TRUE(batch) << describe(batch.error());
    for (std::uint32_t i = 0; i < batch->samples; ++i) {
      EXPECT_EQ(batch->row_numbers[i], next_row++);
      const bool is_new = labels.emplace(batch->keys[i * 2 + 1], batch->labels[i]).second;
      EXPECT_TRUE(is_new) << "sample " << batch->row_numbers[i] << " was sealed before";
    }
    return true;
  });
  EXPECT_TRUE(read) << describe(read.error());
  return labels;
}

// Pushes more and more events, all that are not acknowledged again and again, to runs that are
// killed at a random moment of a push. Returns how many events there are.
std::uint64_t push_under_fire(const std::string& job,
                              const std::string& state,
                              const temporary_folder& folder,
                              random_stream& random,
                              std::uint64_t kept = 0,  // events below are acknowledged
                              std::uint64_t at_once = 200) {
  std::uint64_t next = kept;
  for (int kill = 0; kill < by_weight(6, 50); ++kill) {
    live_run run(job, state);
    EXPECT_NE(run.url, "") << run.process.errors();
    for (auto pushes = 1 + random.next_below(5); pushes > 0; --pushes) {
      next = std::max(next, kept + 1 + random.next_below(at_once));
      const std::string file = folder / "killed";
      std::ofstream(file) << clicked_stream::lines(kept, next);
      child_process curl({"/usr/bin/curl",
                          "-sS",
                          "--max-time",
                          "20",
                          "-w",
                          " status=%{http_code}",
                          "--data-binary",
                          "@" + file,
                          run.url});
      if (pushes == 1) {
        static_cast<void>(curl.wait_for(std::chrono::milliseconds(random.next_below(20))));
        run.process.signal(SIGKILL);
      }
      static_cast<void>(curl.wait_for(patience));
      if (curl.output().find("status=200") != std::string::npos) kept = next;
    }
    EXPECT_EQ(run.process.wait_for(patience), 128 + SIGKILL);
  }
  live_run run(job, state);
  EXPECT_NE(run.url, "") << run.process.errors();
  const auto rest =
      post(run.url, clicked_stream::lines(kept, next) + clicked_stream::closer(next), folder);
  EXPECT_NE(rest.output.find("status=200"), std::string::npos) << rest.output;
  run.interrupt();
  return next;
}

// Every impression is there once, every third with a click.
void expect_all_joined(const std::string& state, std::uint64_t events) {
  const auto labels = sealed_labels(state);
  for (std::uint64_t id = 0; id < events; ++id) {
    const auto found =
        labels.find(schemas::hash_string_key("item", "i" + std::to_string(id)).value);
    ASSERT_NE(found, labels.end()) << "event " << id << " of " << events << " was lost";
    ASSERT_EQ(found->second, id % 3 == 0 ? 1.0F : 0.0F) << "event " << id;
  }
  EXPECT_EQ(labels.size(), events) << "the closer's window is open";
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
  const std::uint64_t events = push_under_fire(job, folder_ / "state", folder_, random);
  expect_all_joined(folder_ / "state", events);
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
  std::string figures;
  {
    live_run run(job, folder_ / "state");
    ASSERT_NE(run.url, "") << run.process.errors();
    const auto first = post(run.url, clicked_stream::lines(0, 3'000), folder_);
    ASSERT_NE(first.output.find("status=200"), std::string::npos) << first.output;
    const std::string status_url = run.url.substr(0, run.url.find("/v1/")) + "/v1/status";
    const auto deadline = std::chrono::steady_clock::now() + patience;
    do {
      figures = run_program({"/usr/bin/curl", "-sS", status_url}, patience).output;
    } while (json_field(figures, "impressions") != "3000" &&
             std::chrono::steady_clock::now() < deadline);
    run.process.signal(SIGKILL);
    EXPECT_EQ(run.process.wait_for(patience), 128 + SIGKILL);
  }
  EXPECT_EQ(json_field(figures, "impressions"), "3000") << figures;
  EXPECT_GT(std::stoull("0" + json_field(figures, "spilled_most")), 0U) << figures;
  EXPECT_LE(std::stoull("0" + json_field(figures, "payload_bytes_most")), memory * 3 / 2)
      << figures;
  const std::uint64_t events =
      push_under_fire(job, folder_ / "state", folder_, random, 3'000, 1'000);
  expect_all_joined(folder_ / "state", events);
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
