#include "tests/support/child_process.hpp"
#include "tests/support/serving.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <fstream>

/// `headrace server` and `headrace worker` over TCP against `headrace run`: the same objects, the
/// same figures.
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 180s;

std::string fm_job(const temporary_folder& folder) {
  const std::string path = folder / "pair.toml";
  std::ofstream(path)
      << "[job]\nname = \"pair\"\n[source]\nuri = \"generate:planted\"\nrows = 20000\n"
         "[model]\narch = \"fm\"\ndim = 4\n[train]\nbatch_max = 16\nin_flight = 1\n"
         "[shards]\ncount = 4\n[durability]\nlog = \"os\"\nkeep_log = \"all\"\n";
  return path;
}

finished work(const std::string& job, const std::string& state, const std::string& endpoint) {
  return run_program(
      {headrace_binary(), "worker", job, "--state", state, "--connect", endpoint, "--json"},
      patience);
}

double number(const finished& ended, const std::string& key) {
  const std::string text = json_field(ended.output, key);
  return text.empty() || text == "null" ? -1.0 : std::stod(text);
}

TEST(TwoProcesses, LearnWhatOneProcessLearns) {
  const temporary_folder folder;
  const std::string job = fm_job(folder);
  const auto one =
      run_program({headrace_binary(), "run", job, "--state", folder / "one", "--json"}, patience);
  ASSERT_EQ(one.status, 0) << one.errors;
  serving server(job, folder / "server");
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  const auto two = work(job, folder / "worker", server.endpoint);
  ASSERT_EQ(two.status, 0) << two.errors;
  server.process.signal(SIGTERM);
  EXPECT_EQ(server.process.wait_for(patience), 0) << server.process.errors();
  EXPECT_EQ(number(two, "samples"), 20'000);
  EXPECT_NEAR(number(two, "auc"), number(one, "auc"), 0.005);
  EXPECT_NEAR(number(two, "auc_second_half"), number(one, "auc_second_half"), 0.005);
  EXPECT_NEAR(number(two, "auc_frozen_second_half"), number(one, "auc_frozen_second_half"), 0.005);
}

TEST(TwoProcesses, AServerKilledInTheMiddleCostsNothing) {
  const temporary_folder folder;
  const std::string job = fm_job(folder);
  auto server = std::make_unique<serving>(job, folder / "server");
  ASSERT_NE(server->endpoint, "") << server->process.errors();
  const std::string endpoint = server->endpoint;
  child_process worker({headrace_binary(),
                        "worker",
                        job,
                        "--state",
                        folder / "worker",
                        "--connect",
                        endpoint,
                        "--json",
                        "--set",
                        "source.duration=8s"});
  ASSERT_FALSE(worker.wait_for(2s).has_value()) << worker.errors();
  server->process.signal(SIGKILL);
  ASSERT_EQ(server->process.wait_for(patience), 128 + SIGKILL);
  server = std::make_unique<serving>(job, folder / "server", endpoint);
  ASSERT_EQ(server->endpoint, endpoint) << server->process.errors();
  ASSERT_EQ(worker.wait_for(patience), 0) << worker.errors();
  EXPECT_EQ(json_field(worker.output(), "samples"), "20000");
  server->process.signal(SIGTERM);
  ASSERT_EQ(server->process.wait_for(patience), 0);
  const auto inspected = run_program(
      {headrace_binary(), "inspect", "digest", "--state", folder / "server", "--json"}, patience);
  EXPECT_EQ(inspected.status, 0) << inspected.output << inspected.errors;
  EXPECT_EQ(json_field(inspected.output, "gaps"), "0");
  EXPECT_EQ(json_field(inspected.output, "duplicates"), "0");
  EXPECT_EQ(json_field(inspected.output, "digest_tables"),
            json_field(inspected.output, "digest_replayed"));
}

TEST(TwoProcesses, AWorkerOfAnotherJobIsTurnedAway) {
  const temporary_folder folder;
  const std::string job = fm_job(folder);
  serving server(job, folder / "server");
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  const auto other = run_program({headrace_binary(),
                                  "worker",
                                  job,
                                  "--state",
                                  folder / "worker",
                                  "--connect",
                                  server.endpoint,
                                  "--json",
                                  "--set",
                                  "model.dim=8"},
                                 patience);
  EXPECT_EQ(other.status, 1);
  EXPECT_EQ(other.output, "");
  EXPECT_NE(other.errors.find("different job files"), std::string::npos) << other.errors;
  server.process.signal(SIGTERM);
  EXPECT_EQ(server.process.wait_for(patience), 0);
}

}  // namespace
}  // namespace headrace::tests
