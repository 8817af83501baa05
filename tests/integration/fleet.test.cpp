#include "base/random.hpp"
#include "tests/integration/live_run.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/serving.hpp"
#include "tests/support/small_job.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

/// `headrace ingest`, `headrace server` and `headrace worker` as three processes: the samples and
/// the tables are those of `headrace run`, whoever is killed meanwhile.
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = live_patience;

struct digests {
  std::string samples;
  std::string set;
  std::string order;
  friend bool operator==(const digests&, const digests&) = default;
};
std::ostream& operator<<(std::ostream& out, const digests& one) {
  return out << one.samples << " samples, set " << one.set << ", order " << one.order;
}

digests samples_of(const std::string& state) {
  const auto said =
      run_program({headrace_binary(), "inspect", "samples", "--state", state, "--json"}, patience);
  return {json_field(said.output, "samples"),
          json_field(said.output, "set"),
          json_field(said.output, "order")};
}

class Fleet : public testing::Test {
 protected:
  // `more` begins with keys of [train].
  std::string job(const std::string& source, const std::string& more) {
    std::string path = folder_ / "fleet.toml";
    std::ofstream(path) << "[job]\nname = \"fleet\"\n[server]\nlisten = \"tcp://127.0.0.1:0\"\n"
                        << "[source]\n"
                        << source << "[train]\nin_flight = 1\n"
                        << more;
    return path;
  }
  static constexpr const char* joining =
      "[join]\nactions = \"click\"\nwindow = \"1h\"\nout_of_order = \"1h\"\n"
      "[durability]\nlog = \"os\"\nkeep_log = \"all\"\nflush_interval = \"300ms\"\n";
  static constexpr const char* pushed =
      "uri = \"http://127.0.0.1:0\"\n[features.user]\n[features.item]\n";

  std::string address() const { return "ipc://" + folder_.path() + "/samples"; }
  std::vector<std::string> listening() const { return {"--listen", address()}; }
  std::vector<std::string> worker_arguments(const std::string& job,
                                            const std::string& server,
                                            std::vector<std::string> more = {}) const {
    std::vector<std::string> made{headrace_binary(),
                                  "worker",
                                  job,
                                  "--state",
                                  folder_ / "worker",
                                  "--connect",
                                  server,
                                  "--ingest",
                                  address(),
                                  "--json"};
    made.insert(made.end(), more.begin(), more.end());
    return made;
  }
  // What `run` learned and what the fleet did.
  void expect_the_same_tables() {
    std::string why;
    const std::string one = audited(folder_ / "one", why);
    ASSERT_NE(one, "") << why;
    const std::string three = audited(folder_ / "server", why);
    ASSERT_NE(three, "") << why;
    EXPECT_EQ(json_field(three, "digest_tables"), json_field(one, "digest_tables"));
    EXPECT_EQ(json_field(three, "rows"), json_field(one, "rows"));
  }

  temporary_folder folder_;
};

// Adds are exact: what a batch that was learned on half of the shards adds to the others doesn't
// depend on the first half.
TEST_F(Fleet, LearnsOfAFileWhatOneProcessLearnsThoughItsWorkerIsKilled) {
  const std::string file = job("uri = \"generate:planted\"\nrows = 6000\n",
                               "batch_max = 16\npush = \"fp32\"\n[model]\narch = \"count\"\n"
                               "[durability]\nlog = \"os\"\nkeep_log = \"all\"\n");
  const auto one =
      run_program({headrace_binary(), "run", file, "--state", folder_ / "one", "--json"}, patience);
  ASSERT_EQ(one.status, 0) << one.errors;
  serving server(file, folder_ / "server");
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  child_process ingest({headrace_binary(),
                        "ingest",
                        file,
                        "--state",
                        folder_ / "ingest",
                        "--listen",
                        address(),
                        "--set",
                        "source.duration=1s"});
  ASSERT_TRUE(ingest.wait_for_text("listening on", patience)) << ingest.errors();
  {
    child_process killed(worker_arguments(file, server.endpoint));
    ASSERT_FALSE(killed.wait_for(500ms).has_value()) << killed.errors();
    killed.signal(SIGKILL);
    ASSERT_EQ(killed.wait_for(patience), 128 + SIGKILL);
  }
  const auto worked = run_program(worker_arguments(file, server.endpoint), patience);
  ASSERT_EQ(worked.status, 0) << worked.errors;
  const auto again = run_program(worker_arguments(file, server.endpoint), patience);
  EXPECT_EQ(again.status, 0) << again.errors << " nothing is new";
  ingest.signal(SIGINT);
  EXPECT_EQ(ingest.wait_for(patience), 0) << ingest.errors();
  server.process.signal(SIGTERM);
  EXPECT_EQ(server.process.wait_for(patience), 0);
  EXPECT_EQ(samples_of(folder_ / "ingest"), samples_of(folder_ / "one"));
  expect_the_same_tables();
}

TEST_F(Fleet, LearnsOfPushedEventsWhatOneProcessLearns) {
  if (!has_curl()) GTEST_SKIP() << "no curl: ./dev setup peers";
  const std::string file =
      job(pushed,
          std::string("batch_max = 64\nbatch_wait = \"1m\"\n[model]\narch = \"fm\"\ndim = 4\n") +
              joining);
  constexpr std::uint64_t impressions = 640;
  std::string lines;
  for (const auto& line : clicked_stream(impressions)) lines += line;
  live_run one(file, folder_ / "one");
  ASSERT_NE(one.url, "") << one.process.errors();
  ASSERT_NE(post(one.url, lines, folder_).output.find("status=200"), std::string::npos);
  EXPECT_EQ(json_field(one.interrupt(), "samples"), std::to_string(impressions));

  serving server(file, folder_ / "server");
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  live_run ingest(file, folder_ / "ingest", listening(), "ingest");
  ASSERT_NE(ingest.url, "") << ingest.process.errors();
  const auto other =
      run_program(worker_arguments(file, server.endpoint, {"--set", "join.window=2h"}), patience);
  EXPECT_EQ(other.status, 1);
  EXPECT_NE(other.errors.find("another join"), std::string::npos) << other.errors;
  child_process worker(worker_arguments(file, server.endpoint));
  ASSERT_TRUE(ingest.process.wait_for_text("samples.asked", patience)) << worker.errors();
  ASSERT_NE(post(ingest.url, lines, folder_).output.find("status=200"), std::string::npos);
  ingest.interrupt();  // ends when the worker has learned everything
  worker.signal(SIGINT);
  ASSERT_EQ(worker.wait_for(patience), 0) << worker.errors();
  EXPECT_EQ(json_field(worker.output(), "samples"), std::to_string(impressions));
  server.process.signal(SIGTERM);
  EXPECT_EQ(server.process.wait_for(patience), 0);
  expect_all_joined(folder_ / "ingest", impressions);
  EXPECT_EQ(samples_of(folder_ / "ingest"), samples_of(folder_ / "one"));
  expect_the_same_tables();
}

// Names in the tables below docs/metrics.md's headings that begin so, and whether every job has it.
std::map<std::string, bool> documented(const std::vector<std::string>& headings) {
  std::ifstream page(std::filesystem::path(__FILE__).parent_path().parent_path().parent_path() /
                     "docs/metrics.md");
  std::map<std::string, bool> names;
  bool wanted = false;
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("#")) {
      wanted = std::ranges::any_of(
          headings, [&](const auto& heading) { return line.starts_with("### " + heading); });
    }
    if (!wanted || !line.starts_with("| `headrace_")) continue;
    const auto of = line.find('|', line.find('|', 1) + 1) + 1;
    const auto cell = line.substr(of, line.find('|', of) - of);
    names[line.substr(3, line.find('`', 3) - 3)] =
        cell.find_first_not_of(' ') == std::string::npos || cell == " a join ";
  }
  return names;
}

// What a process serves once it is ready, where its log says.
std::set<std::string> served(const child_process& process) {
  const std::string said = process.errors();
  const auto from = said.find("http://", said.find("telemetry.listening"));
  const std::string metrics = said.substr(from, said.find('"', from) - from);
  const std::string base = metrics.substr(0, metrics.rfind('/'));
  const auto ready =
      run_program({"/usr/bin/curl", "-sS", "--fail", "--retry", "60", base + "/readyz"}, patience);
  EXPECT_EQ(ready.status, 0) << ready.errors;
  std::set<std::string> names;
  std::istringstream page(run_program({"/usr/bin/curl", "-sS", metrics}, patience).output);
  for (std::string line; std::getline(page, line);) {
    if (line.starts_with("# TYPE ")) names.insert(line.substr(7, line.find(' ', 7) - 7));
  }
  return names;
}

void expect_as_documented(const child_process& process, const std::vector<std::string>& headings) {
  const auto names = served(process);
  const auto known = documented(headings);
  EXPECT_GE(known.size(), 15U) << headings.back();
  for (const auto& name : names) EXPECT_TRUE(known.contains(name)) << name << " is not documented";
  for (const auto& [name, is_of_every_job] : known) {
    EXPECT_TRUE(!is_of_every_job || names.contains(name)) << name << " is documented, not served";
  }
}

TEST_F(Fleet, EachProcessServesTheSeriesThatAreDocumented) {
  if (!has_curl()) GTEST_SKIP() << "no curl: ./dev setup peers";
  const std::string file = job(pushed,
                               std::string("batch_max = 64\n[model]\narch = \"fm\"\ndim = 4\n") +
                                   joining + "[telemetry]\nhttp = \"http://127.0.0.1:0\"\n");
  std::string lines;
  for (const auto& line : clicked_stream(200)) lines += line;
  live_run one(file, folder_ / "one");
  ASSERT_TRUE(one.process.wait_for_text("telemetry.listening", patience)) << one.process.errors();
  ASSERT_NE(post(one.url, lines, folder_).output.find("status=200"), std::string::npos);
  expect_as_documented(
      one.process,
      {"Every process", "Where it trains", "Where shards are", "Where events come live"});
  one.interrupt();

  serving server(file, folder_ / "server");
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  expect_as_documented(server.process, {"Every process", "Where shards are"});
  live_run ingest(file, folder_ / "ingest", listening(), "ingest");
  ASSERT_NE(ingest.url, "") << ingest.process.errors();
  child_process worker(
      worker_arguments(file, server.endpoint, {"--metrics", "http://127.0.0.1:0"}));
  ASSERT_TRUE(worker.wait_for_text("telemetry.listening", patience)) << worker.errors();
  expect_as_documented(worker, {"Every process", "Where it trains"});
  ASSERT_TRUE(ingest.process.wait_for_text("samples.asked", patience)) << ingest.process.errors();
  expect_as_documented(ingest.process,
                       {"Every process", "Where events come live", "Where samples are sealed"});
  worker.signal(SIGINT);
  EXPECT_EQ(worker.wait_for(patience), 0) << worker.errors();
}

/// A worker that is killed and started again, until it is told to let one live.
class killed_worker {
 public:
  killed_worker(std::vector<std::string> arguments, std::uint64_t seed)
      : arguments_(std::move(arguments)), random_(seed), thread_([this] { run(); }) {}
  ~killed_worker() { static_cast<void>(let_live()); }

  int kills() const { return kills_; }
  /// The one that runs now.
  child_process& let_live() {
    stopping_ = true;
    if (thread_.joinable()) thread_.join();
    return *running_;
  }

 private:
  void run() {
    running_ = std::make_unique<child_process>(arguments_);
    while (!stopping_) {
      const auto ended = running_->wait_for(std::chrono::milliseconds(random_.next_below(900)));
      if (stopping_ && !ended) return;
      if (!ended) {
        running_->signal(SIGKILL);
        EXPECT_EQ(running_->wait_for(patience), 128 + SIGKILL);
        ++kills_;
      }
      // Ended by itself: the ingest was away for longer than a start waits.
      running_ = std::make_unique<child_process>(arguments_);
    }
  }

  std::vector<std::string> arguments_;
  random_stream random_;
  std::unique_ptr<child_process> running_;
  std::atomic<bool> stopping_{false};
  std::atomic<int> kills_{0};
  std::thread thread_;
};

// The tables say whether each sample was learned once, whatever batches they came in.
TEST_F(Fleet, LosesNothingAndDoublesNothingThoughIngestAndWorkerAreKilled) {
  if (!has_curl()) GTEST_SKIP() << "no curl: ./dev setup peers";
  const auto seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::cout << "HEADRACE_SEED=" << seed << "\n";
  random_stream random(seed);
  const std::string file =
      job(pushed,
          std::string("batch_max = 64\npush = \"fp32\"\n[model]\narch = \"count\"\n") + joining);
  const int kills = by_weight(6, 50);
  const std::uint64_t impressions = static_cast<std::uint64_t>(kills + 1) * 300;
  const auto lines = clicked_stream(impressions);
  serving server(file, folder_ / "server");
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  int worker_kills = 0;
  {
    killed_worker worker(worker_arguments(file, server.endpoint), random.next());
    push_under_fire(file, folder_ / "ingest", {lines, kills, 200, "ingest", listening()}, random);
    worker_kills = worker.kills();
    if (HasFailure()) return;
    live_run last(file, folder_ / "ingest", listening(), "ingest");
    ASSERT_NE(last.url, "") << last.process.errors();
    child_process& learning = worker.let_live();
    ASSERT_TRUE(last.process.wait_for_text("samples.asked", patience))
        << last.process.errors() << learning.errors();
    last.interrupt();
    learning.signal(SIGINT);
    ASSERT_EQ(learning.wait_for(patience), 0) << learning.errors();
  }
  std::cout << kills << " kills of ingest, " << worker_kills << " of the worker\n";
  EXPECT_GT(worker_kills, 0);
  server.process.signal(SIGTERM);
  EXPECT_EQ(server.process.wait_for(patience), 0);
  expect_all_joined(folder_ / "ingest", impressions);

  live_run one(file, folder_ / "one");
  ASSERT_NE(one.url, "") << one.process.errors();
  std::string all;
  for (const auto& line : lines) all += line;
  ASSERT_NE(post(one.url, all, folder_).output.find("status=200"), std::string::npos);
  one.interrupt();
  std::string why;
  const std::string expected = audited(folder_ / "one", why);
  ASSERT_NE(expected, "") << why;
  const std::string learned = audited(folder_ / "server", why);
  ASSERT_NE(learned, "") << why;
  EXPECT_EQ(json_field(learned, "digest_weights"), json_field(expected, "digest_weights"));
}

}  // namespace
}  // namespace headrace::tests
