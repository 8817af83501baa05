// An expert that no token was sent to keeps its parameters and its optimizer's state to the bit:
// worker and shards of one process, joined by the real messages.
#include "base/random.hpp"
#include "ps/shard/shard.hpp"
#include "schemas/pull.hpp"
#include "schemas/push.hpp"
#include "storage/memory_row_store.hpp"
#include "worker/step/trainer.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace headrace {
namespace {

constexpr std::uint32_t shards = 3;
constexpr std::size_t experts = 8;
constexpr std::size_t width = 4;  // of what is routed: user's two and item's two

// Experts read the rows themselves, so the router's choice follows from its matrix and the keys.
constexpr const char* model_text = R"(
[layers.embedding]
op = "rows"
dim = 2
first_order = false
[layers.vectors]
op = "fields"
inputs = ["embedding"]
[layers.routed]
op = "routed_experts"
inputs = ["vectors"]
experts = 8
k = 2
hidden = 3
[layers.logit]
op = "linear"
inputs = ["routed"]
units = 1
[layers.click]
op = "bce"
inputs = ["logit"]
)";

std::uint64_t test_seed() {
  const char* given = std::getenv("HEADRACE_SEED");
  return given != nullptr ? std::strtoull(given, nullptr, 0) : 20'261'127;
}

/// A row as a shard stores it: weights and optimizer state, and the last record applied to it.
struct row_bits {
  std::vector<std::byte> payload;
  lsn at;
  friend bool operator==(const row_bits&, const row_bits&) = default;
};
using table_bits = std::map<std::uint64_t, row_bits>;  // by key

class small_cluster {
 public:
  small_cluster(schemas::optimizer_kind network, schemas::value_codec push)
      : schema_(schema(network)), trainer_(graph(), schema_, push) {
    for (std::uint32_t s = 0; s < shards; ++s)
      shards_.push_back(
          std::make_unique<ps::shard>(shard_id{s}, schema_, ps::shard_limits{}, epoch{1}));
  }
  static std::shared_ptr<const worker::model_graph> graph() {
    const std::vector<worker::model_feature> features = {{"user"}, {"item"}};
    auto loaded = worker::model_graph::load(model_text, "m.toml", {}, features);
    EXPECT_TRUE(loaded.ok()) << describe(loaded.error());
    return std::make_shared<const worker::model_graph>(std::move(*loaded));
  }

  /// Learns a batch; returns which experts had a token.
  std::vector<bool> learn(std::shared_ptr<const schemas::sample_batch> batch) {
    auto step = trainer_.begin(std::move(batch));
    for (const auto& shard : shards_) {
      const frame section = step->plan.section(shard->id(), step->sets, schema_.version);
      if (section.empty()) continue;
      const auto reply = schemas::decode_pull_reply(shard->pull(*schemas::decode_pull(section)));
      EXPECT_TRUE(trainer_.accept(*step, *reply).ok());
    }
    trainer_.learn(*step);
    EXPECT_TRUE(step->finite);
    std::vector<bool> busy(experts);
    for (const auto& section : sections_of(*step)) {
      const auto push = schemas::decode_push(section).value();
      note_busy(push, busy);
      auto& shard = *shards_[push.shard.value];
      const auto decision = shard.decide(push, 1);
      EXPECT_TRUE(decision.record) << decision.ack.detail;
      EXPECT_TRUE(shard.commit(decision.record->lsn).applied);
    }
    trainer_.recycle(std::move(step));
    return busy;
  }

  /// All rows of a table.
  table_bits rows(const std::string& table) {
    table_bits found;
    const table_id wanted = id_of(table);
    for (const auto& shard : shards_) {
      storage::memory_row_store store;
      const auto position = shard->flush(store);
      EXPECT_TRUE(position.ok());
      const auto keep = [&](const storage::stored_row& row) {
        if (row.table == wanted)
          kept_[wanted.value][row.key.value] = {{row.payload.begin(), row.payload.end()}, row.lsn};
      };
      EXPECT_TRUE(store.scan_from(shard->id(), {}, 1'000'000, keep).ok());
    }
    return kept_[wanted.value];
  }
  static std::size_t rows_of_an_expert(const std::string& table) {
    return table == "routed_second" ? 3 : width;
  }

 private:
  static schemas::job_schema schema(schemas::optimizer_kind network) {
    schemas::job_schema made;
    made.shards = shards;
    const auto model = graph();
    for (const auto& wanted : model->tables()) {
      schemas::table_spec table;
      table.id = table_id{static_cast<std::uint32_t>(made.tables.size())};
      table.name = wanted.name;
      table.dim = static_cast<std::uint32_t>(wanted.dim);
      table.init = {5, wanted.rows == 0 ? 1.0F : wanted.init_scale};
      table.optimizer.rate = 0.05F;
      table.optimizer.initial_accumulator = 0.1F;
      if (wanted.network) table.optimizer.kind = network;
      made.tables.push_back(table);
    }
    return made;
  }
  table_id id_of(const std::string& table) const {
    const auto at = std::ranges::find(schema_.tables, table, &schemas::table_spec::name);
    return at->id;
  }
  std::vector<frame> sections_of(const worker::training_step& step) {
    std::vector<frame> found;
    for (std::uint32_t s = 0; s < shards; ++s) {
      frame section = trainer_.push_section(step, shard_id{s}, newest_[s]);
      if (section.empty()) continue;
      newest_[s] = step.batch->batch;
      found.push_back(std::move(section));
    }
    for (frame& section : trainer_.push_dense(step, step.batch->prev))
      if (!section.empty()) found.push_back(std::move(section));
    return found;
  }
  void note_busy(const schemas::push_section& push, std::vector<bool>& busy) const {
    for (const auto& block : push.blocks)
      for (const std::uint64_t key : block.keys)
        if (block.table == id_of("routed_second"))
          busy[key / rows_of_an_expert("routed_second")] = true;
  }

  schemas::job_schema schema_;
  worker::trainer trainer_;
  std::vector<std::unique_ptr<ps::shard>> shards_;
  std::vector<batch_number> newest_ = std::vector<batch_number>(shards);
  std::map<std::uint32_t, table_bits> kept_;  // a flush writes what changed since the last
};

// Few samples of few keys, so that a batch leaves most experts without a token.
std::shared_ptr<schemas::sample_batch> draw_batch(random_stream& random, std::uint64_t number) {
  auto batch = std::make_shared<schemas::sample_batch>();
  batch->source = {"events", 1};
  batch->batch = batch_number{number};
  batch->prev = batch_number{number - 1};
  batch->samples = 2;
  batch->features = 2;
  for (std::uint32_t s = 0; s < batch->samples; ++s) {
    batch->labels.push_back(random.next_below(2) == 0 ? 0.0F : 1.0F);
    batch->keys.push_back(random.next_below(30));
    batch->keys.push_back(100 + random.next_below(30));
    batch->row_numbers.push_back((number - 1) * batch->samples + s);
  }
  return batch;
}

void expect_idle_experts_stand_still(schemas::optimizer_kind network, schemas::value_codec push) {
  small_cluster by(network, push);
  random_stream random(test_seed());
  const std::vector<std::string> tables = {"routed_first", "routed_second", "routed_third"};
  std::map<std::string, table_bits> before;
  std::size_t idle = 0;
  std::vector<bool> ever(experts);
  for (std::uint64_t number = 1; number <= 60; ++number) {
    const auto busy = by.learn(draw_batch(random, number));
    for (const std::string& table : tables) {
      const table_bits after = by.rows(table);
      for (const auto& [key, row] : after) {
        const std::size_t expert = key / small_cluster::rows_of_an_expert(table);
        const auto known = before[table].find(key);
        if (busy[expert]) {
          ASSERT_TRUE(known == before[table].end() || !(known->second == row))
              << table << " " << key << " of batch " << number << " was to move";
        } else {
          ASSERT_NE(known, before[table].end()) << table << " " << key;
          ASSERT_EQ(known->second, row) << table << " " << key << " of batch " << number;
          ++idle;
        }
      }
      before[table] = after;
    }
    for (std::size_t e = 0; e < experts; ++e) ever[e] = ever[e] || busy[e];
  }
  EXPECT_GT(std::ranges::count(ever, true), 3) << "and yet several experts learned";
  EXPECT_GT(idle, 500U);
}

TEST(IdleExperts, KeepParametersAndOptimizerStateToTheBit) {
  using schemas::optimizer_kind;
  using schemas::value_codec;
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(test_seed()));
  for (const auto network : {optimizer_kind::adam, optimizer_kind::adamw, optimizer_kind::momentum})
    for (const auto push : {value_codec::fp32, value_codec::int8})
      expect_idle_experts_stand_still(network, push);
}

}  // namespace
}  // namespace headrace
