#include "storage/rocks_spill_store.hpp"

#include "base/random.hpp"
#include "storage/memory_spill_store.hpp"
#include "storage/temporary_folder.hpp"

#include <gmock/gmock.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace headrace::storage {
namespace {

using bytes = std::vector<std::byte>;

bytes some_bytes(std::uint64_t number) {
  bytes made(mix64(number) % 900);
  for (std::size_t i = 0; i < made.size(); ++i)
    made[i] = static_cast<std::byte>(counter_draw(1, number, i));
  return made;
}

void write(spill_store& to, std::uint64_t begin, std::uint64_t end) {
  std::vector<bytes> kept;
  for (std::uint64_t i = begin; i < end; ++i) kept.push_back(some_bytes(i));
  std::vector<spilled_bytes> batch;
  for (std::uint64_t i = begin; i < end; ++i) batch.push_back({i, kept[i - begin]});
  const auto done = to.write(batch);
  ASSERT_TRUE(done.ok()) << describe(done.error());
}

void expect_all(spill_store& in, const std::vector<std::uint64_t>& numbers) {
  std::vector<std::uint64_t> seen;
  const auto done = in.read(numbers, [&](const spilled_bytes& one) {
    seen.push_back(one.number);
    EXPECT_EQ(bytes(one.bytes.begin(), one.bytes.end()), some_bytes(one.number)) << one.number;
  });
  ASSERT_TRUE(done.ok()) << describe(done.error());
  EXPECT_EQ(seen, numbers);
}

// Writes more than a memtable, so that files, merges and removals take part.
void keeps_what_is_not_removed(spill_store& store) {
  std::vector<std::uint64_t> here;
  random_stream draw(7);
  std::uint64_t next = 0;
  for (int round = 0; round < 20; ++round) {
    write(store, next, next + 500);
    for (int i = 0; i < 500; ++i) here.push_back(next++);
    std::vector<std::uint64_t> gone;
    std::vector<std::uint64_t> left;
    for (const std::uint64_t number : here)
      (draw.next_below(10) < 3 ? gone : left).push_back(number);
    ASSERT_TRUE(store.remove(gone).ok());
    here = left;
    expect_all(store, here);
    const auto missing = store.read(std::span(gone).first(1), [](const spilled_bytes&) {});
    ASSERT_FALSE(missing.ok());
    EXPECT_EQ(missing.error().code, errc::corrupt);
  }
}

TEST(SpillStore, KeepsWhatIsNotRemovedInMemory) {
  memory_spill_store store;
  keeps_what_is_not_removed(store);
}

TEST(SpillStore, KeepsWhatIsNotRemovedInRocksDb) {
  const temporary_folder folder;
  const auto store = rocks_spill_store::open(folder.path() / "spill", std::size_t{256} << 10);
  ASSERT_TRUE(store.ok()) << describe(store.error());
  keeps_what_is_not_removed(**store);
}

TEST(SpillStore, BeginsEmptyWhateverItHeld) {
  const temporary_folder folder;
  for (int i = 0; i < 2; ++i) {
    const auto store = rocks_spill_store::open(folder.path());
    ASSERT_TRUE(store.ok()) << describe(store.error());
    const std::vector<std::uint64_t> first{0};
    EXPECT_FALSE((*store)->read(first, [](const spilled_bytes&) {}).ok());
    write(**store, 0, 10);
    expect_all(**store, first);
  }
}

TEST(SpillStore, OpensWhatAKillWhileItWasOpenedLeft) {
  const temporary_folder folder;
  {
    const auto store = rocks_spill_store::open(folder.path());
    ASSERT_TRUE(store.ok()) << describe(store.error());
    write(**store, 0, 10);
  }
  std::filesystem::remove(folder.path() / "CURRENT");
  std::ofstream(folder.path() / "000007.dbtmp") << "half";
  const auto store = rocks_spill_store::open(folder.path());
  ASSERT_TRUE(store.ok()) << describe(store.error());
  const std::vector<std::uint64_t> first{0};
  EXPECT_FALSE((*store)->read(first, [](const spilled_bytes&) {}).ok());
}

TEST(SpillStore, RefusesAFolderOfSomethingElseAndOneInUse) {
  const temporary_folder folder;
  const auto other = folder.path() / "letters";
  std::filesystem::create_directory(other);
  std::ofstream(other / "letter.txt") << "dear";
  const auto refused = rocks_spill_store::open(other);
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, errc::bad_input);
  EXPECT_THAT(refused.error().detail, testing::HasSubstr("is no spill store"));
  EXPECT_TRUE(std::filesystem::exists(other / "letter.txt"));

  const auto store = rocks_spill_store::open(folder.path() / "spill");
  ASSERT_TRUE(store.ok());
  write(**store, 0, 3);
  const auto second = rocks_spill_store::open(folder.path() / "spill");
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, errc::in_use);
  expect_all(**store, {0, 1, 2});
}

}  // namespace
}  // namespace headrace::storage
