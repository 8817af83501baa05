#include "base/random.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/serving.hpp"
#include "tests/support/small_job.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <iostream>
#include <memory>

/// kill -9 at random moments of a run, each followed by a restart: what was acknowledged is there
/// exactly once afterwards (promises 1 and 2 of the design).
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 180s;

int kills() { return by_weight(20, 100); }

// Long enough for all kills: a run that is killed goes on where it stood.
small_job paced_for_kills() {
  small_job job;
  job.duration = std::chrono::seconds(kills() / 2);
  return job;
}

// Runs, kills and restarts; then lets the run come to its end.
void run_under_fire(const std::string& job, const std::string& state, random_stream& draw) {
  int killed = 0;
  for (int attempt = 0; attempt < 3 * kills() && killed < kills(); ++attempt) {
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
  ASSERT_GE(killed, kills()) << "the run ended before it could be killed often enough";
  const auto last = calm_run(job, state);
  ASSERT_EQ(last.status, 0) << last.errors;
}

void expect_exactly_once(const std::string& state, std::string& inspected) {
  std::string why;
  inspected = audited(state, why);
  ASSERT_NE(inspected, "") << why;
  EXPECT_EQ(json_field(inspected, "batches"), json_field(inspected, "sealed")) << inspected;
}

TEST(KillRestart, IntegerSumsEqualThoseOfARunNeverKilled) {
  const auto seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::cout << "HEADRACE_SEED=" << seed << "\n";
  random_stream draw(seed);
  const temporary_folder folder;
  const std::string job = paced_for_kills().write(folder);
  const auto calm = calm_run(job, folder / "calm");
  ASSERT_EQ(calm.status, 0) << calm.errors;
  run_under_fire(job, folder / "fire", draw);
  if (HasFatalFailure()) return;
  std::string expected;
  std::string inspected;
  expect_exactly_once(folder / "calm", expected);
  expect_exactly_once(folder / "fire", inspected);
  EXPECT_EQ(json_field(inspected, "digest_weights"), json_field(expected, "digest_weights"));
}

TEST(KillRestart, TablesEqualAReplayOfTheirOwnLog) {
  const auto seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::cout << "HEADRACE_SEED=" << seed << "\n";
  random_stream draw(seed + 1);
  const temporary_folder folder;
  small_job wanted = paced_for_kills();
  wanted.arch = "deepfm";  // rows in one lane, a network in the other
  wanted.train = "dense_every = 3\n";
  wanted.more = "[layers.deep1]\nunits = 16\n[layers.deep2]\nunits = 8\n";
  run_under_fire(wanted.write(folder), folder / "fire", draw);
  if (HasFatalFailure()) return;
  std::string inspected;
  expect_exactly_once(folder / "fire", inspected);
  EXPECT_EQ(json_field(inspected, "dense_batches"), json_field(inspected, "sealed")) << inspected;
}

// Either of two processes, in any order; the other one goes on meanwhile.
TEST(KillRestart, ServerAndWorkerKilledInTurnsLearnEverythingOnce) {
  const auto seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::cout << "HEADRACE_SEED=" << seed << "\n";
  random_stream draw(seed + 2);
  const temporary_folder folder;
  const int rounds = by_weight(8, 40);
  small_job wanted;
  wanted.duration = std::chrono::seconds(rounds);
  const std::string job = wanted.write(folder);
  const auto calm = calm_run(job, folder / "calm");
  ASSERT_EQ(calm.status, 0) << calm.errors;

  auto server = std::make_unique<serving>(job, folder / "server");
  const std::string endpoint = server->endpoint;
  ASSERT_NE(endpoint, "") << server->process.errors();
  const auto command = worker_command(job, folder / "worker", endpoint);
  auto worker = std::make_unique<child_process>(command);
  for (int killed = 0; killed < rounds; ++killed) {
    if (const auto ended =
            worker->wait_for(std::chrono::milliseconds(100 + draw.next_below(900)))) {
      ASSERT_EQ(*ended, 0) << worker->errors();
      ASSERT_GE(killed, rounds / 2) << "the worker ended too early";
      break;
    }
    if (draw.next_below(2) == 0) {
      server->process.signal(SIGKILL);
      ASSERT_EQ(server->process.wait_for(10s), 128 + SIGKILL);
      server = std::make_unique<serving>(job, folder / "server", endpoint);
      ASSERT_EQ(server->endpoint, endpoint) << server->process.errors();
    } else {
      worker->signal(SIGKILL);
      ASSERT_EQ(worker->wait_for(10s), 128 + SIGKILL);
      worker = std::make_unique<child_process>(command);
    }
  }
  ASSERT_EQ(worker->wait_for(patience), 0) << worker->errors();
  server->process.signal(SIGTERM);
  ASSERT_EQ(server->process.wait_for(patience), 0) << server->process.errors();
  std::string expected;
  std::string why;
  expect_exactly_once(folder / "calm", expected);
  const std::string inspected = audited(folder / "server", why);
  ASSERT_NE(inspected, "") << why;
  EXPECT_EQ(json_field(inspected, "digest_weights"), json_field(expected, "digest_weights"));
}

}  // namespace
}  // namespace headrace::tests
