// Models over features that are lists: graph_model.hpp, ops that read them.
#include "base/random.hpp"
#include "tests/support/allocation_count.hpp"
#include "worker/model/graph_model.hpp"
#include "worker/model/presets.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <vector>

namespace headrace::worker {
namespace {

using testing::HasSubstr;

constexpr std::uint32_t list_max = 9;

std::uint64_t test_seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 20'261'127;
}

// What the job has: two features with a key, and lists among them.
const std::vector<model_feature> features = {
    {"user"}, {"history", false, list_max}, {"item"}, {"carts", false, list_max}};
const std::vector<model_feature> one_list = {{"history", false, list_max}};

struct list_case {
  std::string name;
  std::string text;
  std::vector<model_feature> features;
  std::vector<std::string> overrides;  // small, smooth and without chance
  bool counts_positions = false;       // its loss is that of next_item
  double width = 1.0;                  // of random weights: large enough for gradients to matter
};

constexpr const char* pooled_model = R"(
[layers.embedding]
op = "rows"
dim = 3
features = ["all", "lists"]
[layers.vectors]
op = "fields"
inputs = ["embedding"]
[layers.history]
op = "tokens"
inputs = ["embedding"]
feature = "history"
[layers.carts]
op = "tokens"
inputs = ["embedding"]
feature = "carts"
[layers.each]
op = "linear"
inputs = ["history"]
units = 4
activation = "tanh"
[layers.both]
op = "concat"
inputs = ["each", "history"]
[layers.mean]
op = "pool"
inputs = ["both"]
[layers.sum]
op = "pool"
inputs = ["carts"]
kind = "sum"
[layers.newest]
op = "last"
inputs = ["carts"]
[layers.joined]
op = "concat"
inputs = ["vectors", "mean", "sum", "newest"]
[layers.even]
op = "layer_norm"
inputs = ["joined"]
[layers.fm]
op = "factorization"
inputs = ["embedding"]
[layers.deep]
op = "linear"
inputs = ["even"]
units = 1
[layers.logit]
op = "sum"
inputs = ["deep", "fm"]
[layers.click]
op = "bce"
inputs = ["logit"]
)";

// Both experts see every token, so a small step sends none elsewhere; room for all, and no losses
// of the router's own.
constexpr const char* routed_model = R"(
[layers.embedding]
op = "rows"
dim = 4
features = ["history"]
[layers.history]
op = "tokens"
inputs = ["embedding"]
[layers.routed]
op = "routed_experts"
inputs = ["history"]
experts = 2
hidden = 5
capacity_factor = 1
balance = 0
z = 0
[layers.mean]
op = "pool"
inputs = ["routed"]
[layers.logit]
op = "linear"
inputs = ["mean"]
units = 1
[layers.click]
op = "bce"
inputs = ["logit"]
)";

std::string preset_text(const char* name) { return std::string(find_preset(name)->text); }

const std::vector<list_case>& list_cases() {
  static const std::vector<list_case> cases = {
      {"pooled", pooled_model, features, {}},
      {"routed", routed_model, one_list, {}, false, 2.0},
      {"din",
       preset_text("din"),
       features,
       {"layers.embedding.dim=3",
        "layers.others.dim=2",
        "layers.interest.units=4",
        "layers.deep1.units=5",
        "layers.deep2.units=4"},
       false,
       2.0},
      {"sasrec",
       preset_text("sasrec"),
       one_list,
       {"layers.embedding.dim=4",       "layers.block0.rate=0",     "layers.qkv1.units=12",
        "layers.attention1.heads=2",    "layers.attended1.rate=0",  "layers.wide1.units=5",
        "layers.wide1.activation=tanh", "layers.wide_kept1.rate=0", "layers.narrow1.units=4",
        "layers.narrow_kept1.rate=0",   "layers.qkv2.units=12",     "layers.attention2.window=3",
        "layers.attention2.globals=1",  "layers.attended2.rate=0",  "layers.wide2.units=5",
        "layers.wide2.activation=silu", "layers.wide_kept2.rate=0", "layers.narrow2.units=4",
        "layers.narrow_kept2.rate=0",   "layers.next.negatives=6"},
       true},
      {"hstu",
       preset_text("hstu"),
       one_list,
       {"layers.embedding.dim=4",
        "layers.block0.rate=0",
        "layers.qkv1.units=12",
        "layers.gate1.units=4",
        "layers.kept1.rate=0",
        "layers.mixed1.units=4",
        "layers.qkv2.units=12",
        "layers.attention2.causal=false",
        "layers.gate2.units=4",
        "layers.kept2.rate=0",
        "layers.mixed2.units=4",
        "layers.next.negatives=6"},
       true},
      {"blocks",
       preset_text("sasrec"),
       one_list,
       {"layers.embedding.dim=4",       "layers.block0.rate=0",
        "layers.qkv1.units=12",         "layers.attention1.op=block_attention",
        "layers.attention1.block=3",    "layers.attention1.heads=2",
        "layers.attended1.rate=0",      "layers.wide1.units=5",
        "layers.wide1.activation=tanh", "layers.wide_kept1.rate=0",
        "layers.narrow1.units=4",       "layers.narrow_kept1.rate=0",
        "layers.qkv2.units=12",         "layers.attention2.op=block_attention",
        "layers.attention2.block=4",    "layers.attention2.causal=false",
        "layers.attended2.rate=0",      "layers.wide2.units=5",
        "layers.wide2.activation=silu", "layers.wide_kept2.rate=0",
        "layers.narrow2.units=4",       "layers.narrow_kept2.rate=0",
        "layers.next.negatives=6"},
       true}};
  return cases;
}

std::shared_ptr<const model_graph> graph_of(const list_case& one) {
  auto loaded = model_graph::load(one.text, one.name, one.overrides, one.features);
  EXPECT_TRUE(loaded.ok()) << one.name << ": " << describe(loaded.error());
  return std::make_shared<const model_graph>(std::move(*loaded));
}

// Lists of 0 to `list_max` ids.
schemas::sample_batch random_batch(const list_case& one,
                                   std::size_t samples,
                                   random_stream& random,
                                   std::uint64_t keys = 15) {
  schemas::sample_batch batch;
  batch.batch = batch_number{1};
  batch.samples = static_cast<std::uint32_t>(samples);
  for (const auto& feature : one.features) ++(feature.list() ? batch.sequences : batch.features);
  for (std::size_t s = 0; s < samples; ++s) {
    batch.labels.push_back(random.next_below(2) == 0 ? 0.0F : 1.0F);
    for (const auto& feature : one.features) {
      if (!feature.list()) {
        batch.keys.push_back(random.next_below(keys));
        continue;
      }
      batch.lengths.push_back(static_cast<std::uint16_t>(random.next_below(list_max + 1)));
      for (std::uint16_t t = 0; t < batch.lengths.back(); ++t)
        batch.sequence_keys.push_back(random.next_below(keys));
    }
  }
  return batch;
}

schemas::sample_batch sample_of(const schemas::sample_batch& batch, std::size_t s) {
  schemas::sample_batch alone;
  alone.samples = 1;
  alone.features = batch.features;
  alone.sequences = batch.sequences;
  alone.labels = {batch.labels[s]};
  const auto at = [](const auto& all, std::size_t i) {
    return all.begin() + static_cast<std::ptrdiff_t>(i);
  };
  alone.keys.assign(at(batch.keys, s * batch.features), at(batch.keys, (s + 1) * batch.features));
  const std::size_t first = s * batch.sequences;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < first; ++i) begin += batch.lengths[i];
  std::size_t count = 0;
  for (std::size_t i = first; i < first + batch.sequences; ++i) count += batch.lengths[i];
  alone.lengths.assign(at(batch.lengths, first), at(batch.lengths, first + batch.sequences));
  alone.sequence_keys.assign(at(batch.sequence_keys, begin),
                             at(batch.sequence_keys, begin + count));
  return alone;
}

void fill(std::vector<row_set>& sets, random_stream& random, double width = 1.0) {
  for (row_set& set : sets)
    for (float& value : set.values) value = static_cast<float>(width * (random.next_unit() - 0.5));
}

double loss_of(const list_case& one,
               const schemas::sample_batch& batch,
               std::span<const float> probabilities) {
  double loss = 0.0;
  for (std::size_t s = 0; s < batch.samples; ++s) {
    const auto p = static_cast<double>(probabilities[s]);
    if (one.counts_positions) {
      loss -= std::max(0.0, static_cast<double>(batch.lengths[s]) - 1.0) * std::log(p);
    } else {
      loss -= std::log(batch.labels[s] > 0.5F ? p : 1.0 - p);
    }
  }
  return loss;
}

TEST(GraphLists, ComputesTheGradientOfTheSummedLoss) {
  for (const list_case& one : list_cases()) {
    SCOPED_TRACE(one.name + ", HEADRACE_SEED=" + std::to_string(test_seed()));
    random_stream random(test_seed());
    graph_model model(graph_of(one));
    const auto batch = random_batch(one, 7, random);
    std::vector<row_set> sets;
    model.plan(batch, sets);
    model.plan_network(sets);
    fill(sets, random, one.width);
    std::vector<float> online(batch.samples);
    ASSERT_TRUE(model.learn(batch, sets, online));
    std::vector<float> moved(batch.samples);
    const auto loss_with = [&](float& weight, float value) {
      const float kept = weight;
      weight = value;
      model.predict(batch, sets, moved);
      weight = kept;
      return loss_of(one, batch, moved);
    };
    for (row_set& set : sets) {
      double largest = 0.0;
      for (std::size_t i = 0; i < set.values.size(); ++i) {
        constexpr float h = 1.0F / 512;
        const double above = loss_with(set.values[i], set.values[i] + h);
        const double below = loss_with(set.values[i], set.values[i] - h);
        const double expected = (above - below) / (2.0 * static_cast<double>(h));
        largest = std::max(largest, std::abs(expected));
        EXPECT_NEAR(
            static_cast<double>(set.gradients[i]), expected, 4e-3 + 5e-3 * std::abs(expected))
            << "table " << model.graph().tables()[set.table.value].name << ", value " << i;
      }
      EXPECT_GT(largest, 1e-2) << model.graph().tables()[set.table.value].name;
    }
  }
}

// Computed again means the same bits, of predictions and of what is learned.
TEST(GraphLists, LearnsTheSameBitsFromActivationsThatAreRecomputed) {
  for (const list_case& one : list_cases()) {
    SCOPED_TRACE(one.name + ", HEADRACE_SEED=" + std::to_string(test_seed()));
    random_stream random(test_seed());
    const auto graph = graph_of(one);
    const auto batch = random_batch(one, 300, random);
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

// Also when lists end in the middle of a bucket, and a batch in several chunks.
TEST(GraphLists, TreatsSamplesAloneAsItDoesInABatchOfSeveralChunks) {
  for (const list_case& one : list_cases()) {
    if (one.counts_positions) continue;  // what is drawn depends on the batch
    SCOPED_TRACE(one.name + ", HEADRACE_SEED=" + std::to_string(test_seed()));
    random_stream random(test_seed());
    graph_model model(graph_of(one));
    constexpr std::size_t samples = graph_model::chunk_tokens / list_max * 3;
    const auto batch = random_batch(one, samples, random);
    std::vector<row_set> sets;
    model.plan(batch, sets);
    model.plan_network(sets);
    fill(sets, random);
    std::vector<float> together(samples);
    ASSERT_TRUE(model.learn(batch, sets, together));
    std::vector<std::vector<double>> sums;
    for (const row_set& set : sets) sums.emplace_back(set.gradients.size(), 0.0);
    for (std::size_t s = 0; s < samples; ++s) {
      const auto alone = sample_of(batch, s);
      std::vector<row_set> own;
      model.plan(alone, own);
      model.plan_network(own);
      const auto place = [&](std::size_t t, std::size_t i) {
        const auto at = std::ranges::lower_bound(sets[t].keys, own[t].keys[i / own[t].dim]);
        return static_cast<std::size_t>(at - sets[t].keys.begin()) * own[t].dim + i % own[t].dim;
      };
      for (std::size_t t = 0; t < own.size(); ++t)
        for (std::size_t i = 0; i < own[t].values.size(); ++i)
          own[t].values[i] = sets[t].values[place(t, i)];
      std::vector<float> predicted(1);
      ASSERT_TRUE(model.learn(alone, own, predicted));
      EXPECT_NEAR(predicted[0], together[s], 1e-5);
      for (std::size_t t = 0; t < own.size(); ++t)
        for (std::size_t i = 0; i < own[t].gradients.size(); ++i)
          sums[t][place(t, i)] += static_cast<double>(own[t].gradients[i]);
    }
    for (std::size_t t = 0; t < sets.size(); ++t) {
      for (std::size_t i = 0; i < sums[t].size(); ++i)
        EXPECT_NEAR(static_cast<double>(sets[t].gradients[i]),
                    sums[t][i],
                    5e-3 + 1e-4 * std::abs(sums[t][i]));
    }
  }
}

TEST(GraphLists, AllocatesNothingOnceItHasSeenABatchOfThatSize) {
  for (list_case one : list_cases()) {
    SCOPED_TRACE(one.name);
    one.overrides.clear();  // with dropout
    random_stream random(test_seed());
    graph_model model(graph_of(one));
    const auto batch = random_batch(one, 1200, random, 1000);
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

TEST(GraphLists, TakesBatchesWhoseListsAreAllEmpty) {
  for (const list_case& one : list_cases()) {
    SCOPED_TRACE(one.name);
    random_stream random(test_seed());
    graph_model model(graph_of(one));
    auto batch = random_batch(one, 5, random);
    std::ranges::fill(batch.lengths, std::uint16_t{0});
    batch.sequence_keys.clear();
    std::vector<row_set> sets;
    model.plan(batch, sets);
    model.plan_network(sets);
    fill(sets, random);
    std::vector<float> online(batch.samples);
    EXPECT_TRUE(model.learn(batch, sets, online));
    for (const float p : online) EXPECT_TRUE(std::isfinite(p));
    if (one.counts_positions) {
      EXPECT_EQ(online, std::vector<float>(batch.samples, 1.0F));
    }
  }
}

}  // namespace
}  // namespace headrace::worker
