// A shard against a plain model of design §4, over thousands of random operations: what the tables
// hold, what each request is answered with, what a restart brings back, and that a replay of the
// log gives the same bits on every CPU target. HEADRACE_SEED=n runs from seed n.
#include "base/random.hpp"
#include "kernels/init_rows/init_rows.hpp"
#include "kernels/runtime/float_mode.hpp"
#include "kernels/runtime/targets.hpp"
#include "kernels/sparse_update/sparse_update.hpp"
#include "ps/shard/shard.hpp"
#include "ps/shard/test_push.hpp"
#include "storage/memory_row_store.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <vector>

namespace headrace::ps {
namespace {

using schemas::optimizer_kind;
using schemas::table_spec;

constexpr std::uint32_t shards = 2;
const shard_id mine{1};

schemas::job_schema make_schema() {
  schemas::job_schema schema;
  schema.shards = shards;
  const auto add = [&](optimizer_kind kind, std::uint32_t dim, std::uint32_t first_columns) {
    table_spec spec;
    spec.id = table_id{static_cast<std::uint32_t>(schema.tables.size())};
    spec.name = "t" + std::to_string(schema.tables.size());
    spec.dim = dim;
    spec.optimizer.kind = kind;
    spec.optimizer.first_order_columns = first_columns;
    spec.optimizer.first_rate = 0.1F;
    spec.optimizer.first_initial_accumulator = 0.7F;
    spec.optimizer.l2 = kind == optimizer_kind::sgd ? 1e-3F : 0.0F;
    spec.optimizer.gradient_clip = dim == 5 ? 0.5F : 0.0F;
    spec.init = {.seed = 11 + spec.id.value, .scale = 0.05F};
    schema.tables.push_back(spec);
  };
  add(optimizer_kind::add, 1, 0);
  add(optimizer_kind::sgd, 5, 1);
  add(optimizer_kind::adagrad, 17, 1);
  return schema;
}

/// A row of the model: what the definition says, by the reference kernels.
struct model_row {
  std::vector<float> floats;
  std::uint64_t count = 0;
};
using model_tables = std::map<std::pair<std::uint32_t, std::uint64_t>, model_row>;

model_row fresh_row(const table_spec& spec, std::uint64_t key) {
  model_row row;
  const bool adagrad = spec.optimizer.kind == optimizer_kind::adagrad;
  row.floats.resize(adagrad ? 2 * spec.dim : spec.dim);
  kernels::init_rows_ref({.keys = std::span(&key, 1),
                          .seed = spec.init.seed,
                          .scale = spec.init.scale,
                          .first_order_columns = spec.optimizer.first_order_columns,
                          .dim = spec.dim,
                          .values = std::span(row.floats).first(spec.dim),
                          .rows = {}});
  for (std::size_t i = spec.dim; i < row.floats.size(); ++i) {
    const bool first = i - spec.dim < spec.optimizer.first_order_columns;
    row.floats[i] =
        first ? spec.optimizer.first_initial_accumulator : spec.optimizer.initial_accumulator;
  }
  return row;
}

void learn(const table_spec& spec, const block_data& block, model_tables& tables) {
  const kernels::float_mode mode;
  const auto decoded = block.coded.empty() ? std::vector<float>() : plain_values(block.view());
  for (std::size_t i = 0; i < block.keys.size(); ++i) {
    const auto at = std::pair(spec.id.value, block.keys[i]);
    model_row& row = tables.try_emplace(at, fresh_row(spec, block.keys[i])).first->second;
    float* floats = row.floats.data();
    kernels::sparse_update_args args;
    args.rows = std::span(&floats, 1);
    args.dim = spec.dim;
    if (!block.coded.empty()) {
      args.gradients = std::span(decoded).subspan(i * spec.dim, spec.dim);
    } else if (block.codes.empty()) {
      args.gradients = std::span(block.values).subspan(i * spec.dim, spec.dim);
    } else {
      args.codes = std::span(block.codes).subspan(i * spec.dim, spec.dim);
      args.scales = std::span(block.scales).subspan(i, 1);
    }
    args.rule = static_cast<kernels::update_rule>(spec.optimizer.kind);
    args.rate = spec.optimizer.rate;
    args.first_rate = spec.optimizer.first_rate;
    args.first_columns = spec.optimizer.first_order_columns;
    args.l2 = spec.optimizer.l2;
    args.clip = spec.optimizer.gradient_clip;
    kernels::sparse_update_ref(args);
    row.count += block.counts.empty() ? 1 : block.counts[i];
  }
}

/// One push as the worker holds it, to be sent again at will.
struct sent {
  schemas::source_id source;
  std::uint64_t batch = 0;
  std::uint64_t prev = 0;
  std::vector<block_data> blocks;
  bool poisoned = false;

  schemas::push_section section() const {
    auto made = section_of(source, batch, prev, blocks);
    made.shard = mine;
    made.pulled_version = batch;
    return made;
  }
};

class world {
 public:
  explicit world(std::uint64_t seed) : random_(seed), schema_(make_schema()), live_(make()) {
    for (std::uint64_t key = 0; keys_.size() < 120; ++key) {
      if (schemas::shard_of(row_key{key * key}, shards) == mine) keys_.push_back(key * key);
    }
  }

  void step() {
    switch (random_.next_below(16)) {
      case 0:
        return duplicate();
      case 1:
        return gap();
      case 2:
        return pull();
      case 3:
        return random_.next_below(4) == 0 ? restart() : flush();
      case 4:
        return roll_back();
      case 5:
      case 6:
      case 7:
        return commit(random_.next_below(in_flight_.size() + 1));
      default:
        return push();
    }
  }

  void finish() {
    commit(in_flight_.size());
    check_tables();
  }

  /// The digest of a new shard after the whole log, under the target chosen now.
  schemas::digest_reply replay() const {
    const auto again = make();
    for (const auto& record : log_) EXPECT_TRUE(again->redo(record).ok());
    EXPECT_EQ(again->version(), live_->version());
    auto digest = again->digest();
    digest.bytes = 0;
    return digest;
  }
  schemas::digest_reply digest() const {
    auto digest = live_->digest();
    digest.bytes = 0;
    return digest;
  }

 private:
  struct waiting {
    sent push;
    storage::log_record record;
  };
  struct chain {
    std::uint64_t committed = 0;
    std::uint64_t admitted = 0;
    std::vector<sent> history;
  };

  std::unique_ptr<shard> make() const {
    return std::make_unique<shard>(
        mine, schema_, shard_limits{.in_flight_max = 1'000}, headrace::epoch{1});
  }
  std::string pick_source() { return random_.next_below(2) == 0 ? "a" : "b"; }

  block_data draw_block(const table_spec& spec) {
    block_data block;
    block.table = spec.id;
    block.dim = spec.dim;
    std::set<std::uint64_t> keys;
    const std::size_t rows = random_.next_below(12);
    for (std::size_t i = 0; i < rows; ++i) keys.insert(keys_[random_.next_below(keys_.size())]);
    block.keys.assign(keys.begin(), keys.end());
    const std::size_t cells = block.keys.size() * spec.dim;
    if (cells > 0 && random_.next_below(3) == 0) {
      const bool sparse = random_.next_below(2) == 0;
      draw_coded(block,
                 sparse ? schemas::value_codec::topk : schemas::value_codec::int4,
                 sparse ? random_.next_below(cells + 1) : 0,
                 random_);
    } else if (random_.next_below(2) == 0) {
      for (std::size_t i = 0; i < cells; ++i)
        block.codes.push_back(static_cast<std::int8_t>(random_.next()));
      for (std::size_t i = 0; i < block.keys.size(); ++i) {
        block.scales.push_back(static_cast<std::uint16_t>(random_.next_below(0x2000)));
      }
    } else {
      for (std::size_t i = 0; i < cells; ++i) {
        block.values.push_back(static_cast<float>(random_.next_unit() - 0.5) *
                               (i % 13 == 0 ? 1e-20F : 1.0F));
      }
    }
    if (random_.next_below(2) == 0) {
      for (std::size_t i = 0; i < block.keys.size(); ++i) {
        block.counts.push_back(static_cast<std::uint32_t>(random_.next_below(4)));
      }
    }
    return block;
  }

  sent draw(const std::string& source) {
    const chain& of = chains_[source];
    sent push{.source = {source, 1}, .batch = 0, .prev = of.admitted, .blocks = {}};
    push.batch = of.admitted + 1 + random_.next_below(3);  // numbers may be skipped
    for (const table_spec& spec : schema_.tables) {
      if (random_.next_below(4) != 0) push.blocks.push_back(draw_block(spec));
    }
    if (push.blocks.empty() || random_.next_below(10) != 0) return push;
    push.poisoned = true;
    block_data& bad = push.blocks.back();
    bad = draw_block(schema_.tables[bad.table.value]);
    bad.keys = {keys_[3], keys_[3]};
    bad.counts.clear();
    bad.codes.clear();
    bad.coded.clear();
    bad.scales.clear();
    bad.values.assign(2 * bad.dim, 1.0F);
    return push;
  }

  void push() {
    sent drawn = draw(pick_source());
    auto decision = live_->decide(received(drawn.section()), ++now_ms_);
    ASSERT_TRUE(decision.record.has_value());
    chains_[drawn.source.name].admitted = drawn.batch;
    const auto kind = decision.record->kind;
    ASSERT_EQ(kind == storage::record_kind::voided, drawn.poisoned);
    in_flight_.push_back({std::move(drawn), std::move(*decision.record)});
  }

  void commit(std::uint64_t count) {
    for (; count > 0; --count) {
      const waiting done = std::move(in_flight_.front());
      in_flight_.erase(in_flight_.begin());
      const auto ack = live_->commit(done.record.lsn);
      ASSERT_EQ(ack.status, done.push.poisoned ? errc::bad_keys : errc::ok);
      ASSERT_EQ(ack.watermark.value, done.push.batch);
      log_.push_back(done.record);
      if (!done.push.poisoned) {
        for (const block_data& block : done.push.blocks) {
          learn(schema_.tables[block.table.value], block, model_);
        }
      }
      chain& of = chains_[done.push.source.name];
      of.committed = done.push.batch;
      of.history.push_back(done.push);
    }
  }

  void duplicate() {
    const chain& of = chains_[pick_source()];
    if (of.history.empty()) return;
    const sent& old = of.history[random_.next_below(of.history.size())];
    const auto answer = live_->decide(received(old.section()), ++now_ms_);
    ASSERT_FALSE(answer.record.has_value());
    ASSERT_EQ(answer.ack.status, errc::ok);
    ASSERT_FALSE(answer.ack.applied);
    ASSERT_EQ(answer.ack.watermark.value, of.admitted);
    ASSERT_EQ(answer.wait_for > live_->applied(), of.admitted != of.committed);
  }

  void gap() {
    sent drawn = draw(pick_source());
    drawn.prev += 1 + random_.next_below(3);
    drawn.batch += 4;
    const auto answer = live_->decide(received(drawn.section()), ++now_ms_);
    ASSERT_FALSE(answer.record.has_value());
    ASSERT_EQ(answer.ack.status, errc::gap);
    ASSERT_EQ(answer.ack.watermark.value, chains_[drawn.source.name].admitted);
  }

  void roll_back() {
    if (in_flight_.empty()) return;
    const std::size_t keep = random_.next_below(in_flight_.size());
    live_->roll_back(in_flight_[keep].record.lsn);
    in_flight_.resize(keep);
    for (auto& [name, of] : chains_) of.admitted = of.committed;
    for (const waiting& one : in_flight_) chains_[one.push.source.name].admitted = one.push.batch;
  }

  void pull() {
    const table_spec& spec = schema_.tables[random_.next_below(schema_.tables.size())];
    schemas::pull_section section;
    section.shard = mine;
    section.blocks.push_back({spec.id, schemas::value_codec::fp32, keys_});
    const auto before = live_->digest();
    const auto reply = schemas::decode_pull_reply(live_->pull(section));
    ASSERT_TRUE(reply.ok());
    ASSERT_EQ(reply->status, errc::ok);
    ASSERT_EQ(live_->digest(), before);
    const auto values = reply->blocks.at(0).fp32_values();
    for (std::size_t i = 0; i < keys_.size(); ++i) {
      const auto row = model_.find({spec.id.value, keys_[i]});
      ASSERT_EQ(reply->blocks[0].is_absent(i), row == model_.end());
      const auto expected = row == model_.end() ? fresh_row(spec, keys_[i]) : row->second;
      ASSERT_TRUE(std::equal(expected.floats.begin(),
                             expected.floats.begin() + spec.dim,
                             values.begin() + static_cast<std::ptrdiff_t>(i * spec.dim)));
    }
  }

  void flush() {
    const auto flushed = live_->flush(store_);
    ASSERT_TRUE(flushed.ok());
    ASSERT_EQ(*flushed, live_->applied());
  }

  /// The process dies, perhaps in the middle of a write-back. What was in flight is lost or reached
  /// the log.
  void restart() {
    const bool torn = random_.next_below(2) == 0;
    if (torn) write_some_rows();
    const std::size_t reached = random_.next_below(in_flight_.size() + 1);
    store_.crash(true);
    live_ = make();
    ASSERT_TRUE(live_->load(store_).ok());
    for (const auto& record : log_) ASSERT_TRUE(live_->redo(record).ok());
    for (std::size_t i = 0; i < reached; ++i) ASSERT_TRUE(live_->redo(in_flight_[i].record).ok());
    // Those records count as committed now, though nobody was told.
    for (std::size_t i = 0; i < reached; ++i) {
      const waiting& done = in_flight_[i];
      log_.push_back(done.record);
      chain& of = chains_[done.push.source.name];
      of.committed = done.push.batch;
      of.history.push_back(done.push);
      if (done.push.poisoned) continue;
      for (const block_data& block : done.push.blocks) {
        learn(schema_.tables[block.table.value], block, model_);
      }
    }
    in_flight_.clear();
    for (auto& [name, of] : chains_) {
      of.admitted = of.committed;
      ASSERT_EQ(live_->watermarks({mine, {name, 1}}).rows.value, of.committed);
    }
    check_tables();
  }

  /// A write-back that stopped half way: every other row as it is now, the position as it was.
  void write_some_rows() {
    storage::memory_row_store whole;
    ASSERT_TRUE(live_->flush(whole).ok());
    std::size_t i = 0;
    ASSERT_TRUE(whole
                    .scan(mine,
                          [&](const storage::stored_row& row) {
                            if (i++ % 2 == 0) {
                              EXPECT_TRUE(store_.write(mine, std::span(&row, 1)).ok());
                            }
                          })
                    .ok());
  }

  void check_tables() {
    std::size_t rows = 0;
    for (const table_spec& spec : schema_.tables) {
      live_->visit(spec.id, [&](row_key key, std::uint32_t count, std::span<const float> floats) {
        ++rows;
        const auto row = model_.find({spec.id.value, key.value});
        ASSERT_NE(row, model_.end());
        EXPECT_EQ(row->second.count, count);
        EXPECT_TRUE(std::ranges::equal(row->second.floats, floats))
            << spec.name << " row " << key.value;
      });
    }
    ASSERT_EQ(rows, model_.size());
  }

  random_stream random_;
  schemas::job_schema schema_;
  std::unique_ptr<shard> live_;
  storage::memory_row_store store_;
  std::vector<storage::log_record> log_;
  std::vector<waiting> in_flight_;
  std::map<std::string, chain> chains_;
  model_tables model_;
  std::vector<std::uint64_t> keys_;
  std::uint64_t now_ms_ = 1'000;
};

TEST(ShardModel, TablesAnswersAndRestartsAreWhatTheModelSays) {
  for (std::uint64_t seed = test_seed(), last = seed + 100; seed < last; ++seed) {
    SCOPED_TRACE(testing::Message() << "HEADRACE_SEED=" << seed);
    world run(seed);
    for (int i = 0; i < 300 && !testing::Test::HasFailure(); ++i) run.step();
    run.finish();
    if (testing::Test::HasFailure()) return;
  }
}

TEST(ShardModel, AReplayOfTheLogGivesTheSameBitsOnEveryCpuTarget) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE(testing::Message() << "HEADRACE_SEED=" << seed);
  world run(seed);
  for (int i = 0; i < 600 && !testing::Test::HasFailure(); ++i) run.step();
  run.finish();
  const auto live = run.digest();
  EXPECT_GT(live.rows, 100U);
  for (const auto target : kernels::cpu_targets()) {
    const kernels::cpu_target_override on(target);
    EXPECT_EQ(run.replay(), live) << kernels::name(target);
  }
}

}  // namespace
}  // namespace headrace::ps
