// Tables of another history under the same log: what `rewind` and `undo` are made of.
#include "base/random.hpp"
#include "ps/recovery/cut_tables.hpp"
#include "ps/recovery/install.hpp"
#include "ps/recovery/log_slice.hpp"
#include "ps/shard/test_push.hpp"
#include "storage/memory_log.hpp"
#include "storage/memory_row_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>
#include <map>
#include <string>
#include <vector>

namespace headrace::ps {
namespace {

using schemas::optimizer_kind;
using ::testing::HasSubstr;

schemas::job_schema judging_schema() {
  schemas::job_schema schema;
  schema.shards = 1;
  const auto add = [&](optimizer_kind kind, schemas::value_codec stored) -> schemas::table_spec& {
    schemas::table_spec spec;
    spec.id = table_id{static_cast<std::uint32_t>(schema.tables.size())};
    spec.name = "t" + std::to_string(schema.tables.size());
    spec.dim = 3;
    spec.optimizer.kind = kind;
    spec.init = {.seed = 5, .scale = 0.1F};
    spec.stored = stored;
    return schema.tables.emplace_back(spec);
  };
  add(optimizer_kind::adagrad, schemas::value_codec::fp32).admission.count = 3;
  auto& second = add(optimizer_kind::adam, schemas::value_codec::int8);
  second.admission = {.count = 2, .window_ms = 100, .probability = 0.7F};
  second.expiry.ttl_ms = 60;
  return schema;
}

/// A shard with its log in memory: pushes of any source, at any time, some rows forgotten.
struct history {
  explicit history(const schemas::job_schema& schema)
      : state(shard_id{0}, schema, shard_limits{}, epoch{1}) {}

  void push(const std::string& source,
            const std::vector<block_data>& blocks,
            std::uint64_t now_ms) {
    const std::uint64_t batch = ++batches[source];
    const auto section = section_of({source, 1}, batch, batch - 1, blocks);
    auto decided = state.decide(section, now_ms);
    ASSERT_TRUE(decided.record) << decided.ack.detail;
    append(*decided.record);
  }
  void forget(std::vector<std::uint64_t> keys, std::uint64_t now_ms) {
    const auto record = state.remove({.table = table_id{0}, .keys = std::move(keys)}, now_ms);
    ASSERT_TRUE(record);
    append(*record);
  }
  void append(const storage::log_record& record) {
    log.append(std::span(&record, 1), state.applied(), [](const storage::append_outcome&) {});
    state.commit(record.lsn);
  }

  shard state;
  storage::memory_log log;
  std::map<std::string, std::uint64_t> batches;
};

std::vector<block_data> drawn_blocks(random_stream& draw) {
  std::vector<block_data> blocks;
  for (std::uint32_t id = 0; id < 2; ++id) {
    block_data block;
    block.table = table_id{id};
    block.dim = 3;
    for (std::uint64_t key = 1; key <= 24; ++key) {
      if (draw.next_below(4) != 0) continue;
      block.keys.push_back(key);
      block.counts.push_back(1 + static_cast<std::uint32_t>(draw.next_below(2)));
      for (int i = 0; i < 3; ++i)
        block.values.push_back(static_cast<float>(draw.next_below(2'000)) / 1'000.0F - 1.0F);
    }
    if (!block.keys.empty()) blocks.push_back(std::move(block));
  }
  return blocks;
}

std::string digest_text(const schemas::digest_reply& digest) {
  return std::to_string(digest.high) + ":" + std::to_string(digest.low) + " of " +
         std::to_string(digest.rows);
}

// The property that `undo` promises, with admission, idle time, int8 rows and stochastic rounding.
TEST(Undo, IsTheTablesOfALogThatNeverHadTheSource) {
  for (std::uint64_t seed = 1; seed <= 200; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    random_stream draw(seed);
    const auto schema = judging_schema();
    history all(schema);
    history without(schema);
    storage::memory_row_store store;
    const std::uint64_t cut = 1 + draw.next_below(30);  // rows hold so much; none of it is of b
    std::uint64_t now_ms = 1'000;
    lsn decide_after{};
    std::uint64_t left_out = 0;
    for (std::uint64_t i = 0; i < 60; ++i) {
      now_ms += draw.next_below(20);
      if (draw.next_below(8) == 0) {
        const std::vector<std::uint64_t> keys{1 + draw.next_below(8), 10 + draw.next_below(8)};
        all.forget(keys, now_ms);
        without.forget(keys, now_ms);
      } else {
        const auto blocks = drawn_blocks(draw);
        if (blocks.empty()) continue;
        const bool of_b = i >= cut && draw.next_below(2) == 0;
        const std::string source = of_b ? "b" : draw.next_below(2) == 0 ? "a" : "c";
        all.push(source, blocks, now_ms);
        if (!of_b) without.push(source, blocks, now_ms);
        if (of_b) ++left_out;
      }
      if (i == cut / 2) {
        ASSERT_TRUE(all.state.flush(store).ok());
        decide_after = all.state.applied();
      }
    }
    // Idle time is counted to the last record: the same one for both.
    const std::vector<std::uint64_t> last{9};
    all.forget(last, now_ms);
    without.forget(last, now_ms);
    const auto undone = cut_tables::open_without(shard_id{0},
                                                 schema,
                                                 store,
                                                 all.log,
                                                 all.log.last().last,
                                                 {.source = "b", .decide_after = decide_after});
    ASSERT_TRUE(undone.ok()) << describe(undone.error());
    EXPECT_EQ(undone->left_out(), left_out);
    const auto digest = undone->digest();
    ASSERT_TRUE(digest.ok());
    ASSERT_EQ(digest_text(*digest), digest_text(without.state.digest()));
  }
}

TEST(Install, RowsGoOnUnderTheLogAndOlderPushesAreStale) {
  const auto schema = judging_schema();
  history all(schema);
  random_stream draw(11);
  for (std::uint64_t i = 0; i < 20; ++i) all.push("a", drawn_blocks(draw), 1'000 + i);
  storage::memory_row_store store;
  auto then = cut_tables::open(shard_id{0}, schema, store, all.log, lsn{8});
  ASSERT_TRUE(then.ok()) << describe(then.error());
  const auto rewound = *then->digest();
  storage::memory_row_store nothing;
  const auto now = cut_tables::open(shard_id{0}, schema, nothing, all.log)->position();
  ASSERT_TRUE(now.ok());
  ASSERT_TRUE(then->install(lsn{21}, *now, false).ok());

  shard again(shard_id{0}, schema, shard_limits{}, epoch{1});
  const auto position = again.load(store);
  ASSERT_TRUE(position.ok()) << describe(position.error());
  EXPECT_EQ(*position, lsn{21});
  EXPECT_EQ(digest_text(again.digest()), digest_text(rewound));
  EXPECT_GT(again.version(), all.state.version()) << "versions only grow";
  const auto blocks = drawn_blocks(draw);  // outlives the section over it
  auto late = section_of({"a", 1}, 21, 20, blocks);
  late.pulled_version = all.state.version();
  const auto refused = again.decide(late, 2'000);
  EXPECT_FALSE(refused.record);
  EXPECT_EQ(refused.ack.status, errc::stale_gradient) << refused.ack.detail;
  late.pulled_version = again.version();
  EXPECT_TRUE(again.decide(late, 2'000).record) << "and the watermark stayed where it was";
}

// A release is no record: a replay would bring back who was let out, and let out who is in.
TEST(Install, QuarantineStaysAsItIs) {
  const auto schema = judging_schema();
  history all(schema);
  random_stream draw(11);
  const auto explode = [&](const std::string& source) {
    for (int i = 0; i < 8; ++i) {
      auto blocks = drawn_blocks(draw);
      blocks[0].values[0] = std::numeric_limits<float>::quiet_NaN();
      all.push(source, blocks, 1'000);
    }
  };
  explode("released");
  ASSERT_TRUE(all.state.release("released"));
  explode("kept");
  storage::memory_row_store now_rows;
  ASSERT_TRUE(all.state.flush(now_rows).ok());
  const auto position = now_rows.position(shard_id{0});
  const auto now = decode_position_state(position->state, shard_id{0});
  ASSERT_TRUE(now.ok());
  storage::memory_row_store store;
  auto then = cut_tables::open(shard_id{0}, schema, store, all.log, lsn{10});
  ASSERT_TRUE(then.ok()) << describe(then.error());
  ASSERT_TRUE(then->install(lsn{17}, *now, false).ok());
  shard again(shard_id{0}, schema, shard_limits{}, epoch{1});
  ASSERT_TRUE(again.load(store).ok());
  EXPECT_FALSE(again.quarantined().is_quarantined("released"));
  EXPECT_TRUE(again.quarantined().is_quarantined("kept"));
}

TEST(Install, AShardWhoseRowsAreNotThoseOfTheRecordDoesNotOpen) {
  const auto schema = judging_schema();
  shard state(shard_id{0}, schema, shard_limits{}, epoch{1});
  storage::log_record record;
  record.lsn = lsn{1};
  installed rows_of_then;
  rows_of_then.through = lsn{9};
  record.kind = storage::record_kind::install;
  record.payload = encode_installed(rows_of_then);
  const auto redone = state.redo(record);
  ASSERT_FALSE(redone.ok());
  EXPECT_THAT(redone.error().detail, HasSubstr("run it again"));
}

TEST(Installed, IsReadAsWritten) {
  const installed written{.reason = installed::why::undone,
                          .through = lsn{77},
                          .without = "clicks",
                          .from_ms = 5,
                          .base = "20261126T100000.000Z-job",
                          .digest_low = 1,
                          .digest_high = 2,
                          .rows = 3};
  const frame bytes = encode_installed(written);
  EXPECT_EQ(*decode_installed(bytes.bytes()), written);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_FALSE(decode_installed(bytes.bytes().first(size)).ok()) << size;
}

TEST(LogSlice, ReadsOneHistoryFromTwoLogs) {
  const auto schema = judging_schema();
  history all(schema);
  random_stream draw(3);
  for (std::uint64_t i = 0; i < 30; ++i) all.push("a", drawn_blocks(draw), 1'000 + i);
  storage::memory_log tail(std::make_shared<storage::memory_log::contents>(*all.log.disk()));
  auto& cut = *all.log.disk();
  cut.records.erase(cut.records.begin(), cut.records.begin() + 12);
  cut.first = lsn{13};
  tail.disk()->records.resize(20);
  log_slice both({&tail, &all.log}, lsn{25});
  std::vector<std::uint64_t> read;
  ASSERT_TRUE(both.read_from(lsn{5},
                             [&](const storage::log_record& record) {
                               read.push_back(record.lsn.value);
                               return true;
                             })
                  .ok());
  ASSERT_EQ(read.size(), 21U);
  for (std::size_t i = 0; i < read.size(); ++i) EXPECT_EQ(read[i], 5 + i);
  log_slice late({&all.log}, lsn{25});
  const auto missing = late.read_from(lsn{5}, [](const storage::log_record&) { return true; });
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, errc::not_found);
}

}  // namespace
}  // namespace headrace::ps
