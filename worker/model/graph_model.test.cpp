#include "worker/model/graph_model.hpp"

#include "base/random.hpp"
#include "tests/support/allocation_count.hpp"
#include "worker/model/presets.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

namespace headrace::worker {
namespace {

std::uint64_t test_seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 20'261'127;
}

std::vector<model_feature> features_of(std::size_t ids, std::size_t numbers) {
  std::vector<model_feature> features;
  for (std::size_t f = 0; f < ids; ++f) features.push_back({"id" + std::to_string(f), false});
  for (std::size_t f = 0; f < numbers; ++f) features.push_back({"x" + std::to_string(f), true});
  return features;
}

struct model_case {
  std::string preset;
  std::vector<std::string> overrides;  // small and smooth
};

const std::vector<model_case>& model_cases() {
  static const std::vector<model_case> cases = {{"lr", {}},
                                                {"fm", {"layers.embedding.dim=3"}},
                                                {"deepfm",
                                                 {"layers.embedding.dim=3",
                                                  "layers.deep1.units=5",
                                                  "layers.deep1.activation=tanh",
                                                  "layers.deep2.units=4",
                                                  "layers.deep2.activation=silu"}},
                                                {"dlrm",
                                                 {"layers.embedding.dim=3",
                                                  "layers.bottom1.units=4",
                                                  "layers.bottom1.activation=gelu",
                                                  "layers.bottom2.units=3",
                                                  "layers.bottom2.activation=tanh",
                                                  "layers.top1.units=5",
                                                  "layers.top1.activation=tanh",
                                                  "layers.top2.units=4",
                                                  "layers.top2.activation=sigmoid"}},
                                                {"dcnv2",
                                                 {"layers.embedding.dim=3",
                                                  "layers.cross1.rank=2",
                                                  "layers.cross2.rank=0",
                                                  "layers.deep1.units=5",
                                                  "layers.deep1.activation=tanh",
                                                  "layers.deep2.units=4",
                                                  "layers.deep2.activation=tanh"}},
                                                {"mmoe_esmm",
                                                 {"layers.embedding.dim=3",
                                                  "layers.experts.units=12",
                                                  "layers.experts.activation=tanh",
                                                  "layers.click_tower.units=4",
                                                  "layers.click_tower.activation=silu",
                                                  "layers.conversion_tower.units=3",
                                                  "layers.conversion_tower.activation=tanh",
                                                  "layers.loss.weight=0.5",
                                                  "layers.loss.conversion_weight=2"}}};
  return cases;
}

std::shared_ptr<const model_graph> graph_of(const model_case& one,
                                            std::span<const model_feature> features) {
  const model_preset* preset = find_preset(one.preset);
  EXPECT_NE(preset, nullptr);
  auto loaded = model_graph::load(std::string(preset->text), one.preset, one.overrides, features);
  EXPECT_TRUE(loaded.ok()) << describe(loaded.error());
  return std::make_shared<const model_graph>(std::move(*loaded));
}

schemas::sample_batch random_batch(std::size_t samples,
                                   std::span<const model_feature> features,
                                   random_stream& random,
                                   std::uint64_t keys = 9,
                                   std::uint32_t labels = 2) {
  schemas::sample_batch batch;
  batch.samples = static_cast<std::uint32_t>(samples);
  batch.features = static_cast<std::uint32_t>(features.size());
  batch.label_count = labels;
  for (std::size_t s = 0; s < samples; ++s) {
    for (std::uint32_t l = 0; l < labels; ++l)
      batch.labels.push_back(random.next_below(2) == 0 ? 0.0F : 1.0F);
    for (const model_feature& feature : features) {
      batch.keys.push_back(random.next_below(keys));
      batch.values.push_back(feature.number ? static_cast<float>(random.next_unit() * 2 - 1)
                                            : 1.0F);
    }
  }
  return batch;
}

void fill(std::vector<row_set>& sets, random_stream& random) {
  for (row_set& set : sets)
    for (float& value : set.values) value = static_cast<float>(random.next_unit() - 0.5);
}

// What is learned, from the probabilities [samples, heads]; of samples without a label `share` are
// there.
double loss_of(const model_graph& graph,
               const schemas::sample_batch& batch,
               std::span<const float> probabilities,
               double share = 1.0) {
  const auto heads = graph.heads();
  double loss = 0.0;
  for (std::size_t i = 0; i < batch.samples * heads.size(); ++i) {
    const model_head& head = heads[i % heads.size()];
    const float label = batch.labels[i / heads.size() * batch.label_count + head.label];
    double p = static_cast<double>(probabilities[i]);
    double weight = static_cast<double>(head.weight);
    const std::size_t first = i / heads.size() * batch.label_count;
    if (batch.label_count == 1) {
      p = p / (p + (1.0 - p) * share);
    } else if (std::all_of(&batch.labels[first],
                           &batch.labels[first] + batch.label_count,
                           [](float other) { return other == 0.0F; })) {
      weight /= share;
    }
    loss -= weight * std::log(label > 0.5F ? p : 1.0 - p);
  }
  return loss;
}

std::vector<float> room_for(const graph_model& model, const schemas::sample_batch& batch) {
  return std::vector<float>(batch.samples * model.graph().heads().size());
}

// Every gradient against the difference of the loss on both sides.
void expect_gradients_of_the_loss(graph_model& model,
                                  const schemas::sample_batch& batch,
                                  random_stream& random,
                                  double share = 1.0) {
  std::vector<row_set> sets;
  model.plan(batch, sets);
  model.plan_network(sets);
  fill(sets, random);
  std::vector<float> online = room_for(model, batch);
  ASSERT_TRUE(model.learn(batch, sets, online));
  std::vector<float> moved = online;
  const auto loss_with = [&](float& weight, float value) {
    const float kept = weight;
    weight = value;
    model.predict(batch, sets, moved);
    weight = kept;
    return loss_of(model.graph(), batch, moved, share);
  };
  std::size_t checked = 0;
  const double rounding = 2e-3 / share;  // losses are so much larger
  for (row_set& set : sets) {
    for (std::size_t i = 0; i < set.values.size(); ++i) {
      constexpr float h = 1.0F / 128;
      const double above = loss_with(set.values[i], set.values[i] + h);
      const double below = loss_with(set.values[i], set.values[i] - h);
      const double expected = (above - below) / (2.0 * static_cast<double>(h));
      EXPECT_NEAR(static_cast<double>(set.gradients[i]), expected, rounding)
          << "table " << model.graph().tables()[set.table.value].name << ", value " << i;
      ++checked;
    }
  }
  EXPECT_GT(checked, 8U);
}

TEST(GraphModel, ComputesTheGradientOfTheSummedLossForEveryPreset) {
  for (const model_case& one : model_cases()) {
    SCOPED_TRACE(one.preset + ", HEADRACE_SEED=" + std::to_string(test_seed()));
    random_stream random(test_seed());
    const auto features = features_of(4, 2);
    graph_model model(graph_of(one, features));
    expect_gradients_of_the_loss(model, random_batch(11, features, random), random);
  }
}

// Losses of three labels with weights, one of them in the middle of the file and one learned
// twice; a gate over experts that learn nothing, and experts under a gate that learns nothing.
constexpr const char* many_heads = R"(
[layers.embedding]
op = "rows"
dim = 2
features = ["ids"]
[layers.vectors]
op = "fields"
inputs = ["embedding"]
[layers.third_logit]
op = "linear"
inputs = ["vectors"]
units = 1
[layers.third]
op = "bce"
inputs = ["third_logit"]
label = 3
weight = 0.5
[layers.numbers]
op = "numbers"
[layers.gate]
op = "linear"
inputs = ["vectors"]
units = 2
[layers.of_numbers]
op = "mixture"
inputs = ["gate", "numbers"]
[layers.experts]
op = "linear"
inputs = ["vectors"]
units = 4
[layers.by_numbers]
op = "mixture"
inputs = ["numbers", "experts"]
[layers.joined]
op = "concat"
inputs = ["of_numbers", "by_numbers"]
[layers.hidden]
op = "linear"
inputs = ["joined"]
units = 3
activation = "tanh"
[layers.logit]
op = "linear"
inputs = ["hidden"]
units = 1
[layers.first]
op = "bce"
inputs = ["logit"]
[layers.third_again]
op = "bce"
inputs = ["logit"]
label = 3
weight = 3
)";

TEST(GraphModel, LearnsTheWeightedSumOfItsLossesFromSeveralLabels) {
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(test_seed()));
  random_stream random(test_seed());
  const auto features = features_of(4, 2);
  auto loaded = model_graph::load(many_heads, "many_heads", {}, features);
  ASSERT_TRUE(loaded.ok()) << describe(loaded.error());
  graph_model model(std::make_shared<const model_graph>(std::move(*loaded)));
  ASSERT_EQ(model.graph().heads().size(), 3U);
  EXPECT_EQ(model.graph().labels(), 3U);
  expect_gradients_of_the_loss(model, random_batch(11, features, random, 9, 4), random);
}

TEST(GraphModel, PredictsEachHeadInItsColumn) {
  random_stream random(test_seed());
  const auto features = features_of(4, 2);
  auto loaded = model_graph::load(many_heads, "many_heads", {}, features);
  ASSERT_TRUE(loaded.ok()) << describe(loaded.error());
  graph_model model(std::make_shared<const model_graph>(std::move(*loaded)));
  const auto batch = random_batch(graph_model::chunk_samples + 9, features, random, 9, 3);
  std::vector<row_set> sets;
  model.plan(batch, sets);
  model.plan_network(sets);
  fill(sets, random);
  std::vector<float> learned = room_for(model, batch);
  std::vector<float> predicted = learned;
  ASSERT_TRUE(model.learn(batch, sets, learned));
  model.predict(batch, sets, predicted);
  EXPECT_EQ(learned, predicted);
  for (std::size_t s = 0; s < batch.samples; ++s) {
    // first and third_again read one logit; third has its own.
    EXPECT_EQ(predicted[3 * s], predicted[3 * s + 2]);
    EXPECT_NE(predicted[3 * s], predicted[3 * s + 1]);
    EXPECT_TRUE(predicted[3 * s + 1] > 0.0F && predicted[3 * s + 1] < 1.0F);
  }
}

// An offset in the logit where there is one label; where there are several, a weight for samples
// without any.
TEST(GraphModel, LearnsOfAllSamplesFromThoseWithoutALabelThatWereKept) {
  constexpr float share = 0.25F;
  const auto features = features_of(4, 2);
  for (const model_case& one : model_cases()) {
    SCOPED_TRACE(one.preset + ", HEADRACE_SEED=" + std::to_string(test_seed()));
    random_stream random(test_seed());
    for (const std::uint32_t labels : {1U, 2U, 3U}) {
      graph_model model(graph_of(one, features));
      if (labels < model.graph().labels()) continue;
      model.correct_negatives(share);
      expect_gradients_of_the_loss(
          model, random_batch(11, features, random, 9, labels), random, share);
    }
  }
  random_stream random(test_seed());
  auto loaded = model_graph::load(many_heads, "many_heads", {}, features);
  ASSERT_TRUE(loaded.ok()) << describe(loaded.error());
  graph_model model(std::make_shared<const model_graph>(std::move(*loaded)));
  model.correct_negatives(share);
  expect_gradients_of_the_loss(model, random_batch(40, features, random, 9, 4), random, share);
}

// Computed again means the same bits, of predictions and of what is learned.
TEST(GraphModel, LearnsTheSameBitsFromActivationsThatAreRecomputed) {
  for (const model_case& one : model_cases()) {
    SCOPED_TRACE(one.preset + ", HEADRACE_SEED=" + std::to_string(test_seed()));
    random_stream random(test_seed());
    const auto features = features_of(6, 3);
    const auto graph = graph_of(one, features);
    const auto batch = random_batch(graph_model::chunk_samples + 70, features, random);
    graph_model again(graph, precision::f32, activations::recompute);
    graph_model kept(graph);
    std::vector<row_set> sets;
    kept.plan(batch, sets);
    kept.plan_network(sets);
    fill(sets, random);
    std::vector<row_set> same = sets;
    std::vector<float> p(batch.samples * graph->heads().size());
    std::vector<float> q = p;
    ASSERT_TRUE(kept.learn(batch, sets, p));
    ASSERT_TRUE(again.learn(batch, same, q));
    EXPECT_EQ(p, q);
    for (std::size_t t = 0; t < sets.size(); ++t) EXPECT_EQ(sets[t].gradients, same[t].gradients);
  }
}

// What a sample is predicted does not depend on who else is in its batch, nor on the chunk.
TEST(GraphModel, TreatsSamplesAloneAsItDoesInABatchOfSeveralChunks) {
  for (const model_case& one : model_cases()) {
    SCOPED_TRACE(one.preset);
    random_stream random(test_seed());
    const auto features = features_of(3, 1);
    graph_model model(graph_of(one, features));
    constexpr std::size_t samples = 2 * graph_model::chunk_samples + 70;
    const auto batch = random_batch(samples, features, random);
    std::vector<row_set> sets;
    model.plan(batch, sets);
    model.plan_network(sets);
    fill(sets, random);
    std::vector<float> together = room_for(model, batch);
    const std::size_t heads = together.size() / samples;
    ASSERT_TRUE(model.learn(batch, sets, together));
    std::vector<std::vector<float>> sums;
    for (const row_set& set : sets) sums.emplace_back(set.gradients.size(), 0.0F);
    for (std::size_t s = 0; s < samples; ++s) {
      schemas::sample_batch alone;
      alone.samples = 1;
      alone.features = batch.features;
      alone.label_count = 2;
      alone.labels = {batch.labels[2 * s], batch.labels[2 * s + 1]};
      const auto begin = static_cast<std::ptrdiff_t>(s * batch.features);
      const auto end = begin + static_cast<std::ptrdiff_t>(batch.features);
      alone.keys.assign(batch.keys.begin() + begin, batch.keys.begin() + end);
      alone.values.assign(batch.values.begin() + begin, batch.values.begin() + end);
      std::vector<row_set> own;
      model.plan(alone, own);
      model.plan_network(own);
      const auto place = [&](std::size_t t, std::size_t row) {
        return static_cast<std::size_t>(std::ranges::lower_bound(sets[t].keys, own[t].keys[row]) -
                                        sets[t].keys.begin());
      };
      for (std::size_t t = 0; t < own.size(); ++t) {
        const std::size_t dim = own[t].dim;
        for (std::size_t row = 0; row < own[t].rows(); ++row)
          std::copy_n(&sets[t].values[place(t, row) * dim], dim, &own[t].values[row * dim]);
      }
      std::vector<float> predicted(heads);
      ASSERT_TRUE(model.learn(alone, own, predicted));
      for (std::size_t h = 0; h < heads; ++h)
        EXPECT_NEAR(predicted[h], together[s * heads + h], 1e-5);
      for (std::size_t t = 0; t < own.size(); ++t) {
        const std::size_t dim = own[t].dim;
        for (std::size_t i = 0; i < own[t].gradients.size(); ++i)
          sums[t][place(t, i / dim) * dim + i % dim] += own[t].gradients[i];
      }
    }
    for (std::size_t t = 0; t < sets.size(); ++t) {
      for (std::size_t i = 0; i < sums[t].size(); ++i)
        EXPECT_NEAR(sets[t].gradients[i], sums[t][i], 2e-3 + 1e-4 * std::abs(sums[t][i]));
    }
  }
}

TEST(GraphModel, GivesTheSameBitsEachTime) {
  random_stream random(test_seed());
  const auto features = features_of(5, 2);
  const auto graph = graph_of(model_cases().back(), features);
  const auto batch = random_batch(300, features, random);
  std::vector<std::vector<row_set>> results;
  std::vector<std::vector<float>> predicted;
  for (int round = 0; round < 2; ++round) {
    graph_model model(graph);
    std::vector<row_set> sets;
    model.plan(batch, sets);
    model.plan_network(sets);
    random_stream values(3);
    fill(sets, values);
    predicted.push_back(room_for(model, batch));
    ASSERT_TRUE(model.learn(batch, sets, predicted.back()));
    results.push_back(std::move(sets));
  }
  EXPECT_EQ(predicted[0], predicted[1]);
  for (std::size_t t = 0; t < results[0].size(); ++t)
    EXPECT_EQ(results[0][t].gradients, results[1][t].gradients);
}

TEST(GraphModel, AllocatesNothingOnceItHasSeenABatchOfThatSize) {
  for (const model_preset& preset : model_presets()) {
    if (preset.text.find("tokens") != std::string_view::npos) continue;  // graph_lists.test.cpp
    SCOPED_TRACE(preset.name);
    random_stream random(test_seed());
    const auto features = features_of(6, 2);
    graph_model model(graph_of({std::string(preset.name), {}}, features));
    const auto batch = random_batch(700, features, random, 1000);
    std::vector<row_set> sets;
    std::vector<float> online = room_for(model, batch);
    model.plan(batch, sets);
    model.plan_network(sets);
    fill(sets, random);
    ASSERT_TRUE(model.learn(batch, sets, online));
    const tests::allocation_count allocations;
    model.plan(batch, sets);
    model.plan_network(sets);
    model.learn(batch, sets, online);
    model.predict(batch, sets, online);
    EXPECT_EQ(allocations.made(), 0U);
  }
}

TEST(GraphModel, SaysThatALossIsNotFinite) {
  random_stream random(test_seed());
  const auto features = features_of(3, 0);
  graph_model model(graph_of({"fm", {}}, features));
  const auto batch = random_batch(20, features, random);
  std::vector<row_set> sets;
  model.plan(batch, sets);
  model.plan_network(sets);
  fill(sets, random);
  sets[0].values[0] = INFINITY;
  std::vector<float> online(batch.samples);
  EXPECT_FALSE(model.learn(batch, sets, online));
}

}  // namespace
}  // namespace headrace::worker
