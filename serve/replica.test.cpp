#include "serve/replica.hpp"

#include "base/random.hpp"
#include "tests/support/allocation_count.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <new>
#include <set>
#include <thread>

// With real shards behind it: tests/property/replica_follows.test.cpp.
namespace headrace::serve {
namespace {

using schemas::value_codec;
using ::testing::HasSubstr;

schemas::job_schema one_table(std::uint32_t dim, std::uint32_t shards) {
  schemas::job_schema schema;
  schema.shards = shards;
  schemas::table_spec spec;
  spec.name = "items";
  spec.dim = dim;
  spec.init = {.seed = 7, .scale = 0.01F};
  schema.tables.push_back(spec);
  return schema;
}

/// A delta of fp32 rows that owns them.
struct made_delta {
  made_delta(std::uint32_t dim, std::vector<std::uint64_t> rows, float value)
      : keys(std::move(rows)), values(keys.size() * dim, value) {
    message.whole = true;
    message.session = 1;
    message.blocks = {
        {table_id{0}, dim, value_codec::fp32, keys, {}, std::as_bytes(std::span(values)), {}}};
  }
  schemas::delta& at(std::uint64_t number, std::uint64_t version) {
    message.number = number;
    message.follows = number - 1;
    message.version = message.head_version = version;
    message.lsn = lsn{version};
    message.accepted_ms = 1'000 + version;
    return message;
  }
  std::vector<std::uint64_t> keys;
  std::vector<float> values;
  schemas::delta message;
};

constexpr value_codec fp32[] = {value_codec::fp32};

float first_value(const replica& from, std::uint64_t key, std::size_t absent = 0) {
  std::vector<float> row(from.schema().tables[0].dim);
  const auto got = from.read(table_id{0}, {&key, 1}, row);
  CHECK(got.ok());
  EXPECT_EQ(got->absent, absent) << "key " << key;
  return row[0];
}

TEST(Replica, TakesDeltasInOrderAndEachOnce) {
  replica to(one_table(4, 1), fp32, 3);
  EXPECT_FALSE(to.stamp().whole);
  made_delta one(4, {1, 5}, 1.0F);
  made_delta two(4, {5}, 2.0F);
  ASSERT_TRUE(to.apply(one.at(1, 10)).ok());
  EXPECT_EQ(to.stamp(), (replica_stamp{10, 1'010, true}));
  made_delta three(4, {5}, 3.0F);
  const auto gap = to.apply(three.at(3, 12));
  ASSERT_FALSE(gap.ok());
  EXPECT_EQ(gap.error().code, errc::gap);
  EXPECT_THAT(gap.error().detail, HasSubstr("follows 2, here is delta 1 of session 1"));
  EXPECT_EQ(first_value(to, 5), 1.0F) << "a refused delta changes nothing";
  EXPECT_EQ(*to.apply(two.at(2, 11)), replica::outcome::applied);
  EXPECT_EQ(*to.apply(one.at(1, 10)), replica::outcome::old);
  EXPECT_EQ(*to.apply(two.at(2, 11)), replica::outcome::old);
  EXPECT_EQ(first_value(to, 5), 2.0F);
  EXPECT_EQ(first_value(to, 1), 1.0F);
  EXPECT_EQ(to.stamp().version, 11U);
}

TEST(Replica, ADeltaSentAgainMayFollowAnyThatIsThere) {
  replica to(one_table(4, 1), fp32, 3);
  made_delta rows(4, {5}, 1.0F);
  ASSERT_TRUE(to.apply(rows.at(1, 1)).ok());
  ASSERT_TRUE(to.apply(rows.at(2, 2)).ok());
  rows.at(7, 9).follows = 1;
  EXPECT_EQ(*to.apply(rows.message), replica::outcome::applied);
  EXPECT_EQ(*to.apply(rows.at(3, 3)), replica::outcome::old) << "it was on its way for long";
  EXPECT_EQ(to.stamp().version, 9U);
}

TEST(Replica, ANewSessionReplacesRowsOnceItIsWhole) {
  replica to(one_table(4, 1), fp32, 3);
  made_delta before(4, {1, 2, 3}, 1.0F);
  ASSERT_TRUE(to.apply(before.at(1, 5)).ok());
  made_delta part(4, {2}, 2.0F);
  part.message.session = 9;
  part.at(1, 0).head_version = 8;
  part.message.whole = false;
  ASSERT_TRUE(to.apply(part.message).ok());
  EXPECT_EQ(first_value(to, 1), 1.0F) << "still what it was";
  EXPECT_EQ(to.stamp().version, 5U);
  EXPECT_TRUE(to.state(shard_id{0}).installing);
  EXPECT_EQ(*to.apply(before.at(2, 6)), replica::outcome::old) << "of a session that is over";
  made_delta rest(4, {4}, 4.0F);
  rest.message.session = 9;
  ASSERT_TRUE(to.apply(rest.at(2, 8)).ok());
  EXPECT_EQ(to.stamp().version, 8U);
  EXPECT_EQ(first_value(to, 2), 2.0F);
  EXPECT_EQ(first_value(to, 4), 4.0F);
  first_value(to, 1, 1);
  first_value(to, 3, 1);
  EXPECT_EQ(to.rows(), 2U);
}

TEST(Replica, AShardThatLostWhatWasServedIsRefused) {
  replica to(one_table(4, 1), fp32, 3);
  made_delta rows(4, {1}, 1.0F);
  ASSERT_TRUE(to.apply(rows.at(1, 50)).ok());
  rows.message.session = 2;
  const auto back = to.apply(rows.at(1, 49));
  ASSERT_FALSE(back.ok());
  EXPECT_EQ(back.error().code, errc::stale_epoch);
  EXPECT_THAT(back.error().detail, HasSubstr("50 was served"));
  rows.message.epoch = epoch{4};
  ASSERT_TRUE(to.apply(rows.at(1, 51)).ok());
  rows.message.epoch = epoch{3};
  EXPECT_EQ(to.apply(rows.at(2, 52)).error().code, errc::stale_epoch);
}

TEST(Replica, ANewOwnerBeginsWhateverItsSessionsNumber) {
  replica to(one_table(4, 1), fp32, 3);
  made_delta rows(4, {1}, 1.0F);
  rows.message.session = 9;
  ASSERT_TRUE(to.apply(rows.at(1, 5)).ok());
  ASSERT_TRUE(to.apply(rows.at(2, 6)).ok());
  for (const std::uint64_t session : {2U, 2U, 9U}) {  // smaller, the same, larger
    made_delta anew(4, {2}, 2.0F);
    anew.message.session = session;
    anew.message.epoch = epoch{to.state(shard_id{0}).epoch.value + 1};
    const auto gap = to.apply(anew.at(2, 7));
    ASSERT_FALSE(gap.ok());
    EXPECT_EQ(gap.error().code, errc::gap) << "of a session whose beginning is not here";
    EXPECT_EQ(*to.apply(anew.at(1, 7)), replica::outcome::applied);
    EXPECT_EQ(to.state(shard_id{0}).session, session);
    EXPECT_EQ(to.state(shard_id{0}).number, 1U);
    EXPECT_EQ(first_value(to, 2), 2.0F);
    EXPECT_EQ(to.rows(), 1U) << "those of the owner before are gone";
  }
  rows.message.session = 20;
  EXPECT_EQ(to.apply(rows.at(1, 8)).error().code, errc::stale_epoch);
  rows.message.session = 1;
  EXPECT_EQ(to.apply(rows.at(1, 8)).error().code, errc::stale_epoch);
}

std::vector<std::uint64_t> keys_between(std::uint64_t from, std::uint64_t to) {
  std::vector<std::uint64_t> keys;
  for (; from < to; ++from) keys.push_back(from);
  return keys;
}

TEST(Replica, WithoutMemoryForItsRowsADeltaIsTakenLater) {
  if (!tests::allocation_limit::works()) GTEST_SKIP() << "a sanitizer has its own operator new";
  replica to(one_table(4, 1), fp32, 3);
  made_delta rows(4, keys_between(0, 1'100), 2.0F);
  rows.at(1, 1);
  {
    const tests::allocation_limit limit(60'000);  // the second chunk of rows is 80 KiB
    EXPECT_THROW(static_cast<void>(to.apply(rows.message)), std::bad_alloc);
  }
  EXPECT_EQ(to.state(shard_id{0}).number, 0U);
  ASSERT_TRUE(to.apply(rows.message).ok());
  EXPECT_EQ(to.rows(), 1'100U);
  EXPECT_EQ(first_value(to, 1'024), 2.0F);
  EXPECT_EQ(first_value(to, 1'099), 2.0F);
}

TEST(Replica, WithoutMemoryForANewIndexTheFormerOneIsKept) {
  if (!tests::allocation_limit::works()) GTEST_SKIP() << "a sanitizer has its own operator new";
  replica to(one_table(4, 1), fp32, 3);
  // As many as its 32,768 slots take.
  made_delta rows(4, keys_between(0, 20'480), 1.0F);
  ASSERT_TRUE(to.apply(rows.at(1, 1)).ok());
  made_delta go(4, {}, 0.0F);
  go.message.blocks[0].gone = rows.keys;
  ASSERT_TRUE(to.apply(go.at(2, 2)).ok());
  made_delta next(4, keys_between(50'000, 50'064), 3.0F);
  next.at(3, 3);
  const std::size_t bytes = to.bytes();
  {
    const tests::allocation_limit limit(40'000);  // enough for its slots, not for the rows gone
    EXPECT_THROW(static_cast<void>(to.apply(next.message)), std::bad_alloc);
  }
  EXPECT_EQ(to.bytes(), bytes);
  ASSERT_TRUE(to.apply(next.message).ok());
  EXPECT_LT(to.bytes(), bytes) << "it was known to be full, and made anew";
  EXPECT_EQ(first_value(to, 50'063), 3.0F);
  first_value(to, 17, 1);
}

TEST(Replica, WhatDoesNotFitTheJobIsRefusedByName) {
  replica to(one_table(4, 2), fp32, 3);
  made_delta rows(4, {1}, 1.0F);
  const auto code_of = [&](auto change) {
    schemas::delta other = rows.at(1, 1);
    change(other);
    const auto got = to.apply(other);
    return got.ok() ? errc::ok : got.error().code;
  };
  EXPECT_EQ(code_of([](auto& m) { m.shard = shard_id{2}; }), errc::wrong_job);
  EXPECT_EQ(code_of([](auto& m) { m.schema_version = 2; }), errc::stale_schema);
  EXPECT_EQ(code_of([](auto& m) { m.blocks[0].table = table_id{1}; }), errc::unknown_table);
  EXPECT_EQ(code_of([](auto& m) { m.blocks[0].dim = 2; }), errc::bad_dims);
  EXPECT_EQ(code_of([](auto& m) { m.blocks[0].codec = value_codec::bf16; }), errc::bad_dims);
  EXPECT_EQ(code_of([](auto& m) { m.follows = 1; }), errc::gap);
  rows.values[3] = std::numeric_limits<float>::infinity();
  EXPECT_EQ(code_of([](auto&) {}), errc::not_finite);
  EXPECT_EQ(to.rows(), 0U);
  EXPECT_EQ(to.state(shard_id{0}).number, 0U);
  float value = 0.0F;
  const std::uint64_t key = 1;
  EXPECT_EQ(to.read(table_id{1}, {&key, 1}, {&value, 1}).error().code, errc::unknown_table);
}

TEST(Replica, TheStampIsThatOfTheSlowestShard) {
  replica to(one_table(4, 2), fp32, 3);
  made_delta rows(4, {}, 0.0F);
  ASSERT_TRUE(to.apply(rows.at(1, 7)).ok());
  EXPECT_EQ(to.stamp(), (replica_stamp{7, 0, false}));
  rows.at(1, 3).shard = shard_id{1};
  ASSERT_TRUE(to.apply(rows.message).ok());
  EXPECT_EQ(to.stamp(), (replica_stamp{10, 1'003, true}));
}

TEST(Replica, KeysThatComeAndGoTakeNoMoreMemory) {
  replica to(one_table(4, 1), fp32, 3);
  std::uint64_t number = 0;
  std::size_t bytes = 0;
  for (std::uint64_t round = 0; round < 60; ++round) {
    std::vector<std::uint64_t> keys;
    for (std::uint64_t i = 0; i < 1'000; ++i) keys.push_back(round * 1'000 + i);
    made_delta come(4, keys, static_cast<float>(round));
    ++number;
    ASSERT_TRUE(to.apply(come.at(number, number)).ok());
    EXPECT_EQ(first_value(to, keys[17]), static_cast<float>(round));
    made_delta go(4, {}, 0.0F);
    go.message.blocks[0].gone = keys;
    ++number;
    ASSERT_TRUE(to.apply(go.at(number, number)).ok());
    EXPECT_EQ(to.rows(), 0U);
    first_value(to, keys[17], 1);
    if (round == 10) bytes = to.bytes();
    EXPECT_TRUE(round <= 10 || to.bytes() <= bytes) << to.bytes() << " bytes";
  }
}

TEST(Replica, ReadersSeeWholeRowsThatNeverGetOlder) {
  // The writer sets every column of a row to the version; keys come and go, and the index grows
  // under the readers, who check each row and each stamp.
  constexpr std::uint32_t dim = 19;
  constexpr std::uint64_t versions = 400;
  constexpr std::uint64_t steady = 64;
  replica to(one_table(dim, 1), fp32, 3);
  std::vector<std::uint64_t> keys;
  for (std::uint64_t key = 0; key < steady; ++key) keys.push_back(key);
  ASSERT_TRUE(to.apply(made_delta(dim, keys, 1.0F).at(1, 1)).ok());
  std::atomic<int> faults{0};
  std::atomic<bool> done{false};
  std::vector<std::thread> readers;
  for (int i = 0; i < 3; ++i) {
    readers.emplace_back([&, i] {
      std::vector<std::uint64_t> wanted = keys;
      for (std::uint64_t key = 0; key < 40; ++key) wanted.push_back(1'000 + key * (7 + i));
      std::vector<float> values(wanted.size() * dim);
      std::vector<float> seen(steady, 0.0F);
      std::uint64_t version = 0;
      bool last = false;
      while (!last) {
        last = done.load();
        const auto got = to.read(table_id{0}, wanted, values);
        if (!got.ok() || got->stamp.version < version) ++faults;
        version = got->stamp.version;
        for (std::size_t row = 0; row < wanted.size(); ++row) {
          const float* at = values.data() + row * dim;
          if (std::abs(at[0]) < 0.5F) continue;  // what a new row starts with
          if (std::any_of(at, at + dim, [&](float value) { return value != at[0]; })) ++faults;
          if (row >= steady) continue;
          if (at[0] < seen[row] || at[0] < static_cast<float>(version)) ++faults;
          seen[row] = at[0];
        }
      }
      if (version != versions) ++faults;
    });
  }
  random_stream random(11);
  for (std::uint64_t version = 2; version <= versions; ++version) {
    std::set<std::uint64_t> changed(keys.begin(), keys.end());
    for (int n = 0; n < 30; ++n) changed.insert(1'000 + random.next_below(20'000));
    made_delta rows(dim, {changed.begin(), changed.end()}, static_cast<float>(version));
    std::set<std::uint64_t> gone;
    for (int n = 0; n < 30; ++n) gone.insert(1'000 + random.next_below(20'000));
    const std::vector<std::uint64_t> list(gone.begin(), gone.end());
    rows.message.blocks[0].gone = list;
    EXPECT_TRUE(to.apply(rows.at(version, version)).ok());
  }
  done = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(faults, 0);
}

}  // namespace
}  // namespace headrace::serve
