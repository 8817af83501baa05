#include "worker/cross/cross_search.hpp"

#include "base/random.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <vector>

namespace headrace::worker {
namespace {

constexpr std::uint32_t features = 5;

std::uint64_t test_seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 20'261'127;
}

/// An effect of size `scale` that belongs to a key.
double effect(std::uint64_t key, double scale) {
  return scale * std::sqrt(12.0) * (unit_double(mix64(key)) - 0.5);
}

/// Five features of 30 ids each; the last follows from the first (which of five groups it is in).
/// Each id has an effect, and so has each combination of features 1 and 3.
std::vector<event> made_up(std::size_t events, double interaction, std::uint64_t seed) {
  random_stream random(seed);
  std::vector<event> made;
  for (std::size_t i = 0; i < events; ++i) {
    event one;
    double logit = -0.5;
    for (std::uint32_t f = 0; f < features; ++f) {
      const std::uint64_t id = f + 1 < features ? random.next_below(30) : one.keys[0] % 1'000 % 5;
      one.keys.push_back(1'000 * (f + 1) + id);
      logit += effect(one.keys.back(), 0.4);
    }
    logit += effect(one.keys[1] * 1'000'000 + one.keys[3], interaction);
    one.label = random.next_unit() < logistic(logit) ? 1.0F : 0.0F;
    one.row_number = i;
    made.push_back(std::move(one));
  }
  return made;
}

cross_search searched(const std::vector<event>& events, std::size_t dim) {
  cross_search::settings how;
  how.features = features;
  how.dim = dim;
  how.table_bytes = 4 << 20;
  for (std::uint32_t a = 0; a < features; ++a) {
    for (std::uint32_t b = a + 1; b < features; ++b) how.pairs.push_back({a, b});
  }
  cross_search search(how);
  for (const event& one : events) search.add(one);
  return search;
}

TEST(CrossSearch, FindsThePairThatInteractsAndNoOther) {
  const std::uint64_t seed = test_seed();
  const auto search = searched(made_up(30'000, 0.8, seed), 0);
  const auto found = search.findings();
  ASSERT_EQ(found.size(), 10U);
  EXPECT_EQ(found[0].of, (cross_search::pair{1, 3})) << "seed " << seed;
  EXPECT_TRUE(found[0].worth_it) << found[0].z << " seed " << seed;
  EXPECT_GT(found[0].gain, 0.01);
  EXPECT_NEAR(found[0].distinct, 900.0, 15.0);
  EXPECT_FALSE(found[0].crowded);
  for (std::size_t i = 1; i < found.size(); ++i) {
    EXPECT_FALSE(found[i].worth_it)
        << found[i].of.first << " " << found[i].of.second << " seed " << seed;
  }
  EXPECT_GT(search.base().auc(), 0.6);
}

TEST(CrossSearch, FindsItBesideAFactorizationMachineToo) {
  const auto found = searched(made_up(20'000, 0.8, test_seed() + 1), 8).findings();
  EXPECT_EQ(found[0].of, (cross_search::pair{1, 3}));
  EXPECT_TRUE(found[0].worth_it) << found[0].z;
}

TEST(CrossSearch, FindsNothingWhereLabelsAreShuffledOrPartsAddUp) {
  for (std::uint64_t seed = test_seed(); seed < test_seed() + 4; ++seed) {
    auto events = made_up(10'000, 0.0, seed);
    for (const auto& one : searched(events, 0).findings())
      EXPECT_FALSE(one.worth_it) << one.of.first << " " << one.of.second << " seed " << seed;
    events = made_up(10'000, 0.8, seed);
    random_stream random(seed);
    for (std::size_t i = events.size() - 1; i > 0; --i)
      std::swap(events[i].label, events[random.next_below(i + 1)].label);
    for (const auto& one : searched(events, 0).findings())
      EXPECT_FALSE(one.worth_it) << one.of.first << " " << one.of.second << " seed " << seed;
  }
}

/// An id whose effect comes too fast for the base model, as users who change: what a cross with
/// its own group gains is only that it learns the id a second time.
TEST(CrossSearch, CountsWhatAFeatureAloneDoesAgainstACross) {
  random_stream random(test_seed());
  std::vector<event> events;
  for (std::size_t i = 0; i < 20'000; ++i) {
    event one;
    const std::uint64_t id = i / 40;  // each id in one burst
    one.keys = {id, 1'000'000 + id % 7};
    one.label = random.next_unit() < logistic(effect(id + 7, 3.0)) ? 1.0F : 0.0F;
    events.push_back(one);
  }
  cross_search::settings how;
  how.features = 2;
  how.dim = 0;
  how.pairs = {{0, 1}};
  how.table_bytes = 4 << 20;
  cross_search search(how);
  for (const event& one : events) search.add(one);
  const auto found = search.findings();
  EXPECT_NEAR(found[0].gain, 0.0, 1e-3);  // but for slots that are shared
  EXPECT_FALSE(found[0].worth_it);
}

TEST(CrossSearch, GivesTheSameFiguresEachTimeInTheMemoryItSays) {
  const auto events = made_up(2'000, 0.8, test_seed());
  const auto one = searched(events, 8);
  const auto two = searched(events, 8);
  for (std::size_t i = 0; i < one.findings().size(); ++i) {
    EXPECT_EQ(one.findings()[i].of, two.findings()[i].of);
    EXPECT_EQ(one.findings()[i].gain, two.findings()[i].gain);
    EXPECT_EQ(one.findings()[i].z, two.findings()[i].z);
  }
  EXPECT_EQ(one.slots(), 32'768U);  // 15 tables of 8 bytes a slot in 4 MiB
  EXPECT_LT(one.bytes(), (std::size_t{72} << 20) + (std::size_t{4} << 20) + 100'000);
}

TEST(CrossSearch, JudgesNothingByAFewEvents) {
  for (const auto& one : searched(made_up(300, 3.0, test_seed()), 0).findings())
    EXPECT_FALSE(one.worth_it);
  EXPECT_FALSE(searched({}, 0).findings()[0].worth_it);
}

TEST(CrossSearch, SaysWhereATableIsCrowded) {
  cross_search::settings how;
  how.features = 2;
  how.dim = 0;
  how.pairs = {{0, 1}};
  how.table_bytes = 1;  // 1,024 slots, the fewest there are
  cross_search search(how);
  event one;
  for (std::uint64_t i = 0; i < 20'000; ++i) {
    one.keys = {i, i / 2};
    search.add(one);
  }
  EXPECT_TRUE(search.findings()[0].crowded);
  EXPECT_GE(search.findings()[0].distinct, 1'024.0);
}

TEST(GaussianWeight, IsTheShareOfPositivesThatItSaw) {
  gaussian_weight weight{0.0F, 100.0F};  // next to no prior
  random_stream random(5);
  int positives = 0;
  for (int i = 0; i < 500; ++i) {
    const bool label = random.next_unit() < 0.7;
    positives += label ? 1 : 0;
    const double z = static_cast<double>(weight.mean);
    gaussian_step(label, z, static_cast<double>(weight.variance)).move(weight, 1.0);
  }
  EXPECT_NEAR(logistic(static_cast<double>(weight.mean)), positives / 500.0, 0.02);
  EXPECT_NEAR(static_cast<double>(weight.variance), 1.0 / (500 * 0.21), 0.002);
}

TEST(GaussianWeight, AStepEndsWhereItsOwnErrorPointsHoweverSurprisingTheLabel) {
  for (const double logit : {-12.0, -3.5, 0.0, 2.0, 12.0}) {
    for (const double spread : {0.01, 2.0, 50.0}) {
      for (const bool label : {false, true}) {
        gaussian_weight weight{0.0F, static_cast<float>(spread)};
        const gaussian_step step(label, logit, spread);
        step.move(weight, 1.0);
        const double moved = static_cast<double>(weight.mean);
        const double error = (label ? 1.0 : 0.0) - logistic(logit + moved);
        EXPECT_NEAR(moved, spread * error, 1e-4 * (1.0 + spread)) << logit << " " << spread;
        EXPECT_LE(weight.variance, static_cast<float>(spread));
        EXPECT_GT(weight.variance, 0.0F);
      }
    }
  }
}

}  // namespace
}  // namespace headrace::worker
