#include "base/random.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/process_facts.hpp"
#include "tests/support/serving.hpp"
#include "tests/support/small_job.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <iostream>

/// SIGSTOP and SIGCONT: processes that stand still for a while, and one that comes back after its
/// work was given to another.
namespace headrace::tests {
namespace {

using namespace std::chrono_literals;

constexpr auto patience = 180s;

std::string weights(const std::string& state) {
  std::string why;
  const std::string inspected = audited(state, why);
  EXPECT_NE(inspected, "") << why;
  return json_field(inspected, "digest_weights");
}

std::string calm_weights(const std::string& job, const std::string& state) {
  const auto calm = calm_run(job, state);
  EXPECT_EQ(calm.status, 0) << calm.errors;
  return weights(state);
}

void stop(serving& server) {
  server.process.signal(SIGTERM);
  ASSERT_EQ(server.process.wait_for(patience), 0) << server.process.errors();
}

// Some pushes are in the server's logs.
bool has_learned(const std::string& state, std::uint64_t bytes) {
  return eventually([&] { return facts_of(state + "/log").bytes > bytes; }, patience);
}

TEST(Pause, ServerOrWorkerStandingStillLosesNothing) {
  const auto seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::cout << "HEADRACE_SEED=" << seed << "\n";
  random_stream draw(seed);
  const temporary_folder folder;
  const int pauses = by_weight(5, 20);
  small_job wanted;
  wanted.duration = std::chrono::seconds(2 * pauses);
  const std::string job = wanted.write(folder);
  const std::string expected = calm_weights(job, folder / "calm");
  serving server(job, folder / "server");
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  child_process worker(worker_command(job, folder / "worker", server.endpoint));
  for (int paused = 0; paused < pauses; ++paused) {
    if (worker.wait_for(std::chrono::milliseconds(100 + draw.next_below(700)))) break;
    const child_process& one = draw.next_below(2) == 0 ? server.process : worker;
    one.signal(SIGSTOP);
    // The other one runs on meanwhile, into its time-outs where the pause is long.
    (void)(&one == &worker ? server.process : worker)
        .wait_for(std::chrono::milliseconds(50 + draw.next_below(2'500)));
    one.signal(SIGCONT);
  }
  ASSERT_EQ(worker.wait_for(patience), 0) << worker.errors();
  EXPECT_EQ(json_field(worker.output(), "samples"), std::to_string(wanted.rows));
  stop(server);
  EXPECT_EQ(weights(folder / "server"), expected);
}

TEST(Pause, AZombieWorkerThatComesBackTrainsNothingTwice) {
  const temporary_folder folder;
  small_job wanted;
  const std::string job = wanted.write(folder);
  const std::string expected = calm_weights(job, folder / "calm");
  serving server(job, folder / "server");
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  child_process first(worker_command(job, folder / "first", server.endpoint));
  ASSERT_TRUE(has_learned(folder / "server", 100'000)) << first.errors();
  first.signal(SIGSTOP);
  std::filesystem::copy(
      folder / "first", folder / "second", std::filesystem::copy_options::recursive);
  child_process second(worker_command(job, folder / "second", server.endpoint));
  const auto learned = facts_of(folder / "server/log").bytes;
  ASSERT_TRUE(has_learned(folder / "server", learned + 100'000)) << second.errors();
  first.signal(SIGCONT);  // now both train the same source
  EXPECT_EQ(first.wait_for(patience), 0) << first.errors();
  EXPECT_EQ(second.wait_for(patience), 0) << second.errors();
  stop(server);
  EXPECT_EQ(weights(folder / "server"), expected);
}

TEST(Pause, AZombieWorkerThatComesBackAtTheEndTrainsNothingTwice) {
  const temporary_folder folder;
  small_job wanted;
  wanted.duration = 6s;
  const std::string job = wanted.write(folder);
  const std::string expected = calm_weights(job, folder / "calm");
  serving server(job, folder / "server");
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  child_process first(worker_command(job, folder / "first", server.endpoint));
  ASSERT_TRUE(has_learned(folder / "server", 100'000)) << first.errors();
  first.signal(SIGSTOP);
  std::filesystem::copy(
      folder / "first", folder / "second", std::filesystem::copy_options::recursive);
  const auto second =
      run_program(worker_command(job, folder / "second", server.endpoint), patience);
  ASSERT_EQ(second.status, 0) << second.errors;
  first.signal(SIGCONT);
  EXPECT_EQ(first.wait_for(patience), 0) << first.errors();
  stop(server);
  EXPECT_EQ(weights(folder / "server"), expected);
}

TEST(Pause, ASecondWorkerOnAStoppedOnesFolderIsRefusedByName) {
  const temporary_folder folder;
  const std::string job = small_job{}.write(folder);
  serving server(job, folder / "server");
  ASSERT_NE(server.endpoint, "") << server.process.errors();
  child_process first(worker_command(job, folder / "worker", server.endpoint));
  ASSERT_TRUE(has_learned(folder / "server", 20'000)) << first.errors();
  first.signal(SIGSTOP);
  const auto second =
      run_program(worker_command(job, folder / "worker", server.endpoint), patience);
  EXPECT_EQ(second.status, 1);
  EXPECT_NE(second.errors.find("is in use by"), std::string::npos) << second.errors;
  EXPECT_NE(second.errors.find(folder / "worker"), std::string::npos) << second.errors;
}

}  // namespace
}  // namespace headrace::tests
