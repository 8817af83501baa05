#include "ps/shard/durable_shard.hpp"

#include "ps/shard/test_push.hpp"
#include "storage/memory_log.hpp"
#include "storage/memory_row_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

namespace headrace::ps {
namespace {

using fate = storage::memory_log::fate;
using testing::HasSubstr;

const schemas::source_id clicks{"clicks", 1};

/// Calls back from a thread of its own, as an engine with group commit does.
class threaded_log final : public storage::ordered_log {
 public:
  explicit threaded_log(std::shared_ptr<storage::memory_log::contents> disk)
      : log_(std::move(disk)) {}
  void append(std::span<const storage::log_record> group, lsn expected, on_outcome done) override {
    std::optional<storage::append_outcome> outcome;
    log_.append(group, expected, [&](const storage::append_outcome& one) { outcome = one; });
    std::thread([&] { done(*outcome); }).join();
  }
  result<void> read_from(lsn from, const visitor& visit) override {
    return log_.read_from(from, visit);
  }
  result<void> truncate_before(lsn keep_from) override { return log_.truncate_before(keep_from); }
  extent last() const override { return log_.last(); }
  result<void> close() override { return log_.close(); }

 private:
  storage::memory_log log_;
};

/// One shard over a log and a row store that outlive it, with a mailbox for outcomes.
struct harness {
  harness() { EXPECT_TRUE(open().ok()); }

  result<void> open(bool threaded = false) {
    at = nullptr;
    mailbox.clear();
    std::unique_ptr<storage::ordered_log> engine;
    if (threaded) {
      log = nullptr;
      engine = std::make_unique<threaded_log>(disk);
    } else {
      auto memory = std::make_unique<storage::memory_log>(disk);
      log = memory.get();
      engine = std::move(memory);
    }
    auto schema = one_table(schemas::optimizer_kind::add, 1);
    schema.tables[0].init.scale = 0.0F;
    auto state = std::make_unique<shard>(shard_id{0}, schema, shard_limits{}, headrace::epoch{1});
    durable_shard::parts parts;
    parts.state = std::move(state);
    parts.log = std::move(engine);
    parts.rows = &rows;
    parts.time = &time;
    parts.deliver = [this](lsn of, auto outcome) { mailbox.emplace_back(of, std::move(outcome)); };
    auto opened = durable_shard::open(std::move(parts));
    if (!opened) return opened.error();
    at = std::move(*opened);
    return {};
  }
  static frame section(std::uint64_t batch, float value = 1.0F) {
    block_data block;
    block.keys = {1, 2};
    block.values = {value, value};
    return schemas::encode(section_of(clicks, batch, batch - 1, {block}));
  }
  /// The answers come in `acks`, under the batch.
  void push(std::uint64_t batch, float value = 1.0F) {
    at->push(section(batch, value), [this, batch](const frame& ack) {
      acks[batch].push_back(*schemas::decode_push_ack(ack));
    });
  }
  frame pull(const frame& section) {
    frame answer;
    at->pull(section, [&](frame reply) { answer = std::move(reply); });
    return answer;
  }
  /// Brings what the log said to the shard. False: the shard is to be opened again.
  bool settle() {
    while (!mailbox.empty()) {
      const auto [of, outcome] = mailbox.front();
      mailbox.pop_front();
      if (!at->outcome(of, outcome)) return false;
    }
    return true;
  }
  /// The pushed sum of key 1, from the table.
  float sum() const {
    float found = 0.0F;
    at->state().visit(table_id{0}, [&](row_key key, std::uint32_t, std::span<const float> floats) {
      if (key == row_key{1}) found = floats[0];
    });
    return found;
  }
  errc last_status(std::uint64_t batch) {
    CHECK(!acks[batch].empty());
    return acks[batch].back().status;
  }

  std::shared_ptr<storage::memory_log::contents> disk =
      std::make_shared<storage::memory_log::contents>();
  storage::memory_row_store rows;
  manual_clock time;
  storage::memory_log* log = nullptr;
  std::unique_ptr<durable_shard> at;
  std::deque<std::pair<lsn, storage::append_outcome>> mailbox;
  std::map<std::uint64_t, std::vector<schemas::push_ack>> acks;
};

TEST(DurableShard, AcknowledgesWhenTheRecordIsCommitted) {
  harness on;
  on.push(1);
  ASSERT_EQ(on.acks[1].size(), 1U);  // this log commits inside append
  EXPECT_TRUE(on.acks[1][0].applied);
  EXPECT_EQ(on.acks[1][0].mode, schemas::log_mode::os);
  EXPECT_EQ(on.disk->records.size(), 1U);
  on.log->hold(true);
  on.push(2);
  on.push(3);
  EXPECT_TRUE(on.acks[2].empty());
  EXPECT_EQ(on.at->state().applied(), lsn{1});
  on.log->deliver(1);
  ASSERT_TRUE(on.settle());
  EXPECT_EQ(on.acks[2].size(), 1U);
  EXPECT_TRUE(on.acks[3].empty());
  on.log->deliver();
  ASSERT_TRUE(on.settle());
  EXPECT_EQ(on.last_status(3), errc::ok);
  EXPECT_EQ(on.sum(), 3.0F);
}

TEST(DurableShard, TakesOutcomesFromAnotherThread) {
  harness on;
  ASSERT_TRUE(on.open(true).ok());
  on.push(1);
  EXPECT_TRUE(on.acks[1].empty());
  ASSERT_TRUE(on.settle());
  EXPECT_TRUE(on.acks[1].at(0).applied);
}

TEST(DurableShard, AnOutcomeInsideAppendWaitsForTheOnesBeforeIt) {
  harness on;
  on.log->hold(true);
  on.push(1);
  on.log->deliver();  // its outcome lies in the mailbox
  on.log->hold(false);
  on.push(2);  // and this one is known at once
  EXPECT_TRUE(on.acks[1].empty());
  EXPECT_TRUE(on.acks[2].empty());
  ASSERT_TRUE(on.settle());
  EXPECT_TRUE(on.acks[1].at(0).applied);
  EXPECT_TRUE(on.acks[2].at(0).applied);
}

TEST(DurableShard, ADuplicateInFlightIsAnsweredWithTheFirst) {
  harness on;
  on.log->hold(true);
  on.push(1);
  on.push(2);
  on.push(1);
  on.log->deliver(1);
  ASSERT_TRUE(on.settle());
  EXPECT_EQ(on.acks[1].size(), 1U);  // the repeated one waits for the watermark, batch 2
  on.log->deliver();
  ASSERT_TRUE(on.settle());
  ASSERT_EQ(on.acks[1].size(), 2U);
  EXPECT_EQ(on.acks[1][1].status, errc::ok);
  EXPECT_FALSE(on.acks[1][1].applied);
  EXPECT_EQ(on.acks[1][1].watermark, batch_number{2});
  on.push(1);
  EXPECT_EQ(on.acks[1].size(), 3U);  // at once
  EXPECT_EQ(on.sum(), 2.0F);
}

TEST(DurableShard, ARefusedAppendRollsBackAllBehindItAndIsTakenLater) {
  harness on;
  on.log->hold(true);
  on.log->next(fate::commit);
  on.log->next(fate::refuse, errc::disk_full);
  for (const std::uint64_t batch : {1U, 2U, 3U, 3U}) on.push(batch);
  on.log->deliver();
  ASSERT_TRUE(on.settle());
  EXPECT_TRUE(on.acks[1].at(0).applied);
  for (const std::uint64_t batch : {2U, 3U}) {
    ASSERT_FALSE(on.acks[batch].empty());
    for (const auto& ack : on.acks[batch]) {
      EXPECT_EQ(ack.status, errc::overloaded);
      EXPECT_GT(ack.retry_after_ms, 0U);
      EXPECT_THAT(ack.detail, HasSubstr("disk_full"));
    }
  }
  EXPECT_EQ(on.acks[3].size(), 2U);  // the duplicate, too
  EXPECT_EQ(on.at->refused(), (std::map<errc, std::uint64_t>{{errc::overloaded, 3}}));
  on.log->hold(false);
  on.push(3);
  EXPECT_EQ(on.last_status(3), errc::gap);
  EXPECT_EQ(on.at->refused().at(errc::gap), 1U);
  on.push(2);
  on.push(3);
  EXPECT_EQ(on.last_status(3), errc::ok);
  EXPECT_EQ(on.sum(), 3.0F);
  EXPECT_EQ(on.disk->records.size(), 3U);
}

TEST(DurableShard, ALateRefusalIsNotTakenForThePushThatHasItsPositionNow) {
  harness on;
  on.log->hold(true);
  on.log->next(fate::refuse, errc::disk_full);
  for (const std::uint64_t batch : {1U, 2U, 3U}) on.push(batch);
  on.log->deliver();
  ASSERT_EQ(on.mailbox.size(), 3U);
  // The shard hears of the first refusal only, then the worker sends all again, then the rest is
  // heard.
  const auto first = on.mailbox.front();
  on.mailbox.pop_front();
  ASSERT_TRUE(on.at->outcome(first.first, first.second));
  for (const std::uint64_t batch : {1U, 2U, 3U}) on.push(batch);
  ASSERT_TRUE(on.settle());
  for (const std::uint64_t batch : {1U, 2U, 3U}) EXPECT_EQ(on.acks[batch].size(), 1U) << batch;
  on.log->deliver();
  ASSERT_TRUE(on.settle());
  for (const std::uint64_t batch : {1U, 2U, 3U})
    EXPECT_EQ(on.last_status(batch), errc::ok) << batch;
  EXPECT_EQ(on.sum(), 3.0F);
  EXPECT_EQ(on.disk->records.size(), 3U);
  const auto digest = on.at->state().digest().low;
  ASSERT_TRUE(on.open().ok());
  EXPECT_EQ(on.at->state().digest().low, digest);
}

TEST(DurableShard, PullsGoOnAndPushesAreRefusedWhileTheDiskIsFull) {
  harness on;
  on.push(1);
  for (int i = 0; i < 3; ++i) {
    on.log->next(fate::refuse, errc::disk_full);
    on.push(2);
    EXPECT_EQ(on.last_status(2), errc::overloaded);
    schemas::pull_section section;
    const std::vector<std::uint64_t> keys = {1};
    section.blocks.push_back({table_id{0}, schemas::value_codec::fp32, keys});
    const auto reply = schemas::decode_pull_reply(on.pull(schemas::encode(section)));
    EXPECT_EQ(reply->blocks.at(0).fp32_values()[0] - on.sum(), 0.0F);
  }
  on.push(2);
  EXPECT_EQ(on.last_status(2), errc::ok);
  EXPECT_EQ(on.at->state().version(), 2U);
}

TEST(DurableShard, AnUnknownOutcomeEndsItAndTheLogDecidesWhatHappened) {
  for (const fate what : {fate::unknown_present, fate::unknown_absent}) {
    harness on;
    on.push(1);
    on.log->next(what, errc::io_error);
    on.push(2);
    EXPECT_TRUE(on.at->failed());
    EXPECT_TRUE(on.acks[2].empty());
    on.push(3);
    EXPECT_EQ(on.last_status(3), errc::unavailable);
    ASSERT_TRUE(on.open().ok());
    on.push(2);  // the worker sends the same bytes again
    on.push(3);
    EXPECT_EQ(on.last_status(2), errc::ok);
    EXPECT_EQ(on.acks[2].at(0).applied, what == fate::unknown_absent);
    EXPECT_EQ(on.sum(), 3.0F);
  }
}

TEST(DurableShard, AnUnknownOutcomeThatComesLateIsToldByOutcome) {
  harness on;
  on.log->hold(true);
  on.log->next(fate::unknown_present, errc::io_error);
  on.push(1);
  on.push(2);
  on.log->deliver();
  EXPECT_FALSE(on.settle());
  EXPECT_TRUE(on.at->failed());
  EXPECT_TRUE(on.acks[1].empty());
  ASSERT_TRUE(on.open().ok());
  EXPECT_EQ(on.at->state().applied(), lsn{1});
}

TEST(DurableShard, AFlushWithPushesInFlightHoldsWhatIsApplied) {
  harness on;
  on.push(1);
  on.log->hold(true);
  on.push(2);
  ASSERT_EQ(*on.at->flush(), lsn{1});
  on.log->crash(1);  // reached the disk, nobody heard of it
  ASSERT_TRUE(on.open().ok());
  EXPECT_EQ(on.at->state().applied(), lsn{2});
  EXPECT_EQ(on.sum(), 2.0F);
  on.push(2);
  EXPECT_FALSE(on.acks[2].at(0).applied);
}

TEST(DurableShard, CloseFlushesAndTheNextOpenGoesOn) {
  harness on;
  on.push(1);
  on.push(2);
  const auto digest = on.at->state().digest().low;
  ASSERT_TRUE(on.at->close().ok());
  EXPECT_EQ(on.rows.position(shard_id{0})->flushed, lsn{2});
  ASSERT_TRUE(on.open().ok());
  EXPECT_EQ(on.at->state().digest().low, digest);
  on.push(3);
  EXPECT_TRUE(on.acks[3].at(0).applied);
  EXPECT_EQ(on.acks[3].at(0).version, 3U);
}

// What the log keeps is the section as it came: replay decodes it again, to the same bits.
TEST(DurableShard, ReplayOfTopkAndInt4GivesTheSameDigest) {
  SCOPED_TRACE("seed " + std::to_string(test_seed()));
  random_stream random(test_seed());
  harness on;
  block_data block;
  for (std::uint64_t key = 0; key < 700; ++key) block.keys.push_back(key * key);
  for (std::uint64_t batch = 1; batch <= 6; ++batch) {
    const bool sparse = batch % 2 == 0;
    draw_coded(block,
               sparse ? schemas::value_codec::topk : schemas::value_codec::int4,
               sparse ? batch * 100 : 0,
               random);
    const frame bytes = schemas::encode(section_of(clicks, batch, batch - 1, {block}));
    on.at->push(
        bytes, [&](const frame& ack) { on.acks[batch].push_back(*schemas::decode_push_ack(ack)); });
    ASSERT_TRUE(on.acks[batch][0].applied) << on.acks[batch][0].detail;
    EXPECT_EQ(on.disk->records.back().payload.size(), bytes.size());
  }
  const auto digest = on.at->state().digest();
  EXPECT_EQ(on.at->state().digest().rows, 700U);
  ASSERT_TRUE(on.open().ok());  // nothing was flushed: all of it comes from the log
  EXPECT_EQ(on.at->state().digest().low, digest.low);
  EXPECT_EQ(on.at->state().digest().high, digest.high);
}

TEST(DurableShard, MalformedBytesAreAnsweredAndChangeNothing) {
  harness on;
  const auto bytes = frame::copy_of(std::vector<std::byte>(24, std::byte{0xFF}));
  std::optional<schemas::push_ack> ack;
  on.at->push(bytes, [&](const frame& answer) { ack = *schemas::decode_push_ack(answer); });
  ASSERT_TRUE(ack.has_value());
  EXPECT_EQ(ack->status, errc::malformed);
  EXPECT_EQ(schemas::decode_pull_reply(on.pull(bytes))->status, errc::malformed);
  EXPECT_TRUE(on.disk->records.empty());
}

TEST(DurableShard, RefusesALogThatBeginsBehindTheRows) {
  harness on;
  for (std::uint64_t batch = 1; batch <= 4; ++batch) on.push(batch);
  on.disk->records.erase(on.disk->records.begin(), on.disk->records.begin() + 2);
  on.disk->first = lsn{3};
  const auto opened = on.open();
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, errc::corrupt);
  EXPECT_THAT(opened.error().detail, HasSubstr("records between are missing"));
}

TEST(DurableShard, RefusesALogThatEndsBeforeTheRows) {
  harness on;
  for (std::uint64_t batch = 1; batch <= 3; ++batch) on.push(batch);
  ASSERT_TRUE(on.at->flush().ok());
  on.disk->records.pop_back();
  const auto opened = on.open();
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, errc::corrupt);
  EXPECT_THAT(opened.error().detail, HasSubstr("ends at 2 but rows hold record 3"));
}

TEST(DurableShard, RefusesALogThatEndsBeforeARowOfAnUnfinishedFlush) {
  harness on;
  for (std::uint64_t batch = 1; batch <= 3; ++batch) on.push(batch);
  const std::vector<float> floats = {3.0F};
  const storage::stored_row row{.table = table_id{0},
                                .key = row_key{1},
                                .lsn = lsn{3},
                                .last_seen_ms = 1,
                                .count = 3,
                                .flags = 0,
                                .payload = std::as_bytes(std::span(floats))};
  ASSERT_TRUE(on.rows.write(shard_id{0}, std::span(&row, 1)).ok());
  EXPECT_TRUE(on.open().ok());  // with its record in the log, the row is fine
  EXPECT_EQ(on.sum(), 3.0F);
  on.disk->records.pop_back();
  const auto opened = on.open();
  ASSERT_FALSE(opened.ok());
  EXPECT_THAT(opened.error().detail, HasSubstr("ends at 2 but rows hold record 3"));
}

}  // namespace
}  // namespace headrace::ps
