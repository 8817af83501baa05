#include "ps/shard/shard.hpp"

#include "kernels/quantize_rows/quantize_rows.hpp"
#include "kernels/runtime/float_mode.hpp"
#include "ps/shard/test_push.hpp"
#include "storage/memory_row_store.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <memory>
#include <vector>

namespace headrace::ps {
namespace {

using schemas::optimizer_kind;
using schemas::value_codec;
using storage::record_kind;
using testing::HasSubstr;

const schemas::source_id clicks{"clicks", 1};

/// fp32 gradients `value` for `keys`, the same in each column.
block_data gradients(std::vector<std::uint64_t> keys, float value, std::uint32_t dim = 2) {
  block_data block;
  block.dim = dim;
  block.values.assign(keys.size() * dim, value);
  block.keys = std::move(keys);
  return block;
}

std::unique_ptr<shard> make(optimizer_kind kind = optimizer_kind::add,
                            shard_limits limits = {},
                            std::uint32_t dim = 2) {
  auto schema = one_table(kind, dim);
  schema.tables[0].init.scale = 0.0F;
  return std::make_unique<shard>(shard_id{0}, schema, limits, headrace::epoch{1});
}

/// Decides and commits; the record comes back by `log`, too.
schemas::push_ack push(shard& to,
                       std::uint64_t batch,
                       const std::vector<block_data>& blocks,
                       std::vector<storage::log_record>* log = nullptr,
                       std::uint64_t now_ms = 1'000) {
  const auto decision = to.decide(received(section_of(clicks, batch, batch - 1, blocks)), now_ms);
  if (!decision.record) return decision.ack;
  if (log != nullptr) log->push_back(*decision.record);
  return to.commit(decision.record->lsn);
}

std::vector<float> row(const shard& of, std::uint64_t key) {
  std::vector<float> found;
  of.visit(table_id{0}, [&](row_key at, std::uint32_t, std::span<const float> floats) {
    if (at.value == key) found.assign(floats.begin(), floats.end());
  });
  return found;
}

schemas::pull_reply pull(const shard& from,
                         const std::vector<std::uint64_t>& keys,
                         value_codec codec = value_codec::fp32,
                         std::uint64_t at_least = 0) {
  schemas::pull_section section;
  section.at_least = lsn{at_least};
  section.blocks.push_back({table_id{0}, codec, keys});
  auto reply = schemas::decode_pull_reply(from.pull(section));
  CHECK(reply.ok());
  return std::move(*reply);
}

void expect_same(const shard& a, const shard& b) {
  auto left = a.digest();
  auto right = b.digest();
  left.bytes = right.bytes = 0;
  EXPECT_EQ(left, right);
  EXPECT_EQ(a.version(), b.version());
}

// ---- decide and commit ----

TEST(Shard, NothingIsAppliedOrServedBeforeCommit) {
  const auto at = make();
  const auto decision = at->decide(received(section_of(clicks, 1, 0, {gradients({5}, 2.0F)})), 77);
  ASSERT_TRUE(decision.record.has_value());
  EXPECT_EQ(decision.record->lsn, lsn{1});
  EXPECT_EQ(decision.record->kind, record_kind::push);
  EXPECT_EQ(decision.record->stamp_ms, 77U);
  EXPECT_EQ(at->next_lsn(), lsn{2});
  EXPECT_EQ(at->applied(), lsn{0});
  EXPECT_EQ(at->digest().rows, 0U);
  EXPECT_TRUE(pull(*at, {5}).blocks[0].is_absent(0));
  EXPECT_EQ(at->watermarks({shard_id{0}, clicks}).rows, batch_number{0});

  const auto ack = at->commit(lsn{1});
  EXPECT_TRUE(ack.applied);
  EXPECT_EQ(ack.status, errc::ok);
  EXPECT_EQ(ack.watermark, batch_number{1});
  EXPECT_EQ(ack.lsn, lsn{1});
  EXPECT_EQ(ack.version, 1U);
  EXPECT_EQ(ack.slowest_clock, 1U);
  EXPECT_EQ(row(*at, 5), (std::vector<float>{2.0F, 2.0F}));
  EXPECT_EQ(at->watermarks({shard_id{0}, clicks}).rows, batch_number{1});
}

TEST(Shard, TheRecordKeepsTheBytesAsReceived) {
  const auto at = make();
  const auto section = received(section_of(clicks, 1, 0, {gradients({5}, 2.0F)}));
  const auto decision = at->decide(section, 0);
  ASSERT_TRUE(decision.record.has_value());
  EXPECT_EQ(decision.record->payload.bytes().data(), section.bytes.bytes().data());
}

TEST(Shard, TakesASectionBuiltByHandAfterItsArraysAreGone) {
  const auto at = make();
  {
    const std::vector<block_data> blocks = {gradients({5}, 2.0F)};
    ASSERT_TRUE(at->decide(section_of(clicks, 1, 0, blocks), 0).record.has_value());
  }
  EXPECT_TRUE(at->commit(lsn{1}).applied);
  EXPECT_EQ(row(*at, 5), (std::vector<float>{2.0F, 2.0F}));
}

TEST(Shard, ADuplicateWaitsForTheRecordThatBroughtItAndIsNotApplied) {
  const auto at = make();
  const auto section = received(section_of(clicks, 1, 0, {gradients({5}, 2.0F)}));
  ASSERT_TRUE(at->decide(section, 0).record.has_value());
  for (const bool committed : {false, true}) {
    const auto again = at->decide(section, 0);
    ASSERT_FALSE(again.record.has_value());
    EXPECT_EQ(again.ack.status, errc::ok);
    EXPECT_FALSE(again.ack.applied);
    EXPECT_EQ(again.wait_for, lsn{1});
    EXPECT_EQ(again.ack.watermark, batch_number{1});
    if (!committed) at->commit(lsn{1});
  }
  EXPECT_EQ(row(*at, 5), (std::vector<float>{2.0F, 2.0F}));
}

TEST(Shard, AGapIsRefusedWithTheWatermarkAndLeavesNoTrace) {
  const auto at = make();
  push(*at, 1, {gradients({5}, 2.0F)});
  const auto before = at->digest();
  const auto refused = at->decide(received(section_of(clicks, 3, 2, {gradients({5}, 2.0F)})), 0);
  ASSERT_FALSE(refused.record.has_value());
  EXPECT_EQ(refused.ack.status, errc::gap);
  EXPECT_EQ(refused.ack.watermark, batch_number{1});
  EXPECT_THAT(refused.ack.detail, HasSubstr("batch 3 of clicks#1 follows 2, shard 0 is at 1"));
  EXPECT_EQ(at->digest(), before);
  EXPECT_EQ(at->next_lsn(), lsn{2});
}

TEST(Shard, ARetiredGenerationIsRefused) {
  const auto at = make();
  push(*at, 1, {gradients({5}, 1.0F)});
  const auto next =
      at->decide(received(section_of({"clicks", 2}, 1, 0, {gradients({5}, 1.0F)})), 0);
  ASSERT_TRUE(next.record.has_value());
  at->commit(lsn{2});
  const auto zombie = at->decide(received(section_of(clicks, 2, 1, {gradients({5}, 1.0F)})), 0);
  EXPECT_EQ(zombie.ack.status, errc::unknown_source);
  EXPECT_THAT(zombie.ack.detail, HasSubstr("clicks#1 is retired"));
  EXPECT_EQ(at->watermarks({shard_id{0}, clicks}).status, errc::unknown_source);
}

TEST(Shard, PermanentRefusalsBecomeVoidRecordsThatAdvanceTheWatermark) {
  const auto at = make();
  std::vector<storage::log_record> log;
  auto poison = gradients({5, 9}, 1.0F);
  poison.values[3] = std::numeric_limits<float>::quiet_NaN();
  auto ack = push(*at, 1, {poison}, &log);
  EXPECT_EQ(ack.status, errc::not_finite);
  EXPECT_FALSE(ack.applied);
  EXPECT_EQ(ack.watermark, batch_number{1});
  EXPECT_EQ(ack.lsn, lsn{1});
  EXPECT_THAT(ack.detail, HasSubstr("row 9"));
  ack = push(*at, 2, {gradients({5}, 1.0F, 3)}, &log);
  EXPECT_EQ(ack.status, errc::bad_dims);
  ack = push(*at, 3, {gradients({9, 5}, 1.0F)}, &log);
  EXPECT_EQ(ack.status, errc::bad_keys);
  auto lost = gradients({5}, 1.0F);
  lost.table = table_id{3};
  ack = push(*at, 4, {lost}, &log);
  EXPECT_EQ(ack.status, errc::unknown_table);
  EXPECT_EQ(at->version(), 0U);
  EXPECT_EQ(at->digest().rows, 0U);
  ASSERT_EQ(log.size(), 4U);
  for (const auto& record : log) {
    EXPECT_EQ(record.kind, record_kind::voided);
    const auto payload = schemas::decode_push(record.payload);
    ASSERT_TRUE(payload.ok());
    EXPECT_TRUE(payload->blocks.empty());
    EXPECT_EQ(payload->source, clicks);
    EXPECT_EQ(payload->batch.value, record.lsn.value);
  }
  EXPECT_EQ(log[0].reason, errc::not_finite);
  EXPECT_TRUE(push(*at, 5, {gradients({5}, 1.0F)}).applied);  // the source goes on
}

TEST(Shard, AHugeNormIsVoidedAfterNormalOnes) {
  const auto at = make(optimizer_kind::add, {.norm_factor_max = 1'000.0});
  for (std::uint64_t batch = 1; batch <= 8; ++batch) {
    EXPECT_TRUE(push(*at, batch, {gradients({5}, 1.0F)}).applied);
  }
  EXPECT_EQ(push(*at, 9, {gradients({5}, 2'000.0F)}).status, errc::norm_exceeded);
  EXPECT_TRUE(push(*at, 10, {gradients({5}, 900.0F)}).applied);
  EXPECT_EQ(row(*at, 5)[0], 908.0F);
}

TEST(Shard, AnAdvanceMovesTheWatermarkAndNotTheVersion) {
  const auto at = make();
  std::vector<storage::log_record> log;
  const auto ack = push(*at, 1, {}, &log);
  EXPECT_EQ(log[0].kind, record_kind::advance);
  EXPECT_TRUE(ack.applied);
  EXPECT_EQ(ack.watermark, batch_number{1});
  EXPECT_EQ(ack.version, 0U);
}

TEST(Shard, AnOldGradientIsRefusedButNotAnAdvanceOrADuplicate) {
  const auto at = make(optimizer_kind::add, {.staleness_max = 2});
  for (std::uint64_t batch = 1; batch <= 3; ++batch) {
    const std::vector<block_data> blocks = {gradients({5}, 1.0F)};
    auto section = section_of(clicks, batch, batch - 1, blocks);
    section.pulled_version = batch - 1;
    const auto decision = at->decide(received(section), 0);
    ASSERT_TRUE(decision.record.has_value());
    at->commit(decision.record->lsn);
  }
  const auto section = received(section_of(clicks, 4, 3, {gradients({5}, 1.0F)}));
  const auto stale = at->decide(section, 0);
  EXPECT_EQ(stale.ack.status, errc::stale_gradient);
  EXPECT_EQ(stale.ack.watermark, batch_number{3});
  EXPECT_THAT(stale.ack.detail, HasSubstr("computed from version 0 of shard 0, now at 3"));
  EXPECT_EQ(at->decide(received(section_of(clicks, 3, 2, {gradients({5}, 1.0F)})), 0).ack.status,
            errc::ok);
  EXPECT_TRUE(at->decide(received(section_of(clicks, 4, 3, {})), 0).record.has_value());
}

TEST(Shard, TooManyInFlightAreRefusedAsOverloaded) {
  const auto at = make(optimizer_kind::add, {.in_flight_max = 2});
  for (std::uint64_t batch = 1; batch <= 3; ++batch) {
    const auto decision =
        at->decide(received(section_of(clicks, batch, batch - 1, {gradients({5}, 1.0F)})), 0);
    EXPECT_EQ(decision.record.has_value(), batch < 3);
    if (batch == 3) {
      EXPECT_EQ(decision.ack.status, errc::overloaded);
      EXPECT_GT(decision.ack.retry_after_ms, 0U);
      EXPECT_EQ(decision.ack.watermark, batch_number{2});
    }
  }
}

TEST(Shard, ANewSourceAboveTheLimitIsRefusedAndKnownOnesGoOn) {
  const auto at = make(optimizer_kind::add, {.sources_max = 1});
  push(*at, 1, {gradients({5}, 1.0F)});
  const auto other =
      at->decide(received(section_of({"views", 1}, 1, 0, {gradients({5}, 1.0F)})), 0);
  EXPECT_EQ(other.ack.status, errc::overloaded);
  EXPECT_THAT(other.ack.detail, HasSubstr("already follows 1 sources, the limit; views#1"));
  EXPECT_TRUE(push(*at, 2, {gradients({5}, 1.0F)}).applied);
}

TEST(Shard, ARollBackForgetsFromThereOn) {
  const auto at = make();
  const auto section = [&](std::uint64_t batch) {
    return received(section_of(clicks, batch, batch - 1, {gradients({batch}, 1.0F)}));
  };
  for (std::uint64_t batch = 1; batch <= 3; ++batch) {
    ASSERT_TRUE(at->decide(section(batch), 100 * batch).record.has_value());
  }
  at->roll_back(lsn{2});
  EXPECT_EQ(at->next_lsn(), lsn{2});
  EXPECT_EQ(at->decide(section(3), 0).ack.status, errc::gap);
  const auto again = at->decide(section(2), 150);
  ASSERT_TRUE(again.record.has_value());
  EXPECT_EQ(again.record->lsn, lsn{2});
  EXPECT_EQ(again.record->stamp_ms, 150U);
  at->commit(lsn{1});
  at->commit(lsn{2});
  EXPECT_EQ(at->digest().rows, 2U);
  EXPECT_TRUE(row(*at, 3).empty());
}

TEST(Shard, StampsNeverDecrease) {
  const auto at = make();
  std::vector<storage::log_record> log;
  const std::uint64_t times[] = {100, 50, 120, 7};
  for (std::uint64_t batch = 1; batch <= 4; ++batch) {
    push(*at, batch, {gradients({5}, 1.0F)}, &log, times[batch - 1]);
  }
  EXPECT_EQ(log[1].stamp_ms, 100U);
  EXPECT_EQ(log[3].stamp_ms, 120U);
}

TEST(Shard, CountsOccurrencesAndStopsAtTheTop) {
  const auto at = make();
  auto block = gradients({5, 9}, 1.0F);
  block.counts = {3, UINT32_MAX};
  push(*at, 1, {block});
  push(*at, 2, {block});
  push(*at, 3, {gradients({5, 9}, 1.0F)});
  at->visit(table_id{0}, [](row_key key, std::uint32_t count, std::span<const float>) {
    EXPECT_EQ(count, key == row_key{5} ? 7U : UINT32_MAX);
  });
}

// ---- optimizers and codecs ----

TEST(Shard, SgdAndAdagradFollowTheirRule) {
  const auto sgd = make(optimizer_kind::sgd);
  push(*sgd, 1, {gradients({5}, 2.0F)});
  EXPECT_EQ(row(*sgd, 5)[0], -(0.05F * 2.0F));
  const auto adagrad = make(optimizer_kind::adagrad);
  push(*adagrad, 1, {gradients({5}, 2.0F)});
  const float a = 0.1F + 4.0F;
  EXPECT_EQ(row(*adagrad, 5)[0], 0.0F - (0.05F * 2.0F) / (std::sqrt(a) + 1e-8F));
  EXPECT_EQ(row(*adagrad, 5)[2], a);
}

// From the batch number alone: a replay of the log, in two parts here, finds the same rates.
TEST(Shard, RatesFollowTheBatchNumberOfTheRecord) {
  auto schema = one_table(optimizer_kind::sgd, 2);
  schema.tables[0].init.scale = 0.0F;
  schema.tables[0].optimizer.schedule = {schemas::schedule_kind::warmup, 4};
  shard live(shard_id{0}, schema, {}, headrace::epoch{1});
  std::vector<storage::log_record> log;
  float expected = 0.0F;
  for (std::uint64_t batch = 1; batch <= 6; ++batch) {
    push(live, batch, {gradients({5}, 1.0F)}, &log);
    expected -= 0.05F * (0.25F * static_cast<float>(std::min<std::uint64_t>(batch, 4)));
    EXPECT_EQ(row(live, 5)[0], expected) << batch;
  }
  shard again(shard_id{0}, schema, {}, headrace::epoch{1});
  for (const auto& record : log) ASSERT_TRUE(again.redo(record).ok());
  for (const auto& record : log) ASSERT_TRUE(again.redo(record).ok());
  expect_same(live, again);
}

TEST(Shard, Int8AndFp32OfTheSameValuesGiveTheSameBits) {
  for (const auto kind : {optimizer_kind::add, optimizer_kind::sgd, optimizer_kind::adagrad}) {
    block_data coded;
    coded.dim = 3;
    coded.keys = {1, 4, 8};
    coded.codes = {1, -127, 5, 0, 0, 0, 127, 3, -2};
    coded.scales = {0x1400, 0x0001, 0x3C00};
    block_data plain = coded;
    plain.values.resize(9);
    kernels::dequantize_rows_ref(
        {.codes = coded.codes, .scales = coded.scales, .dim = 3, .values = plain.values});
    plain.codes.clear();
    plain.scales.clear();
    const auto left = make(kind, {}, 3);
    const auto right = make(kind, {}, 3);
    for (std::uint64_t batch = 1; batch <= 3; ++batch) {
      push(*left, batch, {coded});
      push(*right, batch, {plain});
    }
    expect_same(*left, *right);
  }
}

TEST(Shard, TheFloatModeOfTheThreadChangesNothing) {
  // Gradients whose products are subnormal: flushed or not, depending on the mode.
  const auto train = [] {
    const auto at = make(optimizer_kind::sgd);
    for (std::uint64_t batch = 1; batch <= 3; ++batch) push(*at, batch, {gradients({5}, 1.3e-37F)});
    return at->digest().low;
  };
  const auto outside = kernels::float_control();
  const auto plain = train();
  EXPECT_EQ(kernels::float_control() | kernels::float_status_bits,
            outside | kernels::float_status_bits);
  const kernels::float_mode mode;
  EXPECT_EQ(train(), plain);
}

// ---- pull ----

TEST(Shard, APullNeverCreatesTouchesOrCountsARow) {
  const auto at = std::make_unique<shard>(
      shard_id{0}, one_table(optimizer_kind::adagrad, 3), shard_limits{}, headrace::epoch{1});
  push(*at, 1, {gradients({10, 20}, 1.0F, 3)});
  const auto before = at->digest();
  const auto reply = pull(*at, {1, 10, 15, 20, 30});
  EXPECT_EQ(reply.status, errc::ok);
  EXPECT_EQ(reply.lsn, lsn{1});
  EXPECT_EQ(reply.version, 1U);
  ASSERT_EQ(reply.blocks.size(), 1U);
  const auto values = reply.blocks[0].fp32_values();
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_EQ(reply.blocks[0].is_absent(i), i % 2 == 0);
    EXPECT_NE(values[3 * i], 0.0F);
  }
  EXPECT_EQ(values[3], row(*at, 10)[0]);
  EXPECT_EQ(at->digest(), before);
  // What an absent key is answered with is what its row will begin with.
  const std::vector<float> initial(values.begin() + 6, values.begin() + 9);
  push(*at, 2, {gradients({15}, 0.0F, 3)});
  const auto made = row(*at, 15);
  EXPECT_TRUE(std::equal(initial.begin(), initial.end(), made.begin()));
}

TEST(Shard, AnInt8PullIsTheQuantizedFp32Pull) {
  const auto at = std::make_unique<shard>(
      shard_id{0}, one_table(optimizer_kind::add, 5), shard_limits{}, headrace::epoch{1});
  std::vector<std::uint64_t> keys(1'500);  // more than one chunk
  for (std::size_t i = 0; i < keys.size(); ++i) keys[i] = 3 * i;
  for (std::uint64_t batch = 1; batch <= 2; ++batch) {
    std::vector<std::uint64_t> some;
    for (std::size_t i = batch; i < keys.size(); i += 3) some.push_back(keys[i]);
    push(*at, batch, {gradients(some, 0.37F * static_cast<float>(batch), 5)});
  }
  const auto plain = pull(*at, keys);
  const auto coded = pull(*at, keys, value_codec::int8);
  std::vector<std::int8_t> codes(keys.size() * 5);
  std::vector<std::uint16_t> scales(keys.size());
  kernels::quantize_rows_ref(
      {.values = plain.blocks[0].fp32_values(), .codes = codes, .scales = scales, .dim = 5});
  EXPECT_TRUE(std::ranges::equal(coded.blocks[0].scales, scales));
  EXPECT_TRUE(std::ranges::equal(coded.blocks[0].values, std::as_bytes(std::span(codes))));
  EXPECT_TRUE(std::ranges::equal(coded.blocks[0].absent, plain.blocks[0].absent));
  for (std::size_t i = 0; i < keys.size(); ++i) EXPECT_EQ(plain.blocks[0].is_absent(i), i % 3 == 0);
}

TEST(Shard, RefusesPullsByStatus) {
  const auto at = make(optimizer_kind::add, {.rows_per_push_max = 4, .section_bytes_max = 512}, 32);
  push(*at, 1, {});
  const auto status = [&](schemas::pull_section section) {
    return schemas::decode_pull_reply(at->pull(section))->status;
  };
  const std::vector<std::uint64_t> keys = {1, 2};
  schemas::pull_section good;
  good.blocks.push_back({table_id{0}, value_codec::fp32, keys});
  EXPECT_EQ(status(good), errc::ok);
  auto bad = good;
  bad.epoch = headrace::epoch{2};
  EXPECT_EQ(status(bad), errc::stale_epoch);
  bad = good;
  bad.schema_version = 2;
  EXPECT_EQ(status(bad), errc::stale_schema);
  bad = good;
  bad.blocks[0].table = table_id{1};
  EXPECT_EQ(status(bad), errc::unknown_table);
  bad = good;
  const std::vector<std::uint64_t> twice = {2, 2};
  bad.blocks[0].keys = twice;
  EXPECT_EQ(status(bad), errc::bad_keys);
  bad = good;
  bad.at_least = lsn{2};
  EXPECT_EQ(status(bad), errc::unavailable);
  bad.at_least = lsn{1};
  EXPECT_EQ(status(bad), errc::ok);
  const std::vector<std::uint64_t> many = {1, 2, 3, 4, 5};
  bad.blocks[0].keys = many;
  EXPECT_EQ(status(bad), errc::too_large);
  const std::vector<std::uint64_t> wide = {
      1, 2, 3, 4};  // 512 bytes of rows, of which 448 are allowed
  bad.blocks[0].keys = wide;
  EXPECT_EQ(status(bad), errc::too_large);
}

// ---- digest, redo, flush, load ----

TEST(Shard, TheDigestSeesWeightsStateCountAndTableButNotOrderOrLsn) {
  const auto a = make(optimizer_kind::adagrad);
  const auto b = make(optimizer_kind::adagrad);
  push(*a, 1, {gradients({5}, 1.0F)});
  push(*a, 2, {gradients({9}, 1.0F)});
  push(*b, 1, {gradients({9}, 1.0F)});
  push(*b, 2, {gradients({5}, 1.0F)});
  expect_same(*a, *b);
  auto counted = gradients({5}, 0.0F);
  counted.counts = {2};
  push(*a, 3, {counted});
  push(*b, 3, {gradients({5}, 0.0F)});
  EXPECT_NE(a->digest().low, b->digest().low);
  EXPECT_EQ(a->digest().weights_low, b->digest().weights_low);
  EXPECT_EQ(a->digest().weights_high, b->digest().weights_high);
}

TEST(Shard, RedoTwiceChangesNothing) {
  for (const auto kind : {optimizer_kind::add, optimizer_kind::sgd, optimizer_kind::adagrad}) {
    const auto live = make(kind);
    std::vector<storage::log_record> log;
    push(*live, 1, {gradients({5, 6}, 0.3F)}, &log);
    push(*live, 2, {gradients({6, 7}, 0.7F)}, &log);
    push(*live, 3, {gradients({9, 1}, 1.0F)}, &log);  // void
    push(*live, 4, {}, &log);
    const auto again = make(kind);
    for (int pass = 0; pass < 2; ++pass) {
      for (const auto& record : log) ASSERT_TRUE(again->redo(record).ok());
      expect_same(*live, *again);
    }
    EXPECT_EQ(again->watermarks({shard_id{0}, clicks}).rows, batch_number{4});
  }
}

TEST(Shard, RedoAppliesToOlderRowsOnly) {
  const auto live = make();
  std::vector<storage::log_record> log;
  push(*live, 1, {gradients({5, 6, 7, 8, 9}, 1.0F)}, &log);
  push(*live, 2, {gradients({5, 6, 7, 8, 9}, 10.0F)}, &log);
  // Rows 5 and 8 were written back behind both records, row 7 behind the first, the position not at
  // all.
  storage::memory_row_store rows;
  const std::vector<float> new_row = {11.0F, 11.0F};
  const std::vector<float> old_row = {1.0F, 1.0F};
  const auto stored = [](std::uint64_t key, std::uint64_t at, const std::vector<float>& floats) {
    return storage::stored_row{.table = table_id{0},
                               .key = row_key{key},
                               .lsn = lsn{at},
                               .last_seen_ms = 1'000,
                               .count = static_cast<std::uint32_t>(at),
                               .flags = 0,
                               .payload = std::as_bytes(std::span(floats))};
  };
  const std::vector<storage::stored_row> written = {
      stored(5, 2, new_row), stored(8, 2, new_row), stored(7, 1, old_row)};
  ASSERT_TRUE(rows.write(shard_id{0}, written).ok());
  const auto again = make();
  ASSERT_EQ(*again->load(rows), lsn{0});
  EXPECT_EQ(again->newest_row(), lsn{2});
  for (const auto& record : log) ASSERT_TRUE(again->redo(record).ok());
  expect_same(*live, *again);
}

TEST(Shard, RefusesToRedoWhatItCannotRead) {
  const auto live = make();
  std::vector<storage::log_record> log;
  push(*live, 1, {gradients({5}, 1.0F)}, &log);
  push(*live, 2, {gradients({5}, 1.0F)}, &log);
  const auto refuse = [](const storage::log_record& record, const std::string& words) {
    const auto again = make();
    const auto done = again->redo(record);
    ASSERT_FALSE(done.ok()) << words;
    EXPECT_EQ(done.error().code, errc::corrupt);
    EXPECT_THAT(done.error().detail, HasSubstr(words));
    EXPECT_EQ(again->digest().rows, 0U);
  };
  refuse(log[1], "log record 2 of shard 0 cannot follow 0");
  auto record = log[0];
  record.kind = record_kind::config;
  refuse(record, "is of kind 4");
  record = log[0];
  record.decisions = frame::copy_of(std::vector<std::byte>(8));
  refuse(record, "8 bytes of decisions");
  record = log[0];
  record.schema_version = 2;
  refuse(record, "schema version 2");
  record = log[0];
  record.payload = frame::copy_of(log[0].payload.bytes().first(16));
  refuse(record, "log record 1 of shard 0 cannot be redone");
  record = log[0];
  record.kind = record_kind::voided;
  refuse(record, "disagree");
  record = log[0];
  record.payload = schemas::encode(section_of(clicks, 1, 0, {gradients({5}, 1.0F, 3)}));
  refuse(record, "bad_dims");
}

TEST(Shard, FlushAndLoadGiveTheSameShard) {
  const auto live = make(optimizer_kind::adagrad);
  storage::memory_row_store rows;
  push(*live, 1, {gradients({5, 6}, 0.3F)});
  ASSERT_EQ(*live->flush(rows), lsn{1});
  push(*live, 2, {gradients({6, 7}, 0.4F)}, nullptr, 5'000);
  // In flight: no part of what is written.
  ASSERT_TRUE(live->decide(received(section_of(clicks, 3, 2, {gradients({8}, 1.0F)})), 0).record);
  ASSERT_TRUE(
      live->decide(received(section_of({"new", 1}, 1, 0, {gradients({8}, 1.0F)})), 0).record);
  ASSERT_EQ(*live->flush(rows), lsn{2});
  live->roll_back(lsn{3});
  const auto again = make(optimizer_kind::adagrad);
  ASSERT_EQ(*again->load(rows), lsn{2});
  expect_same(*live, *again);
  EXPECT_EQ(again->next_lsn(), lsn{3});
  EXPECT_EQ(again->watermarks({shard_id{0}, clicks}).rows, batch_number{2});
  EXPECT_EQ(again->watermarks({shard_id{0}, {"new", 1}}).rows, batch_number{0});
  std::vector<storage::log_record> log;
  EXPECT_TRUE(push(*again, 3, {gradients({5}, 1.0F)}, &log, 10).applied);
  EXPECT_EQ(log[0].stamp_ms, 5'000U);
}

TEST(Shard, AFailedFlushLeavesThePositionAndIsMadeGoodByTheNext) {
  const auto live = make();
  storage::memory_row_store rows;
  push(*live, 1, {gradients({5, 6}, 0.3F)});
  rows.fail_next(errc::disk_full);
  const auto failed = live->flush(rows);
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code, errc::disk_full);
  EXPECT_EQ(rows.position(shard_id{0})->flushed, lsn{0});
  ASSERT_EQ(*live->flush(rows), lsn{1});
  const auto again = make();
  ASSERT_EQ(*again->load(rows), lsn{1});
  expect_same(*live, *again);
}

TEST(Shard, RefusesStoredRowsThatAreNotItsOwn) {
  const auto refuse = [](const storage::stored_row& row, const std::string& words) {
    storage::memory_row_store rows;
    ASSERT_TRUE(rows.write(shard_id{0}, std::span(&row, 1)).ok());
    shard at(shard_id{0}, one_table(optimizer_kind::add, 2, 2), {}, headrace::epoch{1});
    const auto loaded = at.load(rows);
    ASSERT_FALSE(loaded.ok()) << words;
    EXPECT_EQ(loaded.error().code, errc::corrupt);
    EXPECT_THAT(loaded.error().detail, HasSubstr(words));
  };
  std::uint64_t mine = 0;
  while (schemas::shard_of(row_key{mine}, 2) != shard_id{0}) ++mine;
  std::uint64_t other = 0;
  while (schemas::shard_of(row_key{other}, 2) != shard_id{1}) ++other;
  const std::vector<float> floats(3);
  storage::stored_row row{.table = table_id{0},
                          .key = row_key{mine},
                          .lsn = lsn{1},
                          .last_seen_ms = 0,
                          .count = 1,
                          .flags = 0,
                          .payload = std::as_bytes(std::span(floats).first(2))};
  auto bad = row;
  bad.table = table_id{1};
  refuse(bad, "table that the job does not have");
  bad = row;
  bad.payload = std::as_bytes(std::span(floats));
  refuse(bad, "another width");
  bad = row;
  bad.key = row_key{other};
  refuse(bad, "another shard");
}

TEST(Shard, RefusesAPositionItCannotRead) {
  storage::memory_row_store rows;
  for (const std::size_t size : {0U, 3U, 12U, 40U}) {
    ASSERT_TRUE(rows.commit(shard_id{0},
                            {.flushed = lsn{3},
                             .epoch = headrace::epoch{1},
                             .state = std::vector<std::byte>(size, std::byte{1})})
                    .ok());
    const auto loaded = make()->load(rows);
    ASSERT_FALSE(loaded.ok()) << size;
    EXPECT_EQ(loaded.error().code, errc::corrupt);
  }
}

}  // namespace
}  // namespace headrace::ps
