#include "base/random.hpp"
#include "tests/simulation/world.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>
#include <sys/prctl.h>
#include <thread>
#include <vector>

namespace headrace::simulation {
namespace {

std::uint64_t number_from_environment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::string again(std::uint64_t seed) {
  return "seed " + std::to_string(seed) + "; alone: HEADRACE_SEED=" + std::to_string(seed) +
         " simulation_test";
}

/// Outcomes of seeds `first` … `first` + `count` − 1, on every core; those behind a failure may be
/// missing.
std::vector<outcome> run_all(std::uint64_t first, std::uint64_t count) {
  std::vector<outcome> got(count);
  std::atomic<std::uint64_t> next{0};
  std::atomic<bool> failed{false};
  const auto work = [&] {
    for (std::uint64_t i = next++; i < count && !failed; i = next++) {
      got[i] = run(first + i);
      if (got[i].failure) failed = true;
    }
  };
  std::vector<std::jthread> threads;
  for (unsigned i = 1; i < std::thread::hardware_concurrency(); ++i) threads.emplace_back(work);
  work();
  return got;
}

/// The sum of all, whose trace is that of the traces in the order of seeds.
outcome sum_of(const std::vector<outcome>& all) {
  outcome sum;
  for (const outcome& one : all) {
    sum.trace = mix64(sum.trace ^ one.trace);
    sum.events += one.events;
    sum.faults += one.faults;
    sum.server_crashes += one.server_crashes;
    sum.shard_restarts += one.shard_restarts;
    sum.zombies += one.zombies;
    sum.refusals += one.refusals;
    sum.unknowns += one.unknowns;
    sum.failed_writes += one.failed_writes;
    sum.fetched += one.fetched;
    sum.evicted += one.evicted;
    sum.truncated += one.truncated;
    sum.checkpoints += one.checkpoints;
    sum.voids += one.voids;
    sum.resent += one.resent;
  }
  return sum;
}

void print(std::uint64_t seeds, std::uint64_t first, const outcome& sum) {
  std::ostringstream text;
  text << seeds << " seeds from " << first << ": " << sum.events << " events, " << sum.faults
       << " faults (" << sum.server_crashes << " server crashes, " << sum.shard_restarts
       << " shard restarts, " << sum.zombies << " zombies, " << sum.refusals << " refused and "
       << sum.unknowns << " unknown appends, " << sum.failed_writes << " failed write-backs); "
       << sum.evicted << " rows evicted, " << sum.fetched << " fetched, " << sum.truncated
       << " records dropped, " << sum.checkpoints << " checkpoints, " << sum.voids << " voids, "
       << sum.resent << " sections sent again; trace " << std::hex << sum.trace;
  std::puts(text.str().c_str());
}

class Simulation : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // Thousands of tables of a few rows: a huge page for each would be all the work.
    ::prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  }
};

class Mutant : public Simulation, public testing::WithParamInterface<variant> {};

TEST_F(Simulation, LearnsEveryBatchOnceWhateverFails) {
  const std::uint64_t one = number_from_environment("HEADRACE_SEED", 0);
  const std::uint64_t first = one > 0 ? one : number_from_environment("HEADRACE_FIRST_SEED", 1);
  const std::uint64_t count = one > 0 ? 1 : number_from_environment("HEADRACE_SEEDS", 20'000);
  const std::vector<outcome> all = run_all(first, count);
  for (std::uint64_t i = 0; i < count; ++i)
    ASSERT_FALSE(all[i].failure) << *all[i].failure << "\n" << again(first + i);
  const outcome sum = sum_of(all);
  print(count, first, sum);
  if (one > 0) return;
  // A simulator in which a kind of fault never strikes proves nothing about it.
  EXPECT_GT(sum.server_crashes, count / 2);
  EXPECT_GT(sum.shard_restarts, count);
  EXPECT_GT(sum.zombies, count / 4);
  EXPECT_GT(sum.refusals, count / 2);
  EXPECT_GT(sum.unknowns, count / 8);
  EXPECT_GT(sum.voids, count / 8);
  EXPECT_GT(sum.evicted, count);
  EXPECT_GT(sum.truncated, count);
  EXPECT_GT(sum.checkpoints, count);
}

TEST_F(Simulation, GivesTheSameTraceForTheSameSeed) {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const outcome first = run(seed);
    const outcome second = run(seed);
    EXPECT_EQ(first.trace, second.trace) << again(seed);
    EXPECT_EQ(first.events, second.events) << again(seed);
    EXPECT_NE(first.trace, run(seed + 1'000).trace) << again(seed);
  }
}

// The mutants below are this shard with one mistake each: without a mistake it must pass.
TEST_F(Simulation, PassesTheTwinOfTheMutants) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    const outcome got = run(seed, variant::twin);
    ASSERT_FALSE(got.failure) << *got.failure << "\n" << again(seed);
  }
}

TEST_P(Mutant, IsKilled) {
  constexpr std::uint64_t within = 2000;
  for (std::uint64_t seed = 1; seed <= within; ++seed) {
    if (const outcome got = run(seed, GetParam()); got.failure) {
      std::printf(
          "killed by seed %llu: %s\n", static_cast<unsigned long long>(seed), got.failure->c_str());
      return;
    }
  }
  FAIL() << "the mutant '" << name(GetParam()) << "' survives " << within << " seeds";
}

INSTANTIATE_TEST_SUITE_P(Every, Mutant, testing::ValuesIn(mutants()), [](const auto& tested) {
  std::string text(name(tested.param));
  for (char& c : text) {
    if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
  }
  return text;
});

}  // namespace
}  // namespace headrace::simulation
