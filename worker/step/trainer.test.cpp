#include "worker/step/trainer.hpp"

#include "base/random.hpp"
#include "kernels/init_rows/init_rows.hpp"
#include "kernels/quantize_rows/quantize_rows.hpp"
#include "kernels/sparse_update/sparse_update.hpp"
#include "worker/metrics/progressive_metrics.hpp"
#include "worker/model/presets.hpp"
#include "worker/step/prediction_log.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <sstream>

namespace headrace::worker {
namespace {

std::uint64_t test_seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 20'240'613;
}

std::shared_ptr<const model_graph> model_of(std::string_view preset,
                                            std::uint32_t dim,
                                            std::span<const model_feature> features = {}) {
  auto loaded = load_preset(preset, features, dim);
  EXPECT_TRUE(loaded.ok()) << describe(loaded.error());
  return std::make_shared<const model_graph>(std::move(*loaded));
}

schemas::job_schema schema_of(std::uint32_t latent, std::uint32_t shards = 4) {
  schemas::job_schema schema;
  schema.shards = shards;
  schemas::table_spec rows;
  rows.id = table_id{0};
  rows.name = "rows";
  rows.dim = 1 + latent;
  rows.optimizer.first_order_columns = 1;
  rows.init = {3, 0.1F};
  schemas::table_spec bias;
  bias.id = table_id{1};
  bias.name = "bias";
  bias.optimizer.first_order_columns = 1;
  schema.tables = {rows, bias};
  return schema;
}

std::shared_ptr<schemas::sample_batch> batch_of(std::vector<float> labels,
                                                std::vector<std::uint64_t> keys,
                                                std::vector<float> values = {},
                                                std::uint64_t number = 1) {
  auto batch = std::make_shared<schemas::sample_batch>();
  batch->source = {"events", 1};
  batch->batch = batch_number{number};
  batch->prev = batch_number{number - 1};
  batch->samples = static_cast<std::uint32_t>(labels.size());
  batch->features = labels.empty() ? 0 : static_cast<std::uint32_t>(keys.size() / labels.size());
  batch->row_numbers.assign(labels.size(), number);
  batch->labels = std::move(labels);
  batch->keys = std::move(keys);
  batch->values = std::move(values);
  return batch;
}

// The server's side in a map: default rows, Adagrad or add, through the real messages.
class map_server {
 public:
  explicit map_server(schemas::job_schema schema) : schema_(std::move(schema)) {}

  std::vector<float>& row(std::uint32_t table, std::uint64_t key) {
    const auto [at, is_new] = rows_.try_emplace({table, key});
    if (is_new) at->second = default_row(table, key);
    return at->second;
  }

  std::vector<float> default_row(std::uint32_t table, std::uint64_t key) const {
    const auto& spec = schema_.tables[table];
    std::vector<float> made(spec.dim);
    kernels::init_rows({.keys = std::span(&key, 1),
                        .seed = spec.init.seed,
                        .scale = spec.init.scale,
                        .first_order_columns = spec.optimizer.first_order_columns,
                        .dim = spec.dim,
                        .values = made,
                        .rows = {}});
    made.resize(spec.dim * 2, spec.optimizer.initial_accumulator);
    return made;
  }

  schemas::pull_reply answer(const frame& section) const {
    const auto asked = schemas::decode_pull(section);
    EXPECT_TRUE(asked.ok());
    std::vector<schemas::pulled_block_layout> layouts;
    for (const auto& block : asked->blocks) {
      layouts.push_back({block.table,
                         schema_.tables[block.table.value].dim,
                         schemas::value_codec::fp32,
                         static_cast<std::uint32_t>(block.keys.size())});
    }
    schemas::pull_reply head;
    head.shard = asked->shard;
    head.version = version_;
    head.epoch = epoch{7};
    schemas::pull_reply_builder builder(head, layouts);
    for (std::size_t b = 0; b < asked->blocks.size(); ++b) {
      const auto& block = asked->blocks[b];
      EXPECT_TRUE(std::is_sorted(block.keys.begin(), block.keys.end()));
      auto memory = builder.block(b);
      const std::size_t dim = layouts[b].dim;
      for (std::size_t i = 0; i < block.keys.size(); ++i) {
        EXPECT_EQ(schemas::shard_of(row_key{block.keys[i]}, schema_.shards), asked->shard);
        const auto known = rows_.find({block.table.value, block.keys[i]});
        const auto values =
            known != rows_.end() ? known->second : default_row(block.table.value, block.keys[i]);
        std::memcpy(
            memory.values.data() + i * dim * sizeof(float), values.data(), dim * sizeof(float));
        if (known == rows_.end()) memory.absent[i / 8] |= std::byte{1} << (i % 8);
      }
    }
    return schemas::decode_pull_reply(builder.finish()).value();
  }

  void apply(const frame& section) {
    const auto push = schemas::decode_push(section);
    ASSERT_TRUE(push.ok());
    for (const auto& block : push->blocks) {
      const auto& spec = schema_.tables[block.table.value];
      std::vector<float*> rows;
      for (const std::uint64_t key : block.keys) rows.push_back(row(block.table.value, key).data());
      kernels::sparse_update_args step;
      step.rows = rows;
      step.dim = block.dim;
      if (block.codec == schemas::value_codec::int8) {
        step.codes = block.int8_codes();
        step.scales = block.scales;
      } else {
        step.gradients = block.fp32_values();
      }
      step.rule = static_cast<kernels::update_rule>(spec.optimizer.kind);
      step.rate = spec.optimizer.rate;
      step.first_rate = spec.optimizer.first_rate;
      step.first_columns = spec.optimizer.first_order_columns;
      kernels::sparse_update(step);
    }
    ++version_;
  }

  void pull(trainer& by, training_step& step) const {
    for (std::uint32_t s = 0; s < schema_.shards; ++s) {
      const frame section = step.plan.section(shard_id{s}, step.sets, by.schema_version());
      if (section.empty()) continue;
      EXPECT_TRUE(by.accept(step, answer(section)).ok());
    }
    EXPECT_TRUE(step.plan.complete());
  }

  // One batch through the whole step; the step as it was pushed.
  std::unique_ptr<training_step> train(trainer& by,
                                       std::shared_ptr<const schemas::sample_batch> batch) {
    auto step = by.begin(std::move(batch));
    pull(by, *step);
    by.learn(*step);
    for (std::uint32_t s = 0; s < schema_.shards; ++s) {
      const frame section = by.push_section(*step, shard_id{s}, step->batch->prev);
      if (!section.empty()) apply(section);
    }
    return step;
  }

 private:
  schemas::job_schema schema_;
  std::map<std::pair<std::uint32_t, std::uint64_t>, std::vector<float>> rows_;
  std::uint64_t version_ = 0;
};

// Σ cross-entropy of an FM on double, straight from its definition.
double loss_of(const schemas::sample_batch& batch, map_server& server, std::uint32_t latent) {
  double loss = 0.0;
  for (std::uint32_t i = 0; i < batch.samples; ++i) {
    double logit = static_cast<double>(server.row(1, 0)[0]);
    for (std::uint32_t f = 0; f < batch.features; ++f) {
      const std::size_t at = i * batch.features + f;
      const double x = batch.values.empty() ? 1.0 : static_cast<double>(batch.values[at]);
      const auto& w = server.row(0, batch.keys[at]);
      logit += static_cast<double>(w[0]) * x;
      for (std::uint32_t g = 0; g < f; ++g) {
        const std::size_t other = i * batch.features + g;
        const double y = batch.values.empty() ? 1.0 : static_cast<double>(batch.values[other]);
        const auto& v = server.row(0, batch.keys[other]);
        for (std::uint32_t k = 1; k <= latent; ++k)
          logit += static_cast<double>(w[k]) * static_cast<double>(v[k]) * x * y;
      }
    }
    const double label = static_cast<double>(batch.labels[i]);
    loss += std::max(logit, 0.0) - logit * label + std::log1p(std::exp(-std::fabs(logit)));
  }
  return loss;
}

TEST(PullPlan, GivesEachShardItsKeysOnceAndAscending) {
  const std::uint64_t seed = test_seed();
  random_stream random(seed);
  for (const std::uint32_t shards : {1U, 4U, 7U, 64U}) {
    std::vector<row_set> sets(2);
    for (std::uint32_t s = 0; s < 2; ++s) {
      sets[s].table = table_id{s};
      sets[s].dim = 1 + s;
      for (int i = 0; i < 100; ++i) sets[s].keys.push_back(random.next());
      std::sort(sets[s].keys.begin(), sets[s].keys.end());
      sets[s].size_buffers();
    }
    pull_plan plan;
    for (int again = 0; again < 2; ++again) {  // buffers are reused
      plan.build(sets, shards);
      for (std::size_t s = 0; s < 2; ++s) {
        std::vector<std::uint64_t> all;
        for (std::uint32_t shard = 0; shard < shards; ++shard) {
          const auto& part = plan.at(shard_id{shard}, s);
          EXPECT_TRUE(std::is_sorted(part.keys.begin(), part.keys.end()));
          ASSERT_EQ(part.rows.size(), part.keys.size());
          for (std::size_t i = 0; i < part.rows.size(); ++i)
            EXPECT_EQ(sets[s].keys[part.rows[i]], part.keys[i]);
          all.insert(all.end(), part.keys.begin(), part.keys.end());
        }
        std::sort(all.begin(), all.end());
        EXPECT_EQ(all, sets[s].keys) << "seed " << seed;
      }
    }
    EXPECT_LE(plan.shards_touched(), shards);
  }
}

TEST(PullPlan, RefusesRepliesOfAnotherShapeAndIgnoresSecondOnes) {
  const auto schema = schema_of(2, 1);
  map_server server(schema);
  trainer by(model_of("fm", 2), schema, schemas::value_codec::fp32);
  auto step = by.begin(batch_of({1.0F}, {5, 6}));
  const auto good = server.answer(step->plan.section(shard_id{0}, step->sets, by.schema_version()));
  const auto refused = [&](auto change) {
    auto reply = good;
    change(reply);
    const auto accepted = by.accept(*step, reply);
    return !accepted.ok() && accepted.error().code == errc::malformed && !step->plan.complete();
  };
  EXPECT_TRUE(refused([](auto& r) { r.shard = shard_id{9}; }));
  EXPECT_TRUE(refused([](auto& r) { r.blocks.pop_back(); }));
  EXPECT_TRUE(refused([](auto& r) { r.blocks.push_back(r.blocks[0]); }));
  EXPECT_TRUE(refused([](auto& r) { r.blocks[0].table = table_id{1}; }));
  EXPECT_TRUE(refused([](auto& r) { r.blocks[0].dim = 2; }));
  EXPECT_TRUE(refused([](auto& r) { r.blocks[0].rows = 1; }));
  EXPECT_TRUE(refused([](auto& r) { r.blocks[0].values = r.blocks[0].values.first(4); }));
  EXPECT_TRUE(by.accept(*step, good).ok());
  EXPECT_TRUE(step->plan.complete());
  EXPECT_TRUE(by.accept(*step, good).ok());
  EXPECT_TRUE(step->plan.complete());
  EXPECT_EQ(step->plan.pulled_epoch(shard_id{0}), epoch{7});
}

// Gradients known another way: the loss's own differences.
TEST(Trainer, PushesTheGradientOfTheSummedLoss) {
  const std::uint64_t seed = test_seed();
  random_stream random(seed);
  const std::uint32_t latent = 3;
  const auto schema = schema_of(latent);
  map_server server(schema);
  trainer by(model_of("fm", latent), schema, schemas::value_codec::fp32);
  std::vector<float> labels;
  std::vector<std::uint64_t> keys;
  std::vector<float> values;
  for (int i = 0; i < 8; ++i) {
    labels.push_back(random.next() % 2 == 0 ? 0.0F : 1.0F);
    for (int f = 0; f < 5; ++f) {
      keys.push_back(random.next_below(12));  // repeats, within a sample too
      values.push_back(static_cast<float>(random.next_unit() * 2 - 1));
    }
  }
  const auto batch = batch_of(labels, keys, values);
  for (const std::uint64_t key : keys) {
    for (std::uint32_t c = 0; c <= latent; ++c)
      server.row(0, key)[c] = static_cast<float>(random.next_unit() - 0.5);
  }
  server.row(1, 0)[0] = -0.3F;

  auto step = by.begin(batch);
  server.pull(by, *step);
  by.learn(*step);
  std::size_t checked = 0;
  for (std::uint32_t s = 0; s < schema.shards; ++s) {
    const frame bytes = by.push_section(*step, shard_id{s}, batch_number{0});
    if (bytes.empty()) continue;
    const auto push = schemas::decode_push(bytes).value();
    for (const auto& block : push.blocks) {
      for (std::size_t i = 0; i < block.keys.size() * block.dim; ++i) {
        float& weight = server.row(block.table.value, block.keys[i / block.dim])[i % block.dim];
        const float kept = weight;
        constexpr float h = 1.0F / 256;
        weight = kept + h;
        const double above = loss_of(*batch, server, latent);
        weight = kept - h;
        const double below = loss_of(*batch, server, latent);
        weight = kept;
        const double expected = (above - below) / (2.0 * static_cast<double>(h));
        EXPECT_NEAR(static_cast<double>(block.fp32_values()[i]), expected, 1e-3) << "seed " << seed;
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 30U);
}

TEST(Trainer, PushesOccurrencesAndWhatItSawOfTheShard) {
  const auto schema = schema_of(2, 1);
  map_server server(schema);
  trainer by(model_of("fm", 2), schema, schemas::value_codec::int8);
  auto step = by.begin(batch_of({1.0F, 0.0F}, {5, 6, 5, 7}, {}, 9));
  server.pull(by, *step);
  by.learn(*step);
  const frame bytes = by.push_section(*step, shard_id{0}, batch_number{8});
  const auto push = schemas::decode_push(bytes).value();
  EXPECT_EQ(push.batch.value, 9U);
  EXPECT_EQ(push.prev.value, 8U);
  EXPECT_EQ(push.epoch.value, 7U);
  ASSERT_EQ(push.blocks.size(), 2U);
  const auto counts = push.blocks[0].counts;
  EXPECT_EQ(std::vector<std::uint32_t>(counts.begin(), counts.end()),
            (std::vector<std::uint32_t>{2, 1, 1}));
  EXPECT_EQ(push.blocks[1].counts[0], 2U);  // the bias occurs once a sample
  auto single = by.begin(batch_of({1.0F}, {5, 6}, {}, 10));
  server.pull(by, *single);
  by.learn(*single);
  const frame once = by.push_section(*single, shard_id{0}, batch_number{9});
  EXPECT_TRUE(schemas::decode_push(once)->blocks[0].counts.empty());  // all 1
}

TEST(GradientPacker, KeepsInt8RowsWithinHalfAStep) {
  const std::uint64_t seed = test_seed();
  random_stream random(seed);
  std::vector<row_set> sets(1);
  sets[0].dim = 9;
  for (std::uint64_t k = 0; k < 500; ++k) sets[0].keys.push_back(k * 3);
  sets[0].counts.assign(500, 1);
  sets[0].size_buffers();
  for (std::size_t i = 0; i < sets[0].gradients.size(); ++i) {
    const double magnitude = std::pow(10.0, static_cast<double>(i / 9 % 9) - 6);
    sets[0].gradients[i] = static_cast<float>((random.next_unit() * 2 - 1) * magnitude);
  }
  pull_plan plan;
  plan.build(sets, 4);
  gradient_packer packer({.tables = {push_choice::int8}}, {false});
  std::size_t rows = 0;
  for (std::uint32_t s = 0; s < 4; ++s) {
    schemas::push_section header;
    header.shard = shard_id{s};
    header.source = {"events", 1};
    header.batch = batch_number{1};
    const frame bytes = packer.section(header, sets, plan);
    const auto push = schemas::decode_push(bytes).value();
    ASSERT_EQ(push.blocks.size(), 1U);
    const auto& block = push.blocks[0];
    std::vector<float> values(block.keys.size() * 9);
    kernels::dequantize_rows(
        {.codes = block.int8_codes(), .scales = block.scales, .dim = 9, .values = values});
    for (std::size_t i = 0; i < block.keys.size(); ++i, ++rows) {
      const float* exact = &sets[0].gradients[block.keys[i] / 3 * 9];
      const float largest = *std::max_element(
          exact, exact + 9, [](float a, float b) { return std::fabs(a) < std::fabs(b); });
      // Half a step of max/127, the scale rounded up to fp16 (2^-10, or one subnormal step).
      const float bound =
          std::max(std::fabs(largest) / 127 * (1 + 0x1p-10F), 0x1p-24F) / 2 * 1.001F + 0x1p-25F;
      for (std::size_t c = 0; c < 9; ++c)
        EXPECT_NEAR(values[i * 9 + c], exact[c], bound) << "seed " << seed;
    }
  }
  EXPECT_EQ(rows, 500U);
}

TEST(GradientPacker, DropsAndCountsRowsThatAreNotFinite) {
  for (const auto codec : {schemas::value_codec::int8, schemas::value_codec::fp32}) {
    std::vector<row_set> sets(1);
    sets[0].dim = 2;
    sets[0].keys = {1, 2, 3, 4};
    sets[0].counts = {1, 2, 1, 1};
    sets[0].size_buffers();
    sets[0].gradients = {1.0F,
                         2.0F,
                         std::numeric_limits<float>::quiet_NaN(),
                         0.0F,
                         0.0F,
                         -std::numeric_limits<float>::infinity(),
                         3.0F,
                         std::numeric_limits<float>::max()};
    pull_plan plan;
    plan.build(sets, 1);
    gradient_packer packer(
        {.tables = {codec == schemas::value_codec::int8 ? push_choice::int8 : push_choice::fp32}},
        {false});
    schemas::push_section header;
    header.source = {"events", 1};
    header.batch = batch_number{1};
    const frame bytes = packer.section(header, sets, plan);
    const auto push = schemas::decode_push(bytes).value();
    const auto keys = push.blocks[0].keys;
    EXPECT_EQ(std::vector<std::uint64_t>(keys.begin(), keys.end()),
              (std::vector<std::uint64_t>{1, 4}));
    EXPECT_EQ(packer.rows_not_finite(), 2U);
    sets[0].gradients.assign(8, std::numeric_limits<float>::infinity());
    const frame nothing = packer.section(header, sets, plan);
    EXPECT_TRUE(
        schemas::decode_push(nothing)->blocks.empty());  // the batch still advances the shard
    EXPECT_EQ(packer.rows_not_finite(), 6U);
  }
}

/// DeepFM's tables as the job file would have them.
schemas::job_schema schema_for(const model_graph& model, std::uint32_t shards) {
  schemas::job_schema schema;
  schema.shards = shards;
  for (const model_table& table : model.tables()) {
    schemas::table_spec spec;
    spec.id = table_id{static_cast<std::uint32_t>(schema.tables.size())};
    spec.name = table.name;
    spec.dim = static_cast<std::uint32_t>(table.dim);
    spec.optimizer.first_order_columns = table.first_order_columns;
    spec.init = {3, table.init_scale};
    schema.tables.push_back(spec);
  }
  return schema;
}

/// A DeepFM that pushes its network as topk5 and the rest in int8.
struct sparse_job {
  sparse_job() : model(deepfm()), schema(schema_for(*model, 2)) {
    for (const model_table& table : model->tables())
      push.tables.push_back(table.rows > 1 ? push_choice::topk5 : push_choice::int8);
  }
  static std::shared_ptr<const model_graph> deepfm() {
    const std::vector<model_feature> features = {{.name = "user"}, {.name = "item"}};
    return model_of("deepfm", 4, features);
  }
  trainer make() const { return trainer(model, schema, push); }
  /// All sections of one batch, one after the other.
  static std::vector<std::byte> pushed(trainer& by,
                                       const map_server& server,
                                       std::shared_ptr<schemas::sample_batch> batch) {
    auto step = by.begin(std::move(batch));
    server.pull(by, *step);
    by.learn(*step);
    std::vector<std::byte> bytes;
    const auto append = [&](const frame& section) {
      bytes.insert(bytes.end(), section.bytes().begin(), section.bytes().end());
    };
    for (std::uint32_t s = 0; s < 2; ++s)
      append(by.push_section(*step, shard_id{s}, batch_number{0}));
    for (const frame& section : by.push_dense(*step, batch_number{0})) append(section);
    by.recycle(std::move(step));
    return bytes;
  }

  std::shared_ptr<const model_graph> model;
  schemas::job_schema schema;
  push_spec push;
};

std::shared_ptr<schemas::sample_batch> three_of(std::uint64_t number, std::uint64_t key) {
  return batch_of({1.0F, 0.0F, 1.0F}, {key, 11, key, 12, key, 13}, {}, number);
}

TEST(Trainer, PushesTheNetworkAsTopkAndTheRowsInInt8) {
  const sparse_job job;
  map_server server(job.schema);
  trainer by = job.make();
  const auto bytes = sparse_job::pushed(by, server, three_of(2'000, 10));
  std::size_t values = 0;
  for (const auto& table : job.model->tables()) values += table.rows * table.dim;
  EXPECT_LT(bytes.size(), values * sizeof(float) / 20);
}

TEST(Trainer, ABatchThatIsNotFiniteKeepsWhatWasLeftOut) {
  const sparse_job job;
  map_server server(job.schema);
  trainer straight = job.make();
  trainer disturbed = job.make();
  sparse_job::pushed(straight, server, three_of(1, 10));
  sparse_job::pushed(disturbed, server, three_of(1, 10));
  server.row(0, 66)[0] = std::numeric_limits<float>::infinity();
  sparse_job::pushed(disturbed, server, three_of(2, 66));
  EXPECT_EQ(disturbed.steps_not_finite(), 1U);
  EXPECT_EQ(sparse_job::pushed(disturbed, server, three_of(3, 20)),
            sparse_job::pushed(straight, server, three_of(3, 20)));
}

/// Blocks in all sections of a step that learns this batch: of the rows, then of the network.
std::size_t blocks_pushed(trainer& by,
                          const map_server& server,
                          std::shared_ptr<schemas::sample_batch> batch) {
  auto step = by.begin(std::move(batch));
  server.pull(by, *step);
  by.learn(*step);
  std::vector<frame> sections = by.push_dense(*step, batch_number{0});
  for (std::uint32_t s = 0; s < 2; ++s)
    sections.push_back(by.push_section(*step, shard_id{s}, batch_number{0}));
  std::size_t blocks = 0;
  for (const frame& section : sections)
    if (section.size() > 0) blocks += schemas::decode_push(section)->blocks.size();
  by.recycle(std::move(step));
  return blocks;
}

TEST(Trainer, PushesNothingOfAStepWithAFeatureThatIsNotANumber) {
  const sparse_job job;
  map_server server(job.schema);
  trainer by = job.make();
  auto bad = three_of(1, 10);
  bad->values = {1.0F, 1.0F, std::numeric_limits<float>::quiet_NaN(), 1.0F, 1.0F, 1.0F};
  EXPECT_EQ(blocks_pushed(by, server, bad), 0U);
  EXPECT_EQ(by.steps_not_finite(), 1U);
  EXPECT_GT(blocks_pushed(by, server, three_of(2, 10)), 0U);
  EXPECT_EQ(by.steps_not_finite(), 1U);
}

// Where the logit's weights are 3, the gradient before them is some 1.5, times 2^16 more than fp16
// holds; times 2^15 it is less.
TEST(Trainer, PushesNothingOfAStepThatOverflowsInFp16AndHalvesTheScale) {
  const sparse_job job;
  map_server server(job.schema);
  std::uint32_t table = 0;
  while (job.model->tables()[table].name != "deep3_weights") ++table;
  for (std::uint64_t key = 0; key < job.model->tables()[table].rows; ++key)
    server.row(table, key)[0] = 3.0F;
  trainer by(job.model, job.schema, job.push, 1, precision::fp16);
  EXPECT_EQ(by.precision_so_far().scale, 65'536.0F);
  EXPECT_EQ(blocks_pushed(by, server, three_of(1, 10)), 0U);
  EXPECT_EQ(by.precision_so_far().scale, 32'768.0F);
  EXPECT_EQ(by.steps_not_finite(), 1U);
  std::uint64_t number = 2;
  while (blocks_pushed(by, server, three_of(number, 10)) == 0 && number < 8) ++number;
  EXPECT_LE(by.steps_not_finite(), 3U);
  trainer full(job.model, job.schema, job.push);
  EXPECT_GT(blocks_pushed(full, server, three_of(1, 10)), 0U);
}

// What a worker left out lives no longer than it does.
TEST(Trainer, ARestartedWorkerBeginsWithNothingLeftOut) {
  const sparse_job job;
  map_server server(job.schema);
  trainer first = job.make();
  sparse_job::pushed(first, server, three_of(1, 10));
  trainer restarted = job.make();
  trainer fresh = job.make();
  const auto after = sparse_job::pushed(restarted, server, three_of(2, 20));
  EXPECT_EQ(after, sparse_job::pushed(fresh, server, three_of(2, 20)));
  EXPECT_NE(after, sparse_job::pushed(first, server, three_of(2, 20)));
}

TEST(GradientPacker, PackedKeysAndInt4RowsAreTheSameRows) {
  const std::uint64_t seed = test_seed();
  random_stream random(seed);
  std::vector<row_set> sets(1);
  sets[0].dim = 16;
  for (int i = 0; i < 300; ++i) sets[0].keys.push_back(random.next());
  std::sort(sets[0].keys.begin(), sets[0].keys.end());
  for (int i = 0; i < 300; ++i) sets[0].counts.push_back(1 + random.next() % 3);
  sets[0].size_buffers();
  for (float& value : sets[0].gradients) value = static_cast<float>(random.next_unit() - 0.5);
  pull_plan plan;
  plan.build(sets, 1);
  schemas::push_section header;
  header.source = {"events", 1};
  header.batch = batch_number{1};
  const auto packed = [&](push_choice choice, bool keys) {
    gradient_packer packer({.tables = {choice}, .packed_keys = keys}, {false});
    return packer.section(header, sets, plan);
  };
  const auto raw = schemas::decode_push(packed(push_choice::int8, false)).value();
  const auto small = schemas::decode_push(packed(push_choice::int8, true)).value();
  const auto nibbles = schemas::decode_push(packed(push_choice::int4, true)).value();
  EXPECT_EQ(raw.blocks[0].keys_as, schemas::key_codec::raw);
  for (const auto* other : {&small, &nibbles}) {
    const auto& block = other->blocks[0];
    EXPECT_EQ(block.keys_as, schemas::key_codec::delta_packed);
    EXPECT_TRUE(std::ranges::equal(block.keys, raw.blocks[0].keys));
    EXPECT_TRUE(std::ranges::equal(block.counts, raw.blocks[0].counts));
  }
  EXPECT_TRUE(std::ranges::equal(small.blocks[0].values, raw.blocks[0].values));
  EXPECT_EQ(nibbles.blocks[0].codec, schemas::value_codec::int4);
  EXPECT_LT(small.bytes.size(), raw.bytes.size());
  EXPECT_LT(nibbles.bytes.size(), small.bytes.size());
}

TEST(Trainer, PushesNoRowsOfABatchWhoseLossIsNotFinite) {
  const auto schema = schema_of(2, 1);
  map_server server(schema);
  trainer by(model_of("fm", 2), schema, schemas::value_codec::fp32);
  server.row(0, 5)[0] = std::numeric_limits<float>::infinity();
  auto step = by.begin(batch_of({0.0F}, {5, 6}));
  server.pull(by, *step);
  by.learn(*step);
  EXPECT_EQ(by.steps_not_finite(), 1U);
  const frame bytes = by.push_section(*step, shard_id{0}, batch_number{0});
  EXPECT_TRUE(schemas::decode_push(bytes)->blocks.empty());
  by.recycle(std::move(step));

  auto next = by.begin(batch_of({0.0F}, {6, 7}, {}, 2));
  server.pull(by, *next);
  by.learn(*next);
  EXPECT_FALSE(
      schemas::decode_push(by.push_section(*next, shard_id{0}, batch_number{1}))->blocks.empty());
}

// Label 1 when two ids agree in parity: no first-order weight can say that, a product of latent
// values can.
TEST(Trainer, LearnsAProductThatNoLinearModelCan) {
  for (const std::string_view arch : {"fm", "lr"}) {
    const std::uint32_t latent = arch == "fm" ? 4 : 0;
    auto schema = schema_of(latent);
    schema.tables[0].optimizer.rate = 0.2F;
    schema.tables[0].init.scale = 0.3F;
    map_server server(schema);
    trainer by(model_of(arch, latent), schema, schemas::value_codec::int8);
    random_stream random(11);
    progressive_metrics metrics;
    for (std::uint64_t number = 1; number <= 300; ++number) {
      std::vector<float> labels;
      std::vector<std::uint64_t> keys;
      for (int i = 0; i < 16; ++i) {
        const std::uint64_t a = random.next_below(20);
        const std::uint64_t b = random.next_below(20);
        labels.push_back((a + b) % 2 == 0 ? 1.0F : 0.0F);
        keys.push_back(a);
        keys.push_back(100 + b);
      }
      auto step = server.train(by, batch_of(labels, keys, {}, number));
      for (int i = 0; i < 16; ++i) {
        if (number > 200)
          metrics.add(labels[static_cast<std::size_t>(i)],
                      step->online[static_cast<std::size_t>(i)]);
      }
      by.recycle(std::move(step));
    }
    if (arch == "fm") {
      EXPECT_GT(metrics.auc(), 0.99);
    } else {
      EXPECT_LT(metrics.auc(), 0.6);
    }
  }
}

TEST(Trainer, CountsOccurrencesExactlyWithTheCountModel) {
  schemas::job_schema schema;
  schemas::table_spec table;
  table.optimizer.kind = schemas::optimizer_kind::add;
  schema.tables = {table};
  map_server server(schema);
  trainer by(model_of("count", 1), schema, schemas::value_codec::fp32);
  std::map<std::uint64_t, float> expected;
  random_stream random(4);
  for (std::uint64_t number = 1; number <= 20; ++number) {
    std::vector<std::uint64_t> keys;
    for (int i = 0; i < 30; ++i) ++expected[keys.emplace_back(random.next_below(40))];
    const auto step = server.train(by, batch_of(std::vector<float>(10, 1.0F), keys, {}, number));
    EXPECT_EQ(step->online, std::vector<float>(10, 0.5F));
  }
  for (const auto& [key, count] : expected) EXPECT_EQ(server.row(0, key)[0], count);
}

TEST(FrozenTwin, PredictsWithRowsOfTheFreezeAndDefaultRowsForLaterIds) {
  const auto schema = schema_of(3);
  map_server server(schema);
  trainer by(model_of("fm", 3), schema, schemas::value_codec::fp32);
  const auto known = batch_of({1.0F, 0.0F}, {5, 6, 7, 8});
  const auto first = server.train(by, known);
  EXPECT_TRUE(first->frozen.empty());
  for (row_set& chunk : by.twin().noted(3)) {
    EXPECT_LE(chunk.rows(), 3U);
    for (std::size_t i = 0; i < chunk.rows(); ++i) {
      const auto& row = server.row(chunk.table.value, chunk.keys[i]);
      std::copy_n(row.begin(), chunk.dim, &chunk.values[i * chunk.dim]);
    }
    by.twin().keep(chunk);
  }
  by.twin().freeze();
  EXPECT_EQ(by.twin().rows(), 5U);

  const auto later = batch_of({1.0F, 1.0F}, {5, 8, 6, 999}, {}, 2);
  const auto at_freeze = server.train(by, later);
  ASSERT_EQ(at_freeze->frozen.size(), 2U);
  EXPECT_EQ(at_freeze->frozen,
            at_freeze->online);  // nothing was learned in between, and 999 is new to both
  const auto after = server.train(by, batch_of({1.0F, 1.0F}, {5, 8, 6, 999}, {}, 3));
  EXPECT_EQ(after->frozen, at_freeze->frozen);
  EXPECT_NE(after->online, after->frozen);

  row_set unknown;
  unknown.dim = 4;
  unknown.keys = {12'345};
  std::vector<float> values;
  by.twin().rows_of(unknown, values);
  const auto expected = server.default_row(0, 12'345);
  EXPECT_TRUE(std::equal(values.begin(), values.end(), expected.begin()));
}

TEST(FrozenTwin, ComesBackFromSavedBytes) {
  const auto schema = schema_of(2);
  frozen_twin twin(schema);
  row_set set;
  set.dim = 3;
  set.keys = {0, 4, UINT64_MAX};
  set.size_buffers();
  set.values = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  twin.keep(set);
  twin.freeze();
  const auto bytes = twin.save();
  frozen_twin again(schema);
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    ASSERT_FALSE(again.load(std::span(bytes).first(length)).ok()) << length;
  }
  EXPECT_FALSE(again.frozen());
  EXPECT_FALSE(frozen_twin(schema_of(3)).load(bytes).ok());
  ASSERT_TRUE(again.load(bytes).ok());
  EXPECT_TRUE(again.frozen());
  EXPECT_EQ(again.save(), bytes);
  std::vector<float> values;
  again.rows_of(set, values);
  EXPECT_EQ(values, set.values);
}

TEST(FrozenTwin, KnowsRowsOfBatchesThatAnEarlierRunLearned) {
  const auto schema = schema_of(2);
  trainer by(model_of("fm", 2), schema, schemas::value_codec::fp32);
  by.note(*batch_of({1.0F}, {5, 6}));
  by.note(*batch_of({1.0F}, {6, 7}));
  const auto chunks = by.twin().noted(100);
  ASSERT_EQ(chunks.size(), 2U);
  EXPECT_EQ(chunks[0].keys, (std::vector<std::uint64_t>{5, 6, 7}));
  EXPECT_EQ(chunks[1].keys, std::vector<std::uint64_t>{0});
}

TEST(KeyIndex, NumbersKeysInTheOrderTheyCome) {
  key_index index;
  EXPECT_EQ(index.find(0), key_index::absent);
  std::map<std::uint64_t, std::uint32_t> expected;
  random_stream random(test_seed());
  for (int i = 0; i < 20'000; ++i) {
    const std::uint64_t key = random.next_below(9'000) << (random.next() % 3 * 20);
    const auto [place, is_new] =
        expected.try_emplace(key, static_cast<std::uint32_t>(expected.size()));
    EXPECT_EQ(index.insert(key), (std::pair{place->second, is_new}));
  }
  EXPECT_EQ(index.size(), expected.size());
  for (const auto& [key, place] : expected) {
    EXPECT_EQ(index.find(key), place);
    EXPECT_EQ(index.keys()[place], key);
  }
  EXPECT_EQ(index.find(UINT64_MAX), key_index::absent);
}

TEST(PredictionLog, WritesOneLineASampleWithAnEmptyColumnBeforeTheFreeze) {
  const auto path = std::filesystem::path(testing::TempDir()) / "prediction_log.test.tsv";
  auto log = prediction_log::open(path, false);
  ASSERT_TRUE(log.ok());
  const float frozen = 0.25F;
  (*log)->add(7, 1.0F, 0.5F, nullptr);
  (*log)->add(8, 0.0F, 0.75F, &frozen);
  EXPECT_TRUE((*log)->close().ok());
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(), "row\tlabel\tonline\tfrozen\n7\t1\t0.5\t\n8\t0\t0.75\t0.25\n");
  std::filesystem::remove(path);
  EXPECT_EQ(prediction_log::open("/nowhere/p.tsv", false).error().code, errc::io_error);
}

// A linear model of two labels, each with a bias; tables as the model has them.
constexpr const char* two_label_model = R"(
[layers.rows]
op = "rows"
dim = 0
[layers.click_logit]
op = "factorization"
inputs = ["rows"]
[layers.buy_logit]
op = "factorization"
inputs = ["rows"]
[layers.click]
op = "bce"
inputs = ["click_logit"]
[layers.buy]
op = "bce"
inputs = ["buy_logit"]
label = 2
)";

TEST(Trainer, PredictsEveryLabelOnlineAndFrozen) {
  auto loaded = model_graph::load(two_label_model, "two labels", {}, {});
  ASSERT_TRUE(loaded.ok()) << describe(loaded.error());
  schemas::job_schema schema;
  schema.shards = 4;
  for (const model_table& table : loaded->tables()) {
    schemas::table_spec spec;
    spec.id = table_id{static_cast<std::uint32_t>(schema.tables.size())};
    spec.name = table.name;
    spec.dim = static_cast<std::uint32_t>(table.dim);
    schema.tables.push_back(spec);
  }
  map_server server(schema);
  trainer by(
      std::make_shared<const model_graph>(std::move(*loaded)), schema, schemas::value_codec::fp32);
  auto batch = batch_of({1, 1, 1}, {5, 6, 7});
  EXPECT_FALSE(by.check(*batch).ok());  // one label a sample
  batch->label_count = 2;
  batch->labels = {1, 0, 1, 0, 1, 0};
  ASSERT_TRUE(by.check(*batch).ok());
  by.note(*batch);
  by.twin().freeze();
  std::vector<float> online;
  for (int i = 0; i < 5; ++i) {
    auto step = by.begin(batch);
    server.pull(by, *step);
    by.learn(*step);
    ASSERT_EQ(step->online.size(), 6U);
    EXPECT_EQ(step->frozen, std::vector<float>(6, 0.5F));  // it never learned
    for (std::uint32_t s = 0; s < schema.shards; ++s) {
      const frame section = by.push_section(*step, shard_id{s}, batch_number{0});
      if (!section.empty()) server.apply(section);
    }
    online = step->online;
    by.recycle(std::move(step));
  }
  for (std::size_t s = 0; s < 3; ++s) {
    EXPECT_GT(online[2 * s], 0.5F);
    EXPECT_LT(online[2 * s + 1], 0.5F);
  }
}

TEST(PredictionLog, HasColumnsOfTheirOwnForSeveralLabels) {
  const auto path = std::filesystem::path(testing::TempDir()) / "prediction_log_labels.test.tsv";
  const std::vector<std::string> names = {"click", "buy"};
  auto log = prediction_log::open(path, false, names);
  ASSERT_TRUE(log.ok());
  const std::vector<float> labels = {1.0F, 0.0F};
  const std::vector<float> online = {0.5F, 0.25F};
  const std::vector<float> frozen = {0.75F, 0.125F};
  (*log)->add(7, labels, online, {});
  (*log)->add(8, labels, online, frozen);
  EXPECT_TRUE((*log)->close().ok());
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  EXPECT_EQ(text.str(),
            "row\tlabel click\tonline click\tfrozen click\tlabel buy\tonline buy\tfrozen buy\n"
            "7\t1\t0.5\t\t0\t0.25\t\n"
            "8\t1\t0.5\t0.75\t0\t0.25\t0.125\n");
  std::filesystem::remove(path);
}

TEST(PredictionLog, SaysThatTheDiskIsFull) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full";
  auto log = prediction_log::open("/dev/full", false);
  ASSERT_TRUE(log.ok());
  (*log)->add(7, 1.0F, 0.5F, nullptr);
  const auto closed = (*log)->close();
  ASSERT_FALSE(closed.ok());
  EXPECT_EQ(closed.error().code, errc::disk_full);
}

}  // namespace
}  // namespace headrace::worker
