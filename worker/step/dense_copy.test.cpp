#include "worker/step/dense_copy.hpp"

#include "schemas/push.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <memory>
#include <string>

namespace headrace::worker {
namespace {

constexpr const char* model_text = R"(
[layers.embedding]
op = "rows"
dim = 2
[layers.vectors]
op = "fields"
inputs = ["embedding"]
[layers.deep]
op = "linear"
inputs = ["vectors"]
units = 3
[layers.logit]
op = "linear"
inputs = ["deep"]
units = 1
[layers.click]
op = "bce"
inputs = ["logit"]
)";

constexpr std::uint32_t shards = 2;

/// A network of two layers, its copy, and the sets of a step.
struct bench {
  bench() : model(graph()), copy(model, shards), sets(model.graph().tables().size()) {
    model.plan(no_samples(), sets);
  }
  static std::shared_ptr<const model_graph> graph() {
    const std::vector<model_feature> features = {{"user"}, {"ad"}};
    auto loaded = model_graph::load(model_text, "test.toml", {}, features);
    EXPECT_TRUE(loaded.ok()) << describe(loaded.error());
    return std::make_shared<const model_graph>(std::move(*loaded));
  }
  static schemas::sample_batch no_samples() {
    schemas::sample_batch batch;
    batch.features = 2;
    return batch;
  }
  /// A step that pulled the network, each parameter `value`.
  void pull(float value) {
    model.plan_network(sets);
    pull_plan plan;
    plan.build(sets, shards);
    for (row_set& set : sets) std::ranges::fill(set.values, value);
    copy.take_pulled(sets, plan);
    model.plan(no_samples(), sets);
  }
  /// A step whose gradients are all `gradient`.
  void learn(float gradient, bool sum = true) {
    copy.lend(sets);
    for (const row_set& table : copy.tables()) {
      row_set& set = sets[table.table.value];
      for (const float start : set.gradients) EXPECT_EQ(start, 0.0F);
      EXPECT_EQ(set.gradients.size(), table.rows() * table.dim);
      std::ranges::fill(set.gradients, gradient);
    }
    copy.take_back(sets, sum);
  }
  /// What every gradient of the next push is, and how many there are; sums start anew.
  std::pair<float, std::size_t> push() {
    gradient_packer packer({.tables = std::vector<push_choice>(sets.size(), push_choice::fp32)},
                           std::vector<bool>(sets.size(), true));
    std::map<float, std::size_t> found;
    for (std::uint32_t s = 0; s < shards; ++s) {
      schemas::push_section header;
      header.shard = shard_id{s};
      header.source = {"events", 1};
      header.batch = batch_number{4};
      const frame bytes = copy.section(header, packer);
      const auto section = schemas::decode_push(bytes);
      EXPECT_TRUE(section.ok());
      EXPECT_EQ(section->lane, schemas::lane::dense);
      for (const auto& block : section->blocks)
        for (const float value : block.fp32_values()) ++found[value];
    }
    copy.start_anew();
    EXPECT_LE(found.size(), 1U);
    return found.empty() ? std::pair(0.0F, std::size_t{0})
                         : std::pair<float, std::size_t>(*found.begin());
  }
  std::size_t parameters() const {
    std::size_t all = 0;
    for (const row_set& table : copy.tables()) all += table.rows() * table.dim;
    return all;
  }

  graph_model model;
  dense_copy copy;
  std::vector<row_set> sets;
};

TEST(DenseCopy, HoldsTheMatricesAndNoRows) {
  const bench b;
  EXPECT_EQ(b.copy.tables().size(), 4U) << "weights and bias of two layers";
  EXPECT_EQ(b.parameters(), 4U * 3 + 3 + 3 + 1);
}

TEST(DenseCopy, AddsGradientsUpUntilTheyArePushed) {
  bench b;
  b.pull(0.5F);
  b.learn(1.0F);
  b.learn(2.0F);
  EXPECT_EQ(b.push(), std::pair(3.0F, b.parameters()));
  b.learn(0.25F);
  EXPECT_EQ(b.push(), std::pair(0.25F, b.parameters()));
}

TEST(DenseCopy, LeavesAStepOutThatIsNotToBeSummed) {
  bench b;
  b.pull(0.5F);
  b.learn(1.0F);
  b.learn(std::numeric_limits<float>::infinity(), false);
  b.learn(4.0F);
  EXPECT_EQ(b.push(), std::pair(5.0F, b.parameters()));
}

TEST(DenseCopy, PushesAHeaderAloneWhereNothingWasSummed) {
  bench b;
  b.pull(0.5F);
  b.learn(1.0F, false);
  EXPECT_EQ(b.push(), std::pair(0.0F, std::size_t{0}));
}

TEST(DenseCopy, LendsWhatWasPulledLastAndTakesItBack) {
  bench b;
  for (const float value : {0.5F, 0.75F}) {
    b.pull(value);
    for (int step = 0; step < 3; ++step) {
      b.copy.lend(b.sets);
      for (const row_set& table : b.copy.tables()) {
        const auto& lent = b.sets[table.table.value].values;
        EXPECT_EQ(lent.size(), table.rows() * table.dim);
        EXPECT_TRUE(std::ranges::all_of(lent, [&](float v) { return v == value; }));
      }
      b.copy.take_back(b.sets, true);
    }
  }
}

}  // namespace
}  // namespace headrace::worker
