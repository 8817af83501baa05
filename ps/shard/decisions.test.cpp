// What is decided once while other decisions are on their way to the log.
#include "ps/shard/decisions.hpp"

#include "ps/shard/shard.hpp"
#include "ps/shard/test_push.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace headrace::ps {
namespace {

using testing::ElementsAre;

const schemas::source_id clicks{"clicks", 1};

block_data ones(std::vector<std::uint64_t> keys) {
  block_data block;
  block.dim = 2;
  block.values.assign(keys.size() * 2, 1.0F);
  block.keys = std::move(keys);
  return block;
}

struct judged {
  explicit judged(const schemas::table_spec& spec_of)
      : schema(one_table(spec_of.optimizer.kind, 2)) {
    schema.tables[0].admission = spec_of.admission;
    schema.tables[0].expiry = spec_of.expiry;
    state = std::make_unique<shard>(shard_id{0}, schema, shard_limits{}, epoch{1});
  }
  /// Decides and leaves the record in flight.
  lsn decide(std::vector<std::uint64_t> keys, std::uint64_t now_ms) {
    ++batch;
    const auto made = state->decide(
        received(section_of(clicks, batch, batch - 1, {ones(std::move(keys))})), now_ms);
    EXPECT_TRUE(made.record);
    return made.record->lsn;
  }
  std::uint32_t count(std::uint64_t key) const {
    std::uint32_t found = 0;
    state->visit(table_id{0}, [&](row_key at, std::uint32_t times, std::span<const float>) {
      if (at.value == key) found = times;
    });
    return found;
  }

  schemas::job_schema schema;
  std::unique_ptr<shard> state;
  std::uint64_t batch = 0;
};

schemas::table_spec counting() {
  schemas::table_spec spec;
  spec.optimizer.kind = schemas::optimizer_kind::add;
  return spec;
}

// A push that did not get a key in must not make the next one forget that another did.
TEST(Decisions, AKeyOnItsWayInStaysInWhateverCommitsBefore) {
  auto spec = counting();
  spec.admission.rows_per_second = 1;
  judged on(spec);
  const lsn refused = on.decide({1, 2}, 1'000);  // 1 takes the second's row
  const lsn admitted = on.decide({2}, 2'000);    // the next second's
  on.state->commit(refused);
  const lsn third = on.decide({2}, 2'001);  // its row is on its way: nothing to be asked
  on.state->commit(admitted);
  on.state->commit(third);
  EXPECT_EQ(on.count(2), 2U);
}

TEST(Decisions, RowsThatAPushOnItsWayUsesDoNotExpire) {
  auto spec = counting();
  spec.expiry = {.ttl_ms = 100, .min_rows = 1, .rows_per_second = 0};
  judged on(spec);
  on.state->commit(on.decide({1, 2, 3}, 1'000));
  const lsn used = on.decide({2}, 1'200);
  const auto found = on.state->find_expired(table_id{0}, 1'201, 1'000);
  ASSERT_TRUE(found);
  EXPECT_THAT(found->keys, testing::Not(testing::Contains(2)));
  on.state->commit(used);
}

TEST(Decisions, ARemovalOnItsWayIsNotCountedOnTwice) {
  auto spec = counting();
  spec.expiry = {.ttl_ms = 100, .min_rows = 2, .rows_per_second = 0};
  judged on(spec);
  on.state->commit(on.decide({1, 2, 3, 4, 5}, 1'000));
  auto first = on.state->find_expired(table_id{0}, 1'200, 1'000);
  ASSERT_TRUE(first);
  EXPECT_EQ(first->keys.size(), 3U);
  const auto record = on.state->remove(std::move(*first), 1'200);
  ASSERT_TRUE(record);
  EXPECT_FALSE(on.state->find_expired(table_id{0}, 1'201, 1'000)) << "two rows are to stay";
  on.state->commit(record->lsn);
  EXPECT_EQ(on.state->digest().rows, 2U);
}

TEST(Decisions, ACensusCountsWhatAnExpiryOrACountWouldLeaveOutAndChangesNothing) {
  judged on(counting());
  on.state->commit(on.decide({1, 2, 3}, 1'000));
  on.state->commit(on.decide({2, 3}, 1'050));
  on.state->commit(on.decide({3, 4}, 1'100));
  const auto before = on.state->digest();
  const auto found = on.state->count_rows(table_id{0}, 99, 2);
  EXPECT_EQ(found.rows, 4U);
  EXPECT_EQ(found.idle, 1U);  // 1: for 100 ms at the last record
  EXPECT_EQ(found.rare, 2U);  // 1 and 4 came once
  EXPECT_EQ(on.state->count_rows(table_id{0}, 100, 0).idle, 0U);
  EXPECT_EQ(on.state->count_rows(table_id{0}, 0, 0).idle, 0U);
  EXPECT_EQ(on.state->digest().low, before.low);
}

TEST(Decisions, AreReadAsWritten) {
  admission_bits bits(11);
  bits.admit(0);
  bits.admit(10);
  const auto read = decode_admissions(encode_admissions(bits).bytes(), 11);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(read->admitted(), 2U);
  EXPECT_FALSE(decode_admissions(encode_admissions(bits).bytes(), 12).ok());
  const removal gone{.reason = removal::why::expired, .table = table_id{3}, .keys = {1, 5, 9}};
  EXPECT_EQ(*decode_removal(encode_removal(gone).bytes()), gone);
  EXPECT_THAT(decode_removal(encode_removal(gone).bytes())->keys, ElementsAre(1, 5, 9));
}

}  // namespace
}  // namespace headrace::ps
