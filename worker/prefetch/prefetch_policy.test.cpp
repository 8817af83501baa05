#include "worker/prefetch/prefetch_policy.hpp"

#include "base/random.hpp"
#include "worker/prefetch/lstm_cell.hpp"
#include "worker/prefetch/lstm_prefetch.hpp"
#include "worker/prefetch/succession_memory.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <span>
#include <unordered_map>

namespace headrace::worker {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

using keys = std::vector<std::uint64_t>;

keys predicted(prefetch_policy& policy, std::size_t max) {
  keys wanted{99};  // what was in it does not stay
  policy.predict(max, wanted);
  return wanted;
}

/// What a policy did with a stream: keys it asked for, and how many of them came within 100 keys.
struct outcome {
  std::size_t asked = 0;
  std::size_t came = 0;
};
outcome follow(prefetch_policy& policy, std::span<const std::uint64_t> stream, std::size_t batch) {
  outcome seen;
  keys wanted;
  std::unordered_map<std::uint64_t, std::size_t> asked_at;
  for (std::size_t at = 0; at + batch <= stream.size(); at += batch) {
    const auto now = stream.subspan(at, batch);
    for (const auto key : now) {
      const auto asked = asked_at.find(key);
      if (asked == asked_at.end()) continue;
      seen.came += at - asked->second <= 100 ? 1 : 0;
      asked_at.erase(asked);
    }
    policy.observe(now);
    policy.predict(1000, wanted);
    seen.asked += wanted.size();
    for (const auto key : wanted) asked_at[key] = at;
  }
  return seen;
}

/// Lists of 20 keys out of 30,000, played from the beginning, with a stray key after every fourth:
/// what follows a key can be learned, when a list will be played cannot.
keys played_lists(std::size_t count, std::uint64_t seed) {
  random_stream random(seed);
  keys stream;
  while (stream.size() < count) {
    const std::uint64_t list = random.next_below(1500);
    for (std::uint64_t i = 0; i < 20; ++i) {
      stream.push_back(mix64(list * 20 + i));
      if (i % 4 == 3) stream.push_back(mix64(1'000'000 + random.next_below(1'000'000)));
    }
  }
  stream.resize(count);
  return stream;
}

keys uniform_keys(std::size_t count, std::uint64_t among, std::uint64_t seed) {
  random_stream random(seed);
  keys stream(count);
  for (auto& key : stream) key = mix64(random.next_below(among));
  return stream;
}

lstm_prefetch::settings small_trial() {
  lstm_prefetch::settings given;
  given.trial.rows = 3000;
  given.trial.window = 2048;
  given.predictor.hidden = 16;
  given.trial.trials_max = 4;
  given.trial.rest = 3;
  return given;
}

TEST(NextBatch, AsksForEachKeyOfTheAnnouncedBatchesOnceInTheirOrder) {
  const auto policy = make_prefetch_policy(prefetch_kind::next_batch, 100, 1);
  policy->announce(keys{1, 2, 3});
  policy->announce(keys{4, 2});
  policy->announce(keys{});
  policy->announce(keys{7});
  EXPECT_THAT(predicted(*policy, 4), ElementsAre(1, 2, 3, 4));
  EXPECT_THAT(predicted(*policy, 0), IsEmpty());
  EXPECT_THAT(predicted(*policy, 4), ElementsAre(2, 7));
  EXPECT_THAT(predicted(*policy, 4), IsEmpty());
}

TEST(NextBatch, AsksForNothingOfABatchThatIsPulledAlready) {
  const auto policy = make_prefetch_policy(prefetch_kind::next_batch, 100, 1);
  policy->announce(keys{1, 2, 3});
  EXPECT_THAT(predicted(*policy, 2), ElementsAre(1, 2));
  policy->announce(keys{4, 5});
  policy->observe(keys{1, 2, 3});
  EXPECT_THAT(predicted(*policy, 9), ElementsAre(4, 5));
  policy->observe(keys{4, 5});
  policy->observe(keys{6});  // was never announced
  EXPECT_THAT(predicted(*policy, 9), IsEmpty());
  EXPECT_THAT(policy->report(), HasSubstr("4 of 6 keys"));
}

TEST(NoPrefetch, AsksForNothing) {
  const auto policy = make_prefetch_policy(prefetch_kind::none, 100, 1);
  policy->announce(keys{1});
  policy->observe(keys{1});
  EXPECT_THAT(predicted(*policy, 9), IsEmpty());
  EXPECT_THAT(policy->report(), StartsWith("none"));
}

TEST(SuccessionMemory, ProposesTheLatestFollowerFirstThenItsChain) {
  succession_memory memory(100, 1);
  const keys stream{9, 20, 40, 40};
  memory.record(1, 5);
  memory.record(1, 9);
  for (std::size_t i = 1; i < stream.size(); ++i) memory.record(stream[i - 1], stream[i]);
  std::vector<succession_memory::proposal> proposals;
  memory.propose(1, proposals);
  keys proposed;
  for (const auto& each : proposals) proposed.push_back(each.key);
  EXPECT_THAT(proposed, ElementsAre(9, 5, 20, 40));
  proposals.clear();
  memory.propose(77, proposals);
  EXPECT_THAT(proposals, IsEmpty());
}

TEST(SuccessionMemory, ProposesUsualDifferencesForKeysNeverSeen) {
  succession_memory memory(100, 1);
  for (std::uint64_t key = 0; key < 600; ++key) memory.record(key * 7, key * 7 + 7);
  std::vector<succession_memory::proposal> proposals;
  memory.propose(1'000'000, proposals);
  ASSERT_EQ(proposals.size(), 1U);
  EXPECT_EQ(proposals[0].key, 1'000'007U);
  EXPECT_LT(proposals[0].way, succession_memory::ways);
}

// The gradient by the input and by the state against differences of a loss that weighs both states.
TEST(LstmCell, GradientsAgreeWithFiniteDifferences) {
  constexpr std::size_t inputs = 3;
  constexpr std::size_t hidden = 4;
  lstm_cell cell(inputs, hidden, 11);
  std::vector<float> x{0.3F, -0.8F, 0.5F};
  lstm_cell::state start{{0.1F, -0.2F, 0.3F, 0.05F}, {0.4F, -0.1F, 0.7F, -0.6F}};
  const auto loss = [&] {
    lstm_cell::state now = start;
    lstm_cell::step done;
    cell.forward(x, now, done);
    cell.forward(x, now, done);
    double sum = 0;
    for (std::size_t i = 0; i < hidden; ++i)
      sum += (1.0 + 0.5 * static_cast<double>(i)) * now.hidden[i] - 0.7 * now.cell[i];
    return sum;
  };
  lstm_cell::state now = start;
  lstm_cell::step first;
  lstm_cell::step second;
  cell.forward(x, now, first);
  cell.forward(x, now, second);
  lstm_cell::state gradient = cell.zero_state();
  for (std::size_t i = 0; i < hidden; ++i) {
    gradient.hidden[i] = 1.0F + 0.5F * static_cast<float>(i);
    gradient.cell[i] = -0.7F;
  }
  std::vector<float> by_second(inputs);
  std::vector<float> by_first(inputs);
  cell.backward(second, gradient, by_second);
  cell.backward(first, gradient, by_first);

  const auto difference = [&](float& at) {
    constexpr float step = 1e-2F;
    const float kept = at;
    at = kept + step;
    const double above = loss();
    at = kept - step;
    const double below = loss();
    at = kept;
    return (above - below) / (2.0 * step);
  };
  for (std::size_t i = 0; i < inputs; ++i)
    EXPECT_NEAR(by_first[i] + by_second[i], difference(x[i]), 2e-3) << "input " << i;
  for (std::size_t i = 0; i < hidden; ++i) {
    EXPECT_NEAR(gradient.hidden[i], difference(start.hidden[i]), 2e-3) << "hidden " << i;
    EXPECT_NEAR(gradient.cell[i], difference(start.cell[i]), 2e-3) << "cell " << i;
  }
}

TEST(LstmPredictor, TellsKeysApartThatTheSuccessionMemoryCannot) {
  // After key 1 come 2 and 3 by turns, as the key before 1 tells: 10 before 2, 11 before 3.
  lstm_predictor::settings given;
  given.horizon = 1;
  given.chunk = 8;
  given.hidden = 16;
  lstm_predictor predictor(given);
  const auto nothing_held = [](std::uint64_t) { return false; };
  random_stream random(5);
  double right = 0;
  double wrong = 0;
  for (int i = 0; i < 6000; ++i) {
    const std::uint64_t way = random.next_below(2);
    predictor.observe(10 + way, nothing_held);
    predictor.observe(1, nothing_held);
    for (const auto& guess : predictor.guesses()) {
      if (i < 5000) continue;
      if (guess.key == 2 + way) right += guess.probability;
      if (guess.key == 3 - way) wrong += guess.probability;
    }
    predictor.observe(2 + way, nothing_held);
  }
  EXPECT_GT(right / 1000, 0.8);
  EXPECT_LT(wrong / 1000, 0.2);
}

TEST(LstmPrefetch, BeatsNoPrefetchWhereSuccessionCanBeLearned) {
  lstm_prefetch policy(small_trial());
  const auto seen = follow(policy, played_lists(60'000, 3), 4);
  EXPECT_EQ(policy.trial().now(), prefetch_trial::phase::on) << policy.report();
  EXPECT_THAT(policy.report(), StartsWith("lstm: on; "));
  const auto& on = policy.trial().while_on();
  EXPECT_GT(on.keys, 30'000U);
  EXPECT_GT(on.gain(), 0.2) << policy.report();
  EXPECT_GT(on.useful_share(), 0.5) << policy.report();
  EXPECT_GT(seen.asked, 10'000U);
  EXPECT_GT(static_cast<double>(seen.came), 0.5 * static_cast<double>(seen.asked));
}

TEST(LstmPrefetch, SwitchesItselfOffOnAUniformStreamAndNeverAsksForAnything) {
  lstm_prefetch policy(small_trial());
  const auto seen = follow(policy, uniform_keys(2048 * 4, 20'000, 3), 4);
  EXPECT_EQ(policy.trial().now(), prefetch_trial::phase::off) << policy.report();
  EXPECT_THAT(policy.report(), HasSubstr("off, no prefetch is as good; next trial in 6144 keys"));
  EXPECT_EQ(seen.asked, 0U);
}

TEST(LstmPrefetch, ComesBackOnTrialAndTurnsOnWhenTheStreamBecomesLearnable) {
  lstm_prefetch policy(small_trial());
  follow(policy, uniform_keys(2048 * 4, 20'000, 3), 4);
  ASSERT_EQ(policy.trial().now(), prefetch_trial::phase::off);
  const auto stream = played_lists(50'000, 4);
  follow(policy, std::span(stream).first(2048 * 3 - 4), 4);
  ASSERT_EQ(policy.trial().now(), prefetch_trial::phase::off) << "it rests for three windows";
  follow(policy, std::span(stream).subspan(2048 * 3 - 4), 4);
  EXPECT_EQ(policy.trial().now(), prefetch_trial::phase::on) << policy.report();
}

TEST(LstmPrefetch, TurnsOffAgainWhenTheSuccessionEnds) {
  lstm_prefetch policy(small_trial());
  follow(policy, played_lists(40'000, 3), 4);
  ASSERT_EQ(policy.trial().now(), prefetch_trial::phase::on) << policy.report();
  follow(policy, uniform_keys(2048 * 6, 20'000, 5), 4);
  EXPECT_EQ(policy.trial().now(), prefetch_trial::phase::off) << policy.report();
}

TEST(LstmPrefetch, GivesAtMostWhatItIsAskedForAndTheSameForTheSameSeed) {
  lstm_prefetch one(small_trial());
  lstm_prefetch other(small_trial());
  const auto stream = played_lists(30'000, 8);
  keys from_one;
  keys from_other;
  std::size_t asked = 0;
  for (std::size_t at = 0; at + 5 <= stream.size(); at += 5) {
    const auto batch = std::span(stream).subspan(at, 5);
    one.observe(batch);
    other.observe(batch);
    one.predict(3, from_one);
    other.predict(3, from_other);
    ASSERT_LE(from_one.size(), 3U);
    ASSERT_EQ(from_one, from_other);
    asked += from_one.size();
  }
  EXPECT_GT(asked, 500U);
}

TEST(PrefetchTrial, RestsTwiceAsLongAfterEveryLostTrial) {
  prefetch_trial::settings given;
  given.rows = 10;
  given.window = 100;
  given.trials_max = 2;
  given.rest = 1;
  given.rest_max = 4;
  prefetch_trial trial(given);
  std::vector<std::size_t> windows_off;
  for (int round = 0; round < 4; ++round) {
    while (trial.running()) trial.use(1);
    std::size_t off = 0;
    for (; !trial.running(); ++off) trial.use(1);
    windows_off.push_back(off / 100);
  }
  EXPECT_THAT(windows_off, ElementsAre(1, 2, 4, 4));
}

TEST(PrefetchTrial, CountsAFetchedKeyAsUsefulOnceAndItsFirstUseAsAHit) {
  prefetch_trial::settings given;
  given.rows = 4;
  given.window = 3;
  prefetch_trial trial(given);
  trial.fetch(7);
  EXPECT_TRUE(trial.holds(7));
  trial.fetch(8);
  trial.use(7);
  trial.use(7);
  trial.use(9);
  const auto& judged = trial.last();
  EXPECT_EQ(judged.keys, 3U);
  EXPECT_EQ(judged.hits_without, 1U);
  EXPECT_EQ(judged.hits_with, 2U);
  EXPECT_EQ(judged.fetched, 2U);
  EXPECT_EQ(judged.useful, 1U);
}

}  // namespace
}  // namespace headrace::worker
