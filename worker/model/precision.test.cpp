#include "worker/model/precision.hpp"

#include "base/random.hpp"
#include "kernels/loss_scaler/precision_guard.hpp"
#include "tests/support/allocation_count.hpp"
#include "worker/ingest/planted_source.hpp"
#include "worker/model/graph_model.hpp"
#include "worker/model/precision_watch.hpp"
#include "worker/model/presets.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>
#include <map>
#include <string>
#include <vector>

namespace headrace::worker {
namespace {

using kernels::half_machine;
using tensor = precision_watch::tensor;

std::uint64_t test_seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 20'261'128;
}

TEST(Precision, AutomaticIsBf16WhereThereIsAmxElseF32) {
  using enum precision_choice;
  EXPECT_EQ(chosen_precision(automatic, half_machine::amx), precision::bf16);
  EXPECT_EQ(chosen_precision(automatic, half_machine::avx512), precision::f32);
  EXPECT_EQ(chosen_precision(automatic, half_machine::plain), precision::f32);
  EXPECT_EQ(chosen_precision(bf16, half_machine::plain), precision::bf16);
  EXPECT_EQ(chosen_precision(f32, half_machine::amx), precision::f32);
  EXPECT_TRUE(is_emulated(precision::bf16, half_machine::plain));
  EXPECT_FALSE(is_emulated(precision::bf16, half_machine::avx512));
  EXPECT_TRUE(is_emulated(precision::fp16, half_machine::amx));
  EXPECT_FALSE(is_emulated(precision::f32, half_machine::plain));
}

TEST(PrecisionWatch, ChecksEvery256thStepAndPromotesForAThousand) {
  precision_watch watch(precision::bf16, 2);
  for (int step = 0; step < 512; ++step) {
    EXPECT_EQ(watch.checks(), step % 256 == 0) << step;
    if (step == 256) {
      EXPECT_FALSE(watch.checked(0, 8e-3, precision_watch::forward_tolerance));
      EXPECT_TRUE(watch.checked(1, 8.1e-3, precision_watch::forward_tolerance));
    }
    watch.end_step(true);
  }
  EXPECT_EQ(watch.of(0), precision::bf16);
  for (int step = 512; step < 1'257; ++step, watch.end_step(true))
    EXPECT_EQ(watch.of(1), precision::f32) << step;
  EXPECT_EQ(watch.of(1), precision::bf16);
  EXPECT_EQ(watch.figures(), (precision_figures{precision::bf16, 2, 1, 0, 1.0F}));
}

TEST(PrecisionWatch, InF32NothingIsCheckedOrLookedAt) {
  const precision_watch watch(precision::f32, 1);
  EXPECT_FALSE(watch.checks());
  EXPECT_FALSE(watch.looks(tensor::input));
  EXPECT_EQ(watch.scale(), 1.0F);
}

TEST(PrecisionWatch, WhatIsTooLargeForFp16RunsInF32UntilItLeavesTheWindow) {
  precision_watch watch(precision::fp16, 1);
  const std::vector<float> small = {1.0F, -2.0F};
  const std::vector<float> large = {1.0F, -40'000.0F};
  EXPECT_TRUE(watch.looks(tensor::input));
  EXPECT_EQ(watch.of(0), precision::f32);  // nothing is known yet
  watch.look(0, tensor::weights, small);
  watch.look(0, tensor::input, large);
  EXPECT_EQ(watch.of(0), precision::f32);
  EXPECT_EQ(watch.amax(0, tensor::input), 40'000.0F);
  for (std::size_t i = 0; i < precision_watch::window; ++i) {
    EXPECT_EQ(watch.of(0), precision::f32) << i;
    watch.look(0, tensor::input, small);
  }
  EXPECT_EQ(watch.of(0), precision::fp16);
}

TEST(PrecisionWatch, AStepThatIsNotFiniteHalvesTheScaleOfFp16AndIsCounted) {
  precision_watch watch(precision::fp16, 1);
  EXPECT_EQ(watch.scale(), 65'536.0F);
  watch.end_step(false);
  EXPECT_EQ(watch.scale(), 32'768.0F);
  for (int i = 0; i < 2'000; ++i) watch.end_step(true);
  EXPECT_EQ(watch.scale(), 65'536.0F);
  EXPECT_EQ(watch.figures().steps_not_finite, 1U);
  precision_watch brain(precision::bf16, 1);
  brain.end_step(false);
  EXPECT_EQ(brain.scale(), 1.0F);
  EXPECT_EQ(brain.figures().steps_not_finite, 1U);
}

std::vector<model_feature> numbers_of(std::size_t n) {
  std::vector<model_feature> features;
  for (std::size_t f = 0; f < n; ++f) features.push_back({"x" + std::to_string(f), true});
  return features;
}

std::shared_ptr<const model_graph> graph_of(const std::string& text,
                                            std::span<const model_feature> features,
                                            std::span<const std::string> overrides = {}) {
  auto loaded = model_graph::load(text, "test", overrides, features);
  EXPECT_TRUE(loaded.ok()) << describe(loaded.error());
  return std::make_shared<const model_graph>(std::move(*loaded));
}

/// numbers -> linear of 16 -> linear of 1 -> loss.
const std::string small_network = R"(
[layers.numbers]
op = "numbers"
[layers.wide]
op = "linear"
inputs = ["numbers"]
units = 16
activation = "silu"
[layers.logit]
op = "linear"
inputs = ["wide"]
units = 1
[layers.click]
op = "bce"
inputs = ["logit"]
)";

constexpr std::size_t wide = 1;  // the node

struct network_case {
  explicit network_case(precision as, std::size_t numbers = 32, std::size_t samples = 100)
      : features(numbers_of(numbers)), model(graph_of(small_network, features), as) {
    random_stream random(test_seed());
    batch.samples = static_cast<std::uint32_t>(samples);
    batch.features = static_cast<std::uint32_t>(numbers);
    for (std::size_t s = 0; s < samples; ++s) {
      batch.labels.push_back(random.next_below(2) == 0 ? 0.0F : 1.0F);
      for (std::size_t f = 0; f < numbers; ++f) {
        batch.keys.push_back(f);
        batch.values.push_back(static_cast<float>(random.next_unit() * 2 - 1));
      }
    }
    model.plan(batch, sets);
    model.plan_network(sets);
    for (row_set& set : sets)
      for (float& value : set.values) value = static_cast<float>(random.next_unit() - 0.5);
    probabilities.resize(samples);
  }

  row_set& table(const std::string& name) {
    const auto tables = model.graph().tables();
    const auto at = std::ranges::find(tables, name, &model_table::name);
    EXPECT_NE(at, tables.end());
    return sets[static_cast<std::size_t>(at - tables.begin())];
  }
  bool learn() {
    for (row_set& set : sets) std::ranges::fill(set.gradients, 0.0F);
    return model.learn(batch, sets, probabilities);
  }

  std::vector<model_feature> features;
  graph_model model;
  schemas::sample_batch batch;
  std::vector<row_set> sets;
  std::vector<float> probabilities;
};

TEST(GraphPlan, MultipliesIn16BitsOnlyWhereMatricesAreWideEnough) {
  std::vector<model_feature> features;
  for (int f = 0; f < 26; ++f) features.push_back({"id" + std::to_string(f), false});
  const auto graph = graph_of(std::string(find_preset("deepfm")->text), features);
  const graph_plan plan(*graph, 64, 0, precision::bf16);
  std::map<std::string, precision> found;
  for (std::size_t i = 0; i < graph->nodes().size(); ++i)
    found[graph->nodes()[i].name] = plan.precision_of(i);
  const std::map<std::string, precision> wanted = {{"embedding", precision::f32},
                                                   {"fm", precision::f32},
                                                   {"vectors", precision::f32},
                                                   {"deep1", precision::bf16},
                                                   {"deep2", precision::bf16},
                                                   {"deep3", precision::f32},
                                                   {"logit", precision::f32},
                                                   {"click", precision::f32}};
  EXPECT_EQ(found, wanted);
  EXPECT_GT(plan.words(), 0U);
  EXPECT_EQ(graph_plan(*graph, 64).words(), 0U);
}

TEST(GraphModel, InBf16StaysCloseToF32ButIsNotTheSame) {
  network_case full(precision::f32);
  network_case half(precision::bf16);
  ASSERT_TRUE(full.learn());
  ASSERT_TRUE(half.learn());
  EXPECT_NE(half.probabilities, full.probabilities);
  EXPECT_LE(kernels::relative_error(half.probabilities, full.probabilities), 4e-3);
  for (std::size_t t = 0; t < full.sets.size(); ++t)
    EXPECT_LE(kernels::relative_error(half.sets[t].gradients, full.sets[t].gradients), 1e-2)
        << full.model.graph().tables()[t].name;
}

TEST(GraphModel, InBf16TheSameBatchesGiveTheSameBits) {
  network_case once(precision::bf16);
  network_case again(precision::bf16);
  for (int step = 0; step < 3; ++step) {
    once.learn();
    again.learn();
  }
  EXPECT_EQ(once.probabilities, again.probabilities);
  for (std::size_t t = 0; t < once.sets.size(); ++t)
    EXPECT_EQ(once.sets[t].gradients, again.sets[t].gradients);
}

TEST(GraphModel, PacksItsWeightsAnewForEachBatch) {
  network_case half(precision::bf16);
  half.learn();
  const auto before = half.probabilities;
  for (float& value : half.table("wide_weights").values) value *= -1.0F;
  half.learn();
  EXPECT_NE(half.probabilities, before);
}

TEST(GraphModel, ChecksASliceOfEachHalfLayerEvery256Steps) {
  network_case half(precision::bf16, 32, 600);  // two chunks
  half.learn();
  EXPECT_EQ(half.model.precision_so_far().checks, 1U);  // nobody wants the numbers' gradient
  EXPECT_GT(half.model.watch().amax(wide, tensor::input), 0.9F);
  EXPECT_GT(half.model.watch().amax(wide, tensor::weights), 0.4F);
  EXPECT_GT(half.model.watch().amax(wide, tensor::gradient), 0.0F);
  for (int step = 1; step < 256; ++step) half.learn();
  EXPECT_EQ(half.model.precision_so_far().checks, 1U);
  half.learn();
  EXPECT_EQ(half.model.precision_so_far().checks, 2U);
  EXPECT_EQ(half.model.precision_so_far().promotions, 0U);
}

// Sums that cancel: 1.00 … 1.01 rounds to one of two words of bf16, and what is left of the sum is
// smaller than that step.
TEST(GraphModel, ALayerThatBf16IsTooCoarseForRunsInF32) {
  const auto cancelling = [](network_case& one) {
    random_stream random(test_seed());
    for (float& value : one.batch.values)
      value = 1.0F + static_cast<float>(random.next_unit() / 100);
    auto& weights = one.table("wide_weights").values;
    for (std::size_t i = 0; i < weights.size(); ++i) weights[i] = i / 16 % 2 == 0 ? 1.0F : -1.0F;
    std::ranges::fill(one.table("wide_bias").values, 0.0F);
  };
  network_case full(precision::f32);
  network_case half(precision::bf16);
  cancelling(full);
  cancelling(half);
  full.learn();
  half.learn();
  EXPECT_NE(half.probabilities, full.probabilities);
  EXPECT_EQ(half.model.precision_so_far().promotions, 1U);
  half.learn();
  EXPECT_EQ(half.probabilities, full.probabilities);
}

TEST(GraphModel, InF32AFeatureThatIsNotANumberMakesTheStepNotFinite) {
  network_case one(precision::f32);
  one.batch.values[40] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_FALSE(one.learn());
  EXPECT_EQ(one.model.precision_so_far().steps_not_finite, 1U);
  one.batch.values[40] = 0.5F;
  EXPECT_TRUE(one.learn());
  EXPECT_EQ(one.model.precision_so_far().steps_not_finite, 1U);
}

// A gradient of 1e38 from each of a hundred samples: the loss is finite, their sum isn't.
TEST(GraphModel, AGradientThatIsNotFiniteMakesTheStepNotFinite) {
  network_case one(precision::f32);
  std::ranges::fill(one.batch.values, 1e38F);
  std::ranges::fill(one.table("wide_weights").values, 0.0F);
  std::ranges::fill(one.table("wide_bias").values, 1.0F);
  std::ranges::fill(one.batch.labels, 1.0F);
  EXPECT_FALSE(one.learn());
  EXPECT_TRUE(std::ranges::all_of(one.probabilities, [](float p) { return std::isfinite(p); }));
}

// dz of some 3 times 2^16 is more than fp16 holds, times 2^14 it isn't.
TEST(GraphModel, InFp16AScaleThatOverflowsIsHalvedUntilGradientsAreFinite) {
  network_case full(precision::f32);
  network_case half(precision::fp16);
  for (network_case* one : {&full, &half}) {
    std::ranges::fill(one->table("logit_weights").values, 3.0F);
    std::ranges::fill(one->table("wide_bias").values, 1.0F);
    std::ranges::fill(one->batch.labels, 0.0F);  // while the logit is large: |p - y| of nearly 1
  }
  ASSERT_TRUE(full.learn());
  EXPECT_FALSE(half.learn());
  EXPECT_FALSE(half.learn());
  EXPECT_EQ(half.model.precision_so_far().steps_not_finite, 2U);
  EXPECT_EQ(half.model.precision_so_far().scale, 16'384.0F);
  ASSERT_TRUE(half.learn());
  EXPECT_EQ(half.model.precision_so_far().promotions, 0U);
  EXPECT_LE(kernels::relative_error(half.table("wide_weights").gradients,
                                    full.table("wide_weights").gradients),
            1.25e-3);
}

TEST(GraphModel, InFp16InputsBeyondItsRangeAreMultipliedInF32) {
  network_case full(precision::f32);
  network_case half(precision::fp16);
  for (network_case* one : {&full, &half}) {
    for (float& value : one->batch.values) value *= 1e5F;
    for (float& value : one->table("wide_weights").values) value *= 1e-5F;
  }
  ASSERT_TRUE(full.learn());
  ASSERT_TRUE(half.learn());
  EXPECT_EQ(half.probabilities, full.probabilities);
}

TEST(GraphModel, InBf16AStepAllocatesNothing) {
  if (kernels::fastest_half_machine() != half_machine::plain)
    GTEST_SKIP() << "oneDNN, which this machine multiplies by, allocates as it likes";
  for (const precision as : {precision::bf16, precision::fp16}) {
    network_case one(as, 32, 600);
    one.learn();
    one.learn();
    const tests::allocation_count allocations;
    for (int step = 0; step < 260; ++step) one.learn();  // a check among them
    EXPECT_EQ(allocations.made(), 0U);
  }
}

// Adagrad in plain loops stands in for the shards: rows by key, and the matrices.
class plain_learner {
 public:
  plain_learner(std::shared_ptr<const model_graph> graph, precision as)
      : graph_(graph), model_(std::move(graph), as), tables_(graph_->tables().size()) {}

  /// Logloss of a batch before it is learned, summed.
  double learn(const schemas::sample_batch& batch) {
    model_.plan(batch, sets_);
    model_.plan_network(sets_);
    for (row_set& set : sets_) pull(set);
    probabilities_.resize(batch.samples);
    EXPECT_TRUE(model_.learn(batch, sets_, probabilities_));
    for (row_set& set : sets_) push(set);
    double loss = 0;
    for (std::size_t s = 0; s < batch.samples; ++s) {
      const double p = std::clamp(static_cast<double>(probabilities_[s]), 1e-7, 1 - 1e-7);
      loss -= std::log(batch.labels[s] > 0.5F ? p : 1 - p);
    }
    return loss;
  }

 private:
  struct row {
    std::vector<float> values;
    std::vector<float> squares;
  };
  row& row_of(const row_set& set, std::size_t i) {
    row& found = tables_[set.table.value][set.keys[i]];
    if (!found.values.empty()) return found;
    random_stream random(mix64(set.keys[i]) + set.table.value);
    const float scale = graph_->tables()[set.table.value].init_scale;
    for (std::size_t c = 0; c < set.dim; ++c)
      found.values.push_back(scale * static_cast<float>(random.next_unit() * 2 - 1));
    found.squares.assign(set.dim, 0.1F);
    return found;
  }
  void pull(row_set& set) {
    for (std::size_t i = 0; i < set.rows(); ++i)
      std::ranges::copy(row_of(set, i).values, set.values.begin() + offset(set, i));
  }
  void push(const row_set& set) {
    for (std::size_t i = 0; i < set.rows(); ++i) {
      row& of = row_of(set, i);
      for (std::size_t c = 0; c < set.dim; ++c) {
        const float g = set.gradients[i * set.dim + c];
        of.squares[c] += g * g;
        of.values[c] -= 0.05F * g / std::sqrt(of.squares[c]);
      }
    }
  }
  static std::ptrdiff_t offset(const row_set& set, std::size_t i) {
    return static_cast<std::ptrdiff_t>(i * set.dim);
  }

  std::shared_ptr<const model_graph> graph_;
  graph_model model_;
  std::vector<std::map<std::uint64_t, row>> tables_;
  std::vector<row_set> sets_;
  std::vector<float> probabilities_;
};

schemas::sample_batch planted_batch(planted_source& source, std::uint32_t samples) {
  schemas::sample_batch batch;
  batch.samples = samples;
  batch.features = static_cast<std::uint32_t>(source.features());
  event drawn;
  for (std::uint32_t s = 0; s < samples; ++s) {
    EXPECT_TRUE(source.next(drawn).value());
    batch.labels.push_back(drawn.label);
    batch.keys.insert(batch.keys.end(), drawn.keys.begin(), drawn.keys.end());
    batch.values.insert(batch.values.end(), drawn.values.begin(), drawn.values.end());
  }
  return batch;
}

TEST(GraphModel, DeepfmInBf16LearnsThePlantedSetAsWellAsInF32) {
  std::vector<model_feature> features;
  for (std::size_t f = 0; f < planted_source::id_fields; ++f)
    features.push_back({"id" + std::to_string(f), false});
  for (std::size_t f = 0; f < planted_source::dense_fields; ++f)
    features.push_back({"x" + std::to_string(f), true});
  const std::vector<std::string> small = {
      "layers.embedding.dim=4", "layers.deep1.units=32", "layers.deep2.units=16"};
  const auto graph = graph_of(std::string(find_preset("deepfm")->text), features, small);
  constexpr std::uint32_t samples = 256;
  constexpr std::uint32_t batches = 40;
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  planted_source source(samples * batches, seed, generator::planted);
  plain_learner full(graph, precision::f32);
  plain_learner half(graph, precision::bf16);
  double in_full = 0;
  double in_half = 0;
  for (std::uint32_t b = 0; b < batches; ++b) {
    const auto batch = planted_batch(source, samples);
    in_full += full.learn(batch);
    in_half += half.learn(batch);
  }
  constexpr double all = samples * batches;
  EXPECT_NE(in_half, in_full);
  EXPECT_LE(std::abs(in_half - in_full) / all, 5e-4);
  EXPECT_LT(in_full / all, 0.69);
}

}  // namespace
}  // namespace headrace::worker
