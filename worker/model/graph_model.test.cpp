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
                                                  "layers.deep2.activation=tanh"}}};
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
                                   std::uint64_t keys = 9) {
  schemas::sample_batch batch;
  batch.samples = static_cast<std::uint32_t>(samples);
  batch.features = static_cast<std::uint32_t>(features.size());
  for (std::size_t s = 0; s < samples; ++s) {
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

double loss_of(const schemas::sample_batch& batch, std::span<const float> probabilities) {
  double loss = 0.0;
  for (std::size_t s = 0; s < batch.samples; ++s) {
    const double p = static_cast<double>(probabilities[s]);
    loss -= std::log(batch.labels[s] > 0.5F ? p : 1.0 - p);
  }
  return loss;
}

TEST(GraphModel, ComputesTheGradientOfTheSummedLossForEveryPreset) {
  for (const model_case& one : model_cases()) {
    SCOPED_TRACE(one.preset + ", HEADRACE_SEED=" + std::to_string(test_seed()));
    random_stream random(test_seed());
    const auto features = features_of(4, 2);
    graph_model model(graph_of(one, features));
    const auto batch = random_batch(11, features, random);
    std::vector<row_set> sets;
    model.plan(batch, sets);
    model.plan_network(sets);
    fill(sets, random);
    std::vector<float> online(batch.samples);
    ASSERT_TRUE(model.learn(batch, sets, online));
    std::vector<float> moved(batch.samples);
    const auto loss_with = [&](float& weight, float value) {
      const float kept = weight;
      weight = value;
      model.predict(batch, sets, moved);
      weight = kept;
      return loss_of(batch, moved);
    };
    std::size_t checked = 0;
    for (row_set& set : sets) {
      for (std::size_t i = 0; i < set.values.size(); ++i) {
        constexpr float h = 1.0F / 128;
        const double above = loss_with(set.values[i], set.values[i] + h);
        const double below = loss_with(set.values[i], set.values[i] - h);
        const double expected = (above - below) / (2.0 * static_cast<double>(h));
        EXPECT_NEAR(static_cast<double>(set.gradients[i]), expected, 2e-3)
            << "table " << model.graph().tables()[set.table.value].name << ", value " << i;
        ++checked;
      }
    }
    EXPECT_GT(checked, 8U);
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
    std::vector<float> together(samples);
    ASSERT_TRUE(model.learn(batch, sets, together));
    std::vector<std::vector<float>> sums;
    for (const row_set& set : sets) sums.emplace_back(set.gradients.size(), 0.0F);
    for (std::size_t s = 0; s < samples; ++s) {
      schemas::sample_batch alone;
      alone.samples = 1;
      alone.features = batch.features;
      alone.labels = {batch.labels[s]};
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
      std::vector<float> predicted(1);
      ASSERT_TRUE(model.learn(alone, own, predicted));
      EXPECT_NEAR(predicted[0], together[s], 1e-5);
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
    predicted.emplace_back(batch.samples);
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
    std::vector<float> online(batch.samples);
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
