// A shard whose tables don't fit their memory, with write-back and fetches beside other work,
// against one that keeps everything in DRAM: same pushes, same bits.
#include "base/random.hpp"
#include "kernels/runtime/targets.hpp"
#include "ps/shard/durable_shard.hpp"
#include "ps/shard/test_push.hpp"
#include "storage/memory_log.hpp"
#include "storage/memory_row_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <vector>

namespace headrace::ps {
namespace {

using schemas::optimizer_kind;

const schemas::source_id clicks{"clicks", 1};

/// Works and what follows wait until the test lets them go, in any order of its choice.
class queued_background final : public background {
 public:
  struct state {
    std::deque<std::pair<std::function<void()>, std::function<void()>>> works;
    std::deque<std::function<void()>> done;
  };
  explicit queued_background(std::shared_ptr<state> of) : state_(std::move(of)) {}
  void run(std::function<void()> work, std::function<void()> done) override {
    state_->works.emplace_back(std::move(work), std::move(done));
  }
  void finish() override {
    while (!state_->works.empty()) run_work(*state_, 0);
  }
  static void run_work(state& of, std::size_t at) {
    auto one = std::move(of.works[at]);
    of.works.erase(of.works.begin() + static_cast<std::ptrdiff_t>(at));
    one.first();
    of.done.push_back(std::move(one.second));
  }

 private:
  std::shared_ptr<state> state_;
};

schemas::job_schema schema_of(std::uint64_t rows_in_memory) {
  schemas::job_schema schema;
  schema.shards = 1;
  const auto add = [&](optimizer_kind kind, schemas::value_codec stored) {
    schemas::table_spec spec;
    spec.id = table_id{static_cast<std::uint32_t>(schema.tables.size())};
    spec.name = "t" + std::to_string(schema.tables.size());
    spec.dim = 3;
    spec.optimizer.kind = kind;
    spec.init = {.seed = 5, .scale = 0.1F};
    spec.stored = stored;
    spec.memory_bytes = rows_in_memory * (64 + 25);
    schema.tables.push_back(spec);
  };
  add(optimizer_kind::adagrad, schemas::value_codec::fp32);
  add(optimizer_kind::adam, schemas::value_codec::int8);
  schema.tables[1].expiry.ttl_ms = 40;
  schema.tables[1].admission = {.count = 2, .window_ms = 100, .probability = 0.7F};
  return schema;
}

/// One shard over a log and a row store that outlive it.
struct tiered {
  explicit tiered(std::uint64_t rows_in_memory, durability_options how_to = {})
      : schema(schema_of(rows_in_memory)), how(how_to) {
    EXPECT_TRUE(open());
  }
  bool open() {
    at = nullptr;  // finishes its works
    queue->done.clear();
    durable_shard::parts parts;
    parts.state = std::make_unique<shard>(shard_id{0}, schema, shard_limits{}, epoch{1});
    auto engine = std::make_unique<storage::memory_log>(disk);
    parts.log = std::move(engine);
    parts.rows = &rows;
    parts.time = &time;
    parts.io = std::make_unique<queued_background>(queue);
    parts.deliver = [](lsn, storage::append_outcome) { FAIL() << "this log answers at once"; };
    parts.how = how;
    auto opened = durable_shard::open(std::move(parts));
    EXPECT_TRUE(opened.ok()) << (opened.ok() ? "" : describe(opened.error()));
    if (!opened) return false;
    at = std::move(*opened);
    return true;
  }
  void push(std::uint64_t batch, const std::vector<block_data>& blocks) {
    at->push(schemas::encode(section_of(clicks, batch, batch - 1, blocks)),
             [this, batch](const frame& ack) { acks[batch] = *schemas::decode_push_ack(ack); });
  }
  /// Some of what waits goes on; all of it where `draw` is null.
  void let_go(random_stream* draw = nullptr) {
    while (!queue->works.empty() || !queue->done.empty()) {
      if (draw != nullptr && draw->next_below(4) == 0) return;
      const bool work = queue->done.empty() ||
                        (!queue->works.empty() && draw != nullptr && draw->next_below(2) == 0);
      if (work) {
        queued_background::run_work(*queue,
                                    draw == nullptr ? 0 : draw->next_below(queue->works.size()));
      } else {
        const auto next = std::move(queue->done.front());
        queue->done.pop_front();
        next();
      }
      ASSERT_FALSE(at->failed()) << describe(*at->failure());
    }
  }
  schemas::digest_reply digest() const {
    auto made = at->digest();
    EXPECT_TRUE(made.ok());
    made->bytes = 0;
    return *made;
  }

  schemas::job_schema schema;
  durability_options how;
  std::shared_ptr<storage::memory_log::contents> disk =
      std::make_shared<storage::memory_log::contents>();
  storage::memory_row_store rows;
  manual_clock time;
  std::shared_ptr<queued_background::state> queue = std::make_shared<queued_background::state>();
  std::unique_ptr<durable_shard> at;
  std::map<std::uint64_t, schemas::push_ack> acks;
};

std::vector<block_data> random_blocks(random_stream& draw) {
  std::vector<block_data> blocks;
  for (std::uint32_t table = 0; table < 2; ++table) {
    std::set<std::uint64_t> keys;
    for (std::uint64_t n = 1 + draw.next_below(12); n > 0; --n) {
      keys.insert(draw.next_below(draw.next_below(2) == 0 ? 10 : 200));
    }
    block_data block;
    block.table = table_id{table};
    block.dim = 3;
    block.keys.assign(keys.begin(), keys.end());
    for (std::size_t i = 0; i < keys.size() * 3; ++i)
      block.values.push_back(static_cast<float>(draw.next_unit() - 0.5));
    blocks.push_back(std::move(block));
  }
  return blocks;
}

/// What replaying a log from its first record gives, everything in DRAM.
schemas::digest_reply replayed(const std::vector<storage::log_record>& records) {
  shard all(shard_id{0}, schema_of(0), shard_limits{}, epoch{1});
  for (const auto& record : records) {
    const auto done = all.redo(record);
    EXPECT_TRUE(done.ok()) << describe(done.error());
  }
  auto made = all.digest();
  made.bytes = 0;
  return made;
}

TEST(TieredShard, LearnsWhatAShardThatKeepsEverythingLearns) {
  const std::uint64_t seed = test_seed();
  SCOPED_TRACE(testing::Message() << "HEADRACE_SEED=" << seed);
  for (std::uint64_t run = 0; run < 20; ++run) {
    SCOPED_TRACE(testing::Message() << "run " << run);
    random_stream draw(mix64(seed) + run);
    durability_options how;
    if (run % 3 == 1) how.tail_rows_max = 100;
    tiered on(16, how);
    for (std::uint64_t batch = 1; batch <= 150; ++batch) {
      on.time.advance_ms(draw.next_below(10));
      on.push(batch, random_blocks(draw));
      if (draw.next_below(6) == 0) on.at->flush_later();
      if (draw.next_below(10) == 0) on.at->tick();
      if (draw.next_below(25) == 0) {
        const std::uint64_t key = draw.next_below(10);
        on.at->forget(table_id{0}, {key, key + 20}, [](const auto&) {});
      }
      on.let_go(&draw);
      if (HasFatalFailure()) return;
      if (draw.next_below(40) == 0) {
        const bool killed = draw.next_below(2) == 0;
        if (!killed) on.let_go();
        if (killed) {
          on.queue->works.clear();  // they never run
          on.at = nullptr;
          on.rows.crash(draw.next_below(2) == 0);
        }
        ASSERT_TRUE(on.open());
        // What was not acknowledged is sent again.
        const auto told = on.at->state().watermarks({shard_id{0}, clicks}).rows.value;
        batch = told;
      }
    }
    on.let_go();
    EXPECT_EQ(on.acks.at(150).status, errc::ok) << on.acks.at(150).detail;
    EXPECT_EQ(on.digest(), replayed(on.disk->records));
    EXPECT_GT(on.at->state().seen().evicted + on.at->state().seen().fetched, 0U);
    EXPECT_LE(on.at->state().counts().rows, 1'000U);
    on.time.advance_ms(1);
    ASSERT_TRUE(on.open());
    on.let_go();
    EXPECT_EQ(on.digest(), replayed(on.disk->records));
  }
}

// The digest is a constant: a build by another compiler, or for another machine, must arrive at it,
// with admission, TTL, eviction, int8 rows and stochastic rounding at work.
TEST(TieredShard, OneDigestLiveReplayedOnEveryTargetAndByEveryCompiler) {
  random_stream draw(20'261'125);
  tiered on(16);
  for (std::uint64_t batch = 1; batch <= 400; ++batch) {
    on.time.advance_ms(draw.next_below(10));
    on.push(batch, random_blocks(draw));
    if (batch % 20 == 0) on.at->flush_later();
    on.let_go();
  }
  const auto live = on.digest();
  EXPECT_GT(on.at->state().seen().evicted, 100U);
  EXPECT_GT(on.at->state().seen().fetched, 100U);
  for (const kernels::cpu_target target : kernels::cpu_targets()) {
    const kernels::cpu_target_override chosen(target);
    EXPECT_EQ(replayed(on.disk->records), live) << kernels::name(target);
  }
  EXPECT_EQ(schemas::to_string(schemas::hash128{live.low, live.high}),
            "d44d1fe1a550a64adb0205c80ecb8a05");
}

// A log that was never written back, larger than the tables may be: also without a cold row at the
// start.
TEST(TieredShard, ARestartKeepsToItsMemoryWhileItRedoes) {
  constexpr std::uint64_t rows = 4'000;
  constexpr std::uint64_t batches = 24;  // more than a table may ever be over its budget
  tiered all(0);
  for (std::uint64_t batch = 1; batch <= batches; ++batch) {
    block_data block;
    block.dim = 3;
    for (std::uint64_t key = 0; key < rows; ++key) block.keys.push_back(batch * rows + key);
    block.values.assign(rows * 3, 1.0F);
    all.push(batch, {block});
    all.let_go();
  }
  tiered small(16);
  small.disk = all.disk;
  ASSERT_TRUE(small.open());
  EXPECT_FALSE(small.at->state().far_over_budget());
  small.let_go();
  EXPECT_EQ(small.digest(), all.digest());
}

TEST(TieredShard, APushWaitsWhileTheTailIsFullAndGoesOnWhenRowsAreWritten) {
  durability_options how;
  how.tail_rows_max = 8;
  tiered on(0, how);
  random_stream draw(7);
  std::uint64_t batch = 0;
  while (on.at->state().tail_rows() < 8) on.push(++batch, random_blocks(draw));
  on.push(++batch, random_blocks(draw));
  EXPECT_FALSE(on.acks.contains(batch));
  on.let_go();
  ASSERT_TRUE(on.acks.contains(batch));
  EXPECT_TRUE(on.acks[batch].applied);
}

TEST(TieredShard, RefusesPushesWhileRowsCannotBeWrittenAndTakesThemAgainAfterwards) {
  durability_options how;
  how.tail_rows_max = 8;
  tiered on(0, how);
  random_stream draw(7);
  std::uint64_t batch = 0;
  while (on.at->state().tail_rows() < 8) on.push(++batch, random_blocks(draw));
  on.rows.fail_next(errc::disk_full);
  on.rows.fail_next(errc::disk_full);
  on.push(++batch, random_blocks(draw));
  on.let_go();
  ASSERT_TRUE(on.acks.contains(batch));
  EXPECT_EQ(on.acks[batch].status, errc::overloaded);
  EXPECT_THAT(on.acks[batch].detail, testing::HasSubstr("rows cannot be written back"));
  EXPECT_GT(on.acks[batch].retry_after_ms, 0U);
  for (int again = 0; again < 3 && on.acks[batch].status != errc::ok; ++again) {
    on.time.advance_ms(2'000);
    on.push(batch, random_blocks(draw));
    on.let_go();
  }
  EXPECT_EQ(on.acks[batch].status, errc::ok) << on.acks[batch].detail;
}

TEST(TieredShard, CutsItsLogBehindWhatRowsHoldAndKeepsWhatACheckpointReads) {
  durability_options how;
  how.truncate = true;
  tiered on(0, how);
  random_stream draw(7);
  for (std::uint64_t batch = 1; batch <= 5; ++batch) on.push(batch, random_blocks(draw));
  on.at->keep_log_from(lsn{3});
  on.at->flush_later();
  on.let_go();
  EXPECT_EQ(on.disk->first, lsn{3});
  on.at->keep_log_from(lsn{UINT64_MAX});
  on.push(6, random_blocks(draw));
  on.at->flush_later();
  on.let_go();
  EXPECT_GE(on.disk->first, lsn{6});
  const auto before = on.digest();
  ASSERT_TRUE(on.open());
  on.let_go();
  EXPECT_EQ(on.digest(), before);
}

TEST(TieredShard, ARowThatIsForgottenStaysSoAndTheReportNamesIt) {
  tiered on(4);
  block_data block;
  block.dim = 3;
  for (std::uint64_t key = 0; key < 40; ++key) block.keys.push_back(key);
  block.values.assign(120, 1.0F);
  on.push(1, {block});
  on.at->flush_later();
  on.let_go();
  std::optional<durable_shard::forgotten> report;
  on.at->forget(table_id{0}, {3, 39, 77}, [&](const result<durable_shard::forgotten>& done) {
    ASSERT_TRUE(done.ok()) << describe(done.error());
    report = *done;
  });
  on.let_go();
  ASSERT_TRUE(report);
  EXPECT_EQ(report->at, lsn{2});
  EXPECT_EQ(report->found, (std::vector<std::uint64_t>{3, 39}));
  for (int life = 0; life < 3; ++life) {
    EXPECT_EQ(on.digest().rows, 38U) << life;
    on.at->flush_later();
    on.let_go();
    on.at->tick();
    ASSERT_TRUE(on.open());
    on.let_go();
  }
  bool refused = false;
  on.at->forget(table_id{9}, {1}, [&](const auto& done) {
    refused = !done && done.error().code == errc::unknown_table;
  });
  EXPECT_TRUE(refused);
}

TEST(TieredShard, AnExplodingSourceIsVoidedUntilItIsReleased) {
  tiered on(0);
  block_data bad;
  bad.dim = 3;
  bad.keys = {1};
  bad.values = {NAN, 0.0F, 0.0F};
  block_data good = bad;
  good.values = {1.0F, 0.0F, 0.0F};
  std::uint64_t batch = 0;
  for (int i = 0; i < 8; ++i) on.push(++batch, {bad});
  EXPECT_EQ(on.acks[batch].status, errc::not_finite);
  on.push(++batch, {good});
  EXPECT_EQ(on.acks[batch].status, errc::quarantined);
  EXPECT_FALSE(on.acks[batch].applied);
  ASSERT_TRUE(on.open());
  on.let_go();
  on.push(++batch, {good});
  EXPECT_EQ(on.acks[batch].status, errc::quarantined) << "a restart does not let it out";
  EXPECT_TRUE(on.at->release("clicks"));
  EXPECT_FALSE(on.at->release("clicks"));
  on.push(++batch, {good});
  EXPECT_EQ(on.acks[batch].status, errc::ok);
  EXPECT_EQ(on.digest(), replayed(on.disk->records));
}

TEST(TieredShard, ExpiresRowsByDecisionNotBelowTheirMinimum) {
  auto schema = schema_of(0);
  tiered on(0);
  on.schema.tables[0].expiry = {.ttl_ms = 100, .min_rows = 5, .rows_per_second = 0};
  ASSERT_TRUE(on.open());
  block_data block;
  block.dim = 3;
  for (std::uint64_t key = 0; key < 12; ++key) block.keys.push_back(key);
  block.values.assign(36, 1.0F);
  on.push(1, {block});
  on.at->tick();
  EXPECT_EQ(on.digest().rows, 12U);
  on.time.advance_ms(101);
  EXPECT_EQ(on.digest().rows, 12U) << "nothing goes without a record";
  on.at->tick();
  EXPECT_EQ(on.digest().rows, 5U);
  EXPECT_EQ(on.disk->records.back().kind, storage::record_kind::removal);
  on.at->tick();
  EXPECT_EQ(on.digest().rows, 5U);
}

}  // namespace
}  // namespace headrace::ps
