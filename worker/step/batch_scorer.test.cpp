#include "worker/step/batch_scorer.hpp"

#include "schemas/pull.hpp"
#include "worker/model/presets.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <memory>
#include <string>

namespace headrace::worker {
namespace {

const std::array<model_feature, 2> two_ids{{{"user", false}, {"ad", false}}};

std::shared_ptr<const model_graph> logistic() {
  auto graph = model_graph::load(std::string(find_preset("lr")->text), "lr", {}, two_ids);
  EXPECT_TRUE(graph.ok());
  return std::make_shared<const model_graph>(std::move(*graph));
}

schemas::job_schema schema_of(const model_graph& model, std::uint32_t shards) {
  schemas::job_schema schema;
  schema.shards = shards;
  for (const auto& table : model.tables()) {
    schemas::table_spec spec;
    spec.id = table_id{static_cast<std::uint32_t>(schema.tables.size())};
    spec.name = table.name;
    spec.dim = static_cast<std::uint32_t>(table.dim);
    schema.tables.push_back(spec);
  }
  return schema;
}

schemas::sample_batch three_samples() {
  schemas::sample_batch batch;
  batch.samples = 3;
  batch.features = 2;
  batch.labels = {1.0F, 0.0F, 1.0F};
  batch.row_numbers = {0, 1, 2};
  batch.keys = {1, 10, 2, 20, 1, 20};
  return batch;
}

/// Shards whose row of key k is k / 100 in every column.
frame answer(shard_id shard, const frame& request) {
  const auto asked = schemas::decode_pull(request);
  EXPECT_TRUE(asked.ok());
  EXPECT_EQ(asked->shard, shard);
  schemas::pull_reply header;
  header.shard = shard;
  std::vector<schemas::pulled_block_layout> layouts;
  for (const auto& block : asked->blocks)
    layouts.push_back({block.table, 1, block.codec, static_cast<std::uint32_t>(block.keys.size())});
  schemas::pull_reply_builder reply(header, layouts);
  for (std::size_t b = 0; b < layouts.size(); ++b) {
    const auto memory = reply.block(b);
    for (std::size_t i = 0; i < asked->blocks[b].keys.size(); ++i) {
      const float value = static_cast<float>(asked->blocks[b].keys[i]) / 100.0F;
      std::memcpy(memory.values.data() + i * sizeof value, &value, sizeof value);
    }
  }
  return reply.finish();
}

TEST(BatchScorer, PredictsWithTheRowsOfEveryShard) {
  for (const std::uint32_t shards : {1U, 3U}) {
    const auto model = logistic();
    batch_scorer scorer(model, schema_of(*model, shards), answer);
    std::vector<float> p;
    ASSERT_TRUE(scorer.score(three_samples(), p).ok());
    const auto sigmoid = [](double z) { return 1.0 / (1.0 + std::exp(-z)); };
    ASSERT_EQ(p.size(), 3U);
    EXPECT_NEAR(p[0], sigmoid(0.11), 1e-6) << shards;
    EXPECT_NEAR(p[1], sigmoid(0.22), 1e-6) << shards;
    EXPECT_NEAR(p[2], sigmoid(0.21), 1e-6) << shards;
  }
}

TEST(BatchScorer, PassesOnWhatAShardRefuses) {
  const auto model = logistic();
  batch_scorer scorer(model, schema_of(*model, 1), [](shard_id shard, const frame&) {
    schemas::pull_reply reply;
    reply.shard = shard;
    reply.status = errc::unavailable;
    reply.detail = "not yet";
    return schemas::encode(reply);
  });
  std::vector<float> p;
  const auto scored = scorer.score(three_samples(), p);
  ASSERT_FALSE(scored.ok());
  EXPECT_EQ(scored.error().code, errc::unavailable);
  EXPECT_EQ(scored.error().detail, "not yet");
}

TEST(BatchScorer, TakesSoManySamplesThatTheirRowsFitOnePull) {
  const auto model = logistic();
  const batch_scorer scorer(model, schema_of(*model, 1), answer);
  EXPECT_EQ(scorer.samples_max(2), 512U);
  EXPECT_EQ(scorer.samples_max(1'000), 65U);  // 65,536 rows of a block
  EXPECT_EQ(scorer.samples_max(1'000'000), 1U);
}

}  // namespace
}  // namespace headrace::worker
