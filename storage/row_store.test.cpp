#include "storage/row_store.hpp"

#include "base/random.hpp"
#include "storage/memory_row_store.hpp"
#include "storage/temporary_folder.hpp"
#include "storage/test_rows.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace headrace::storage {
namespace {

namespace fs = std::filesystem;

struct engine {
  std::string name;
  bool outlives_the_object;
  std::function<std::unique_ptr<row_store>(const fs::path&)> open;
};

class RowStore : public ::testing::TestWithParam<engine> {
 protected:
  // The same rows by another object, where the engine has them outside of the first.
  void reopen() {
    if (!GetParam().outlives_the_object) return;
    store_.reset();
    store_ = GetParam().open(folder_.path() / "rows");
  }

  temporary_folder folder_;
  std::unique_ptr<row_store> store_ = GetParam().open(folder_.path() / "rows");
};

TEST_P(RowStore, BeginsWithoutRowsAndAtPositionZero) {
  EXPECT_TRUE(scan(*store_, shard_id{3}).empty());
  const auto position = store_->position(shard_id{3});
  ASSERT_TRUE(position.ok());
  EXPECT_EQ(position->flushed, lsn{0});
  EXPECT_EQ(position->epoch, epoch{1});
  EXPECT_TRUE(position->state.empty());
}

TEST_P(RowStore, VisitsRowsInTableAndKeyOrderWithTheirExactBits) {
  const std::vector<std::uint64_t> keys{
      0, 1, 255, 256, 65'535, 1ULL << 32, (1ULL << 63) - 1, 1ULL << 63, UINT64_MAX};
  std::vector<owned_row> rows;
  for (const std::uint32_t table : {0U, 1U, 255U, 256U, 0xFFFFFFFEU}) {
    for (const auto key : keys) rows.push_back(row_of(table, key, 7));
  }
  rows[0].words = {
      0x7FC00001, 0x80000000, 0x7F800000, 1};  // as floats: NaN, -0, infinity, denormal
  rows[1].words.clear();
  auto backwards = rows;
  std::ranges::reverse(backwards);
  ASSERT_TRUE(write(*store_, shard_id{5}, backwards).ok());
  EXPECT_EQ(scan(*store_, shard_id{5}), rows);
  ASSERT_TRUE(store_->commit(shard_id{5}, position_of(9)).ok());
  EXPECT_EQ(scan(*store_, shard_id{5}), rows);
}

TEST_P(RowStore, KeepsShardsApart) {
  for (const std::uint32_t shard : {0U, 1U, 2U, 255U, 256U, 0xFFFFFFFFU}) {
    ASSERT_TRUE(write(*store_, shard_id{shard}, {row_of(1, 10, shard), row_of(2, 10, shard)}).ok());
    ASSERT_TRUE(store_->commit(shard_id{shard}, position_of(shard % 100)).ok());
  }
  for (const std::uint32_t shard : {0U, 1U, 2U, 255U, 256U, 0xFFFFFFFFU}) {
    EXPECT_EQ(scan(*store_, shard_id{shard}),
              (std::vector{row_of(1, 10, shard), row_of(2, 10, shard)}));
    const auto position = store_->position(shard_id{shard});
    ASSERT_TRUE(position.ok());
    EXPECT_EQ(position->flushed, lsn{shard % 100});
    EXPECT_EQ(position->epoch, epoch{shard % 100 + 1});
    EXPECT_EQ(position->state, position_of(shard % 100).state);
  }
  EXPECT_TRUE(scan(*store_, shard_id{3}).empty());
}

TEST_P(RowStore, ReadsTheKeysThatHaveARowInKeyOrder) {
  ASSERT_TRUE(write(*store_,
                    shard_id{1},
                    {row_of(1, 7, 1), row_of(1, UINT64_MAX, 1), row_of(1, 3, 1), row_of(2, 4, 1)})
                  .ok());
  ASSERT_TRUE(write(*store_, shard_id{2}, {row_of(1, 5, 1)}).ok());
  const std::vector found{row_of(1, 3, 1), row_of(1, 7, 1), row_of(1, UINT64_MAX, 1)};
  const std::vector<std::uint64_t> keys{0, 3, 4, 5, 7, UINT64_MAX};
  EXPECT_EQ(read(*store_, shard_id{1}, 1, keys), found);
  ASSERT_TRUE(store_->commit(shard_id{1}, position_of(1)).ok());
  EXPECT_EQ(read(*store_, shard_id{1}, 1, keys), found);
  EXPECT_TRUE(read(*store_, shard_id{1}, 1, {}).empty());
  EXPECT_TRUE(read(*store_, shard_id{1}, 3, keys).empty());
  EXPECT_TRUE(read(*store_, shard_id{3}, 1, keys).empty());
}

TEST_P(RowStore, HidesARemovedRowUntilItIsWrittenAgain) {
  ASSERT_TRUE(write(*store_, shard_id{1}, {row_of(1, 1, 1), row_of(1, 2, 1)}).ok());
  ASSERT_TRUE(store_->commit(shard_id{1}, position_of(1)).ok());
  ASSERT_TRUE(write(*store_, shard_id{1}, {removal_of(1, 1, 2), removal_of(1, 9, 2)}).ok());
  for (const bool committed : {false, true}) {
    if (committed) {
      ASSERT_TRUE(store_->commit(shard_id{1}, position_of(2)).ok());
    }
    EXPECT_EQ(scan(*store_, shard_id{1}), std::vector{row_of(1, 2, 1)});
    EXPECT_EQ(read(*store_, shard_id{1}, 1, {1, 2, 9}), std::vector{row_of(1, 2, 1)});
  }
  ASSERT_TRUE(write(*store_, shard_id{1}, {row_of(1, 1, 3)}).ok());
  EXPECT_EQ(read(*store_, shard_id{1}, 1, {1}), std::vector{row_of(1, 1, 3)});
}

// Small and large batches over few keys, so that one key goes through many files; what a visit sees
// is compared with a map.
TEST_P(RowStore, AnswersAsAMapWouldThroughLives) {
  const std::uint64_t seed = seed_of_run();
  random_stream draw(seed);
  std::map<std::pair<std::uint32_t, std::uint64_t>, owned_row> model;
  for (std::uint64_t round = 1; round <= 150; ++round) {
    SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed) + " round " + std::to_string(round));
    std::vector<owned_row> rows;
    for (std::uint64_t n = 1 + draw.next_below(draw.next_below(2) == 0 ? 8 : 400); n > 0; --n) {
      const auto table = static_cast<std::uint32_t>(draw.next_below(3));
      const auto key = draw.next_below(150);
      const bool removed = draw.next_below(4) == 0;
      rows.push_back(removed ? removal_of(table, key, round)
                             : row_of(table, key, round * 1'000 + n));
      model.erase({table, key});
      if (!removed) model[{table, key}] = rows.back();
    }
    ASSERT_TRUE(write(*store_, shard_id{1}, rows).ok());
    if (draw.next_below(5) == 0) {
      ASSERT_TRUE(store_->commit(shard_id{1}, position_of(round)).ok());
      if (draw.next_below(4) == 0) reopen();
      ASSERT_EQ(store_->position(shard_id{1})->flushed, lsn{round});
    }
    const auto table = static_cast<std::uint32_t>(draw.next_below(3));
    std::vector<std::uint64_t> keys;
    for (std::uint64_t key = draw.next_below(3); key < 160; key += 1 + draw.next_below(4)) {
      keys.push_back(key);
    }
    std::vector<owned_row> found;
    for (const auto key : keys) {
      if (const auto at = model.find({table, key}); at != model.end()) found.push_back(at->second);
    }
    ASSERT_EQ(read(*store_, shard_id{1}, table, keys), found);
    if (round % 10 != 0) continue;
    std::vector<owned_row> expected;
    for (const auto& [name, row] : model) expected.push_back(row);
    ASSERT_EQ(scan(*store_, shard_id{1}), expected);
  }
}

// Small and large writes and commits of eight shards at the same time: each must find its own rows
// as if it were alone (storage/row_ingest.hpp says what went wrong here).
TEST_P(RowStore, TakesShardsFromTheirOwnThreads) {
  const std::uint64_t seed = seed_of_run();
  const auto run = [this, seed](std::uint32_t shard) {
    random_stream draw(mix64(seed) + shard);
    std::map<std::uint64_t, owned_row> model;
    for (std::uint64_t round = 1; round <= 60; ++round) {
      std::vector<owned_row> rows;
      for (std::uint64_t n = 1 + draw.next_below(draw.next_below(4) == 0 ? 20 : 300); n > 0; --n) {
        const auto key = draw.next_below(200);
        rows.push_back(row_of(1, key, round * 1'000 + n));
        model[key] = rows.back();
      }
      auto done = write(*store_, shard_id{shard}, rows);
      if (done.ok() && draw.next_below(4) != 0) {
        done = store_->commit(shard_id{shard}, position_of(round));
      }
      ASSERT_TRUE(done.ok()) << "HEADRACE_SEED=" << seed << ": " << describe(done.error());
      if (round % 20 != 0) continue;
      std::vector<owned_row> expected;
      for (const auto& [key, row] : model) expected.push_back(row);
      ASSERT_EQ(scan(*store_, shard_id{shard}), expected) << "HEADRACE_SEED=" << seed;
    }
    EXPECT_TRUE(store_->commit(shard_id{shard}, position_of(60)).ok());
  };
  std::vector<std::thread> shards;
  for (std::uint32_t shard = 0; shard < 8; ++shard) shards.emplace_back(run, shard);
  for (auto& one : shards) one.join();
  for (std::uint32_t shard = 0; shard < 8; ++shard) {
    EXPECT_EQ(store_->position(shard_id{shard})->flushed, lsn{60});
  }
}

INSTANTIATE_TEST_SUITE_P(Engines,
                         RowStore,
                         ::testing::Values(engine{"memory",
                                                  false,
                                                  [](const fs::path&) {
                                                    return std::unique_ptr<row_store>(
                                                        std::make_unique<memory_row_store>());
                                                  }},
                                           engine{"rocks",
                                                  true,
                                                  [](const fs::path& path) {
                                                    return std::unique_ptr<row_store>(
                                                        open_rocks(path));
                                                  }}),
                         [](const auto& one) { return one.param.name; });

TEST(MemoryRowStore, LosesOrKeepsUncommittedRowsButNeverMovesThePosition) {
  for (const bool survive : {false, true}) {
    memory_row_store store;
    ASSERT_TRUE(write(store, shard_id{0}, {row_of(0, 1, 1), row_of(0, 2, 1)}).ok());
    ASSERT_TRUE(store.commit(shard_id{0}, position_of(1)).ok());
    ASSERT_TRUE(write(store, shard_id{0}, {row_of(0, 2, 2), row_of(0, 3, 2)}).ok());
    store.crash(survive);
    const std::vector older{row_of(0, 1, 1), row_of(0, 2, 1)};
    const std::vector newer{row_of(0, 1, 1), row_of(0, 2, 2), row_of(0, 3, 2)};
    EXPECT_EQ(scan(store, shard_id{0}), survive ? newer : older);
    EXPECT_EQ(store.position(shard_id{0})->flushed, lsn{1});
  }
}

TEST(MemoryRowStore, ForgetsOrKeepsUncommittedRemovals) {
  for (const bool survive : {false, true}) {
    memory_row_store store;
    ASSERT_TRUE(write(store, shard_id{0}, {row_of(0, 1, 1), row_of(0, 2, 1)}).ok());
    ASSERT_TRUE(store.commit(shard_id{0}, position_of(1)).ok());
    ASSERT_TRUE(write(store, shard_id{0}, {removal_of(0, 1, 2)}).ok());
    EXPECT_TRUE(read(store, shard_id{0}, 0, {1}).empty());
    store.crash(survive);
    EXPECT_EQ(read(store, shard_id{0}, 0, {1}).size(), survive ? 0U : 1U);
    EXPECT_EQ(scan(store, shard_id{0}).size(), survive ? 1U : 2U);
  }
}

TEST(MemoryRowStore, FailsByPlanAndChangesNothing) {
  memory_row_store store;
  store.fail_next(errc::disk_full);
  EXPECT_EQ(write(store, shard_id{0}, {row_of(0, 1, 1)}).error().code, errc::disk_full);
  EXPECT_TRUE(scan(store, shard_id{0}).empty());
  EXPECT_TRUE(write(store, shard_id{0}, {row_of(0, 1, 1)}).ok());
}

}  // namespace
}  // namespace headrace::storage
