#include "base/random.hpp"
#include "tests/simulation/world.hpp"

#include <gtest/gtest.h>

#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <sys/prctl.h>

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
  const std::uint64_t first = one > 0 ? one : number_from_environment("HEADRACE_SIM_FIRST", 1);
  const std::uint64_t count = one > 0 ? 1 : number_from_environment("HEADRACE_SIM_SEEDS", 2'000);
  outcome sum;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const outcome got = run(seed);
    ASSERT_FALSE(got.failure) << *got.failure << "\n" << again(seed);
    sum.trace = mix64(sum.trace ^ got.trace);
    sum.events += got.events;
    sum.faults += got.faults;
    sum.server_crashes += got.server_crashes;
    sum.shard_restarts += got.shard_restarts;
    sum.zombies += got.zombies;
    sum.refusals += got.refusals;
    sum.unknowns += got.unknowns;
    sum.voids += got.voids;
    sum.resent += got.resent;
  }
  std::printf(
      "%llu seeds from %llu: %llu events, %llu faults (%llu server crashes, %llu shard restarts, "
      "%llu zombies, "
      "%llu refused and %llu unknown appends), %llu voids, %llu sections sent again, trace "
      "%016llx\n",
      static_cast<unsigned long long>(count),
      static_cast<unsigned long long>(first),
      static_cast<unsigned long long>(sum.events),
      static_cast<unsigned long long>(sum.faults),
      static_cast<unsigned long long>(sum.server_crashes),
      static_cast<unsigned long long>(sum.shard_restarts),
      static_cast<unsigned long long>(sum.zombies),
      static_cast<unsigned long long>(sum.refusals),
      static_cast<unsigned long long>(sum.unknowns),
      static_cast<unsigned long long>(sum.voids),
      static_cast<unsigned long long>(sum.resent),
      static_cast<unsigned long long>(sum.trace));
  if (one > 0) return;
  // A simulator in which a kind of fault never strikes proves nothing about it.
  EXPECT_GT(sum.server_crashes, count / 2);
  EXPECT_GT(sum.shard_restarts, count);
  EXPECT_GT(sum.zombies, count / 4);
  EXPECT_GT(sum.refusals, count / 2);
  EXPECT_GT(sum.unknowns, count / 8);
  EXPECT_GT(sum.voids, count / 8);
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
  constexpr std::uint64_t within = 50;
  for (std::uint64_t seed = 1; seed <= within; ++seed) {
    if (const outcome got = run(seed, GetParam()); got.failure) {
      std::printf(
          "killed by seed %llu: %s\n", static_cast<unsigned long long>(seed), got.failure->c_str());
      return;
    }
  }
  FAIL() << "the mutant '" << name(GetParam()) << "' survives " << within << " seeds";
}

INSTANTIATE_TEST_SUITE_P(Every,
                         Mutant,
                         testing::Values(variant::no_dedupe,
                                         variant::acknowledge_before_commit,
                                         variant::gap_accepted,
                                         variant::watermark_before_record,
                                         variant::watermark_after_record,
                                         variant::shows_uncommitted),
                         [](const auto& tested) {
                           std::string text(name(tested.param));
                           for (char& c : text) {
                             if (std::isalnum(static_cast<unsigned char>(c)) == 0) c = '_';
                           }
                           return text;
                         });

}  // namespace
}  // namespace headrace::simulation
