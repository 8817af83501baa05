// What comes next in a list: the loss next_item, what it draws, and dropout in front of it.
#include "base/random.hpp"
#include "worker/model/graph_model.hpp"
#include "worker/model/presets.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

namespace headrace::worker {
namespace {

using testing::HasSubstr;

const std::vector<model_feature> features = {{"seen", false, 12}};

constexpr const char* plain_model = R"(
[layers.embedding]
op = "rows"
dim = 8
first_order = false
features = ["seen"]
[layers.items]
op = "tokens"
inputs = ["embedding"]
[layers.kept]
op = "dropout"
inputs = ["items"]
rate = 0.0
[layers.states]
op = "linear"
inputs = ["kept"]
units = 8
[layers.next]
op = "next_item"
inputs = ["states", "embedding"]
negatives = 20
)";

std::shared_ptr<const model_graph> graph_of(const std::vector<std::string>& overrides = {}) {
  auto loaded = model_graph::load(plain_model, "plain", overrides, features);
  EXPECT_TRUE(loaded.ok()) << describe(loaded.error());
  return std::make_shared<const model_graph>(std::move(*loaded));
}

// Lists that count up from somewhere on a circle of ids.
schemas::sample_batch circles(std::uint64_t number, std::uint64_t ids = 30) {
  schemas::sample_batch batch;
  batch.batch = batch_number{number};
  batch.samples = 40;
  batch.sequences = 1;
  batch.labels.assign(batch.samples, 1.0F);
  random_stream random(number);
  for (std::size_t s = 0; s < batch.samples; ++s) {
    const std::uint64_t from = random.next_below(ids);
    batch.lengths.push_back(static_cast<std::uint16_t>(random.next_below(9)));
    for (std::uint16_t t = 0; t < batch.lengths.back(); ++t)
      batch.sequence_keys.push_back((from + t) % ids);
  }
  return batch;
}

void fill(std::vector<row_set>& sets, random_stream& random) {
  for (row_set& set : sets)
    for (float& value : set.values) value = static_cast<float>(random.next_unit() - 0.5);
}

struct learned {
  std::vector<row_set> sets;
  std::vector<float> predicted;
};

learned learn_once(const std::vector<std::string>& overrides, const schemas::sample_batch& batch) {
  graph_model model(graph_of(overrides));
  learned made;
  model.plan(batch, made.sets);
  model.plan_network(made.sets);
  random_stream values(3);
  fill(made.sets, values);
  made.predicted.resize(batch.samples);
  EXPECT_TRUE(model.learn(batch, made.sets, made.predicted));
  return made;
}

double mean(std::span<const float> values) {
  double sum = 0.0;
  for (const float value : values) sum += static_cast<double>(value);
  return sum / static_cast<double>(values.size());
}

TEST(NextItem, LearnsWhatFollowsWhat) {
  graph_model model(graph_of());
  const auto batch = circles(1);
  std::vector<row_set> sets;
  model.plan(batch, sets);
  model.plan_network(sets);
  random_stream values(3);
  fill(sets, values);
  std::vector<float> predicted(batch.samples);
  ASSERT_TRUE(model.learn(batch, sets, predicted));
  const double before = mean(predicted);
  for (int round = 0; round < 200; ++round) {
    for (row_set& set : sets) {
      for (std::size_t i = 0; i < set.values.size(); ++i) set.values[i] -= 0.02F * set.gradients[i];
      set.size_buffers();  // gradients are 0 again
    }
    ASSERT_TRUE(model.learn(batch, sets, predicted));
  }
  EXPECT_LT(before, 0.5);
  EXPECT_GT(mean(predicted), 0.95);
}

TEST(NextItem, DrawsTheSameForABatchThatIsTrainedAgainAndOthersForAnother) {
  auto batch = circles(7);
  const auto first = learn_once({}, batch);
  const auto again = learn_once({}, batch);
  EXPECT_EQ(first.predicted, again.predicted);
  for (std::size_t t = 0; t < first.sets.size(); ++t)
    EXPECT_EQ(first.sets[t].gradients, again.sets[t].gradients);
  batch.batch = batch_number{8};
  EXPECT_NE(learn_once({}, batch).predicted, first.predicted);
}

TEST(NextItem, LeavesOutWhatTheSampleHasItself) {
  schemas::sample_batch batch = circles(1);
  batch.samples = 2;
  batch.labels.resize(2);
  batch.lengths = {3, 2};
  batch.sequence_keys = {1, 2, 3, 3, 1};
  // The first has every id of the batch, so nothing stands against its next items; the second can
  // be told from id 2 only.
  const auto made = learn_once({}, batch);
  EXPECT_EQ(made.predicted[0], 1.0F);
  EXPECT_LT(made.predicted[1], 1.0F);
  EXPECT_GT(made.predicted[1], 0.0F);
}

TEST(NextItem, SaysThatNothingFollowsAListOfOne) {
  schemas::sample_batch batch = circles(1);
  batch.samples = 2;
  batch.labels.resize(2);
  batch.lengths = {1, 3};
  batch.sequence_keys = {9, 2, 3, 4};
  const auto made = learn_once({}, batch);
  EXPECT_EQ(made.predicted[0], 1.0F);
  EXPECT_LT(made.predicted[1], 1.0F);
}

TEST(Dropout, LeavesOutWhileLearningOnlyAndTheSameForTheSameBatch) {
  const std::vector<std::string> half = {"layers.kept.rate=0.5"};
  const auto batch = circles(5);
  const auto whole = learn_once({}, batch);
  const auto dropped = learn_once(half, batch);
  EXPECT_NE(dropped.predicted, whole.predicted);
  EXPECT_EQ(learn_once(half, batch).predicted, dropped.predicted);
  graph_model model(graph_of(half));
  auto sets = whole.sets;
  std::vector<float> predicted(batch.samples);
  model.predict(batch, sets, predicted);
  EXPECT_EQ(predicted, whole.predicted);
  EXPECT_NE(learn_once({"layers.kept.rate=0.5"}, circles(6)).predicted, dropped.predicted);
}

TEST(GraphModel, ComputesTheValuesOfAnyLayer) {
  graph_model model(graph_of());
  const auto batch = circles(2);
  std::vector<row_set> sets;
  model.plan(batch, sets);
  model.plan_network(sets);
  random_stream values(3);
  fill(sets, values);
  std::vector<float> items;
  model.compute(batch, sets, 1, items);
  ASSERT_EQ(items.size(), batch.sequence_keys.size() * 8);
  for (std::size_t t = 0; t < batch.sequence_keys.size(); ++t) {
    const auto row = std::ranges::lower_bound(sets[0].keys, batch.sequence_keys[t]);
    const auto at = static_cast<std::size_t>(row - sets[0].keys.begin()) * 8;
    for (std::size_t c = 0; c < 8; ++c) EXPECT_EQ(items[t * 8 + c], sets[0].values[at + c]);
  }
  std::vector<float> states;
  model.compute(batch, sets, 3, states);
  EXPECT_EQ(states.size(), items.size());
  EXPECT_NE(states, items);
}

}  // namespace
}  // namespace headrace::worker
