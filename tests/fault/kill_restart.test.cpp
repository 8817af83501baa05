#include "base/random.hpp"
#include "tests/support/child_process.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <iostream>
#include <thread>

/// kill -9 at random moments of a run, each followed by a restart: what was acknowledged is there
/// exactly once afterwards (promises 1 and 2 of the design).
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;

constexpr int kills = 20;

std::string write_job(const temporary_folder& folder,
                      const std::string& name,
                      const std::string& model) {
  const std::string path = folder / (name + ".toml");
  std::ofstream(path)
      << "[job]\nname = \"" << name << "\"\n"
      << "[source]\nuri = \"generate:planted\"\nrows = 24000\nduration = \"10s\"\n"
      << model << "[train]\nbatch_max = 8\nbatch_wait = \"1ms\"\nin_flight = 2\npush = \"fp32\"\n"
      << "[shards]\ncount = 4\n[durability]\nlog = \"os\"\nflush_interval = \"300ms\"\n";
  return path;
}

finished run_to_end(const std::string& job, const std::string& state, bool paced) {
  std::vector<std::string> arguments{headrace_binary(), "run", job, "--state", state, "--json"};
  if (!paced) arguments.insert(arguments.end(), {"--speed", "max"});
  return run_program(std::move(arguments), 120s);
}

std::string inspect_digest(const std::string& state) {
  const auto inspected =
      run_program({headrace_binary(), "inspect", "digest", "--state", state, "--json"}, 60s);
  EXPECT_EQ(inspected.status, 0) << inspected.errors;
  return inspected.output;
}

// Runs, kills and restarts; then lets the run come to its end.
void run_under_fire(const std::string& job, const std::string& state, random_stream& draw) {
  int killed = 0;
  for (int attempt = 0; attempt < 3 * kills && killed < kills; ++attempt) {
    child_process run({headrace_binary(), "run", job, "--state", state, "--json"});
    const auto life = std::chrono::milliseconds(20 + draw.next_below(600));
    if (const auto ended = run.wait_for(life)) {
      ASSERT_EQ(*ended, 0) << run.errors();
      break;
    }
    run.signal(SIGKILL);
    ASSERT_EQ(run.wait_for(10s), 128 + SIGKILL);
    ++killed;
  }
  ASSERT_GE(killed, kills) << "the run ended before it could be killed often enough";
  const auto last = run_to_end(job, state, false);
  ASSERT_EQ(last.status, 0) << last.errors;
}

void expect_exactly_once(const std::string& inspected) {
  EXPECT_EQ(json_field(inspected, "gaps"), "0") << inspected;
  EXPECT_EQ(json_field(inspected, "duplicates"), "0") << inspected;
  EXPECT_EQ(json_field(inspected, "voids"), "0") << inspected;
  EXPECT_EQ(json_field(inspected, "batches"), json_field(inspected, "sealed")) << inspected;
  EXPECT_NE(json_field(inspected, "digest_tables"), "") << inspected;
  EXPECT_EQ(json_field(inspected, "digest_tables"), json_field(inspected, "digest_replayed"))
      << inspected;
}

TEST(KillRestart, IntegerSumsEqualThoseOfARunNeverKilled) {
  const auto seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::cout << "HEADRACE_SEED=" << seed << "\n";
  random_stream draw(seed);
  const temporary_folder folder;
  const std::string job = write_job(folder, "counts", "[model]\narch = \"count\"\n");
  const auto calm = run_to_end(job, folder / "calm", false);
  ASSERT_EQ(calm.status, 0) << calm.errors;
  run_under_fire(job, folder / "fire", draw);
  if (HasFatalFailure()) return;
  const std::string expected = inspect_digest(folder / "calm");
  const std::string inspected = inspect_digest(folder / "fire");
  expect_exactly_once(expected);
  expect_exactly_once(inspected);
  EXPECT_EQ(json_field(inspected, "digest_weights"), json_field(expected, "digest_weights"));
}

TEST(KillRestart, TablesEqualAReplayOfTheirOwnLog) {
  const auto seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::cout << "HEADRACE_SEED=" << seed << "\n";
  random_stream draw(seed + 1);
  const temporary_folder folder;
  const std::string job = write_job(folder, "gradients", "[model]\narch = \"fm\"\ndim = 4\n");
  run_under_fire(job, folder / "fire", draw);
  if (HasFatalFailure()) return;
  expect_exactly_once(inspect_digest(folder / "fire"));
}

}  // namespace
}  // namespace headrace::tests
