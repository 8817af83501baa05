#include "storage/rocks_row_store.hpp"

#include "base/check.hpp"
#include "base/random.hpp"
#include "storage/temporary_folder.hpp"
#include "storage/test_rows.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <latch>
#include <sched.h>
#include <string>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <thread>
#include <unistd.h>
#include <vector>

namespace headrace::storage {
namespace {

namespace fs = std::filesystem;

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

void expect_one_row(row_store& store, const owned_row& row) {
  EXPECT_EQ(scan(store, shard_id{1}), std::vector{row});
  EXPECT_EQ(read(store, shard_id{1}, row.row.table.value, {row.row.key.value}), std::vector{row});
}

std::vector<owned_row> many_rows(std::uint64_t count, std::uint64_t generation) {
  std::vector<owned_row> rows;
  for (std::uint64_t key = 0; key < count; ++key) rows.push_back(row_of(0, key, generation));
  return rows;
}

TEST(RocksRowStore, ReadsBackWhatWasCommittedByAnotherLife) {
  temporary_folder folder;
  const auto rows = many_rows(20'000, 1);
  for (int life = 0; life < 40; ++life) {
    auto store = open_rocks(folder.path());
    if (life == 0) {
      ASSERT_TRUE(write(*store, shard_id{1}, rows).ok());
      ASSERT_TRUE(store->commit(shard_id{1}, position_of(17)).ok());
    }
    EXPECT_EQ(store->position(shard_id{1})->flushed, lsn{17});
    if (life == 39) {
      EXPECT_EQ(scan(*store, shard_id{1}), rows);
      EXPECT_TRUE(store->verify().ok());
    }
  }
  const auto files = std::ranges::distance(fs::directory_iterator(folder.path()));
  EXPECT_LT(files, 25) << "opening again and again must not leave files behind";
}

// Which of two rows of a key is newer must not depend on the way each of them went.
TEST(RocksRowStore, KeepsTheLastOfAMemtableAFileAndAMemtable) {
  temporary_folder folder;
  auto store = open_rocks(folder.path());
  std::vector<owned_row> file = many_rows(rows_of_a_file, 2);
  const auto expect = [&](const owned_row& newest) {
    EXPECT_EQ(read(*store, shard_id{1}, 0, {5}), std::vector{newest});
    EXPECT_EQ(scan(*store, shard_id{1})[5], newest);
  };
  ASSERT_TRUE(write(*store, shard_id{1}, {row_of(0, 5, 1)}).ok());
  expect_one_row(*store, row_of(0, 5, 1));
  ASSERT_TRUE(write(*store, shard_id{1}, file).ok());
  expect(row_of(0, 5, 2));
  ASSERT_TRUE(write(*store, shard_id{1}, {row_of(0, 5, 3)}).ok());
  expect(row_of(0, 5, 3));
  for (auto& one : file) one = removal_of(0, one.row.key.value, 4);
  ASSERT_TRUE(write(*store, shard_id{1}, file).ok());
  EXPECT_TRUE(scan(*store, shard_id{1}).empty());
  EXPECT_TRUE(read(*store, shard_id{1}, 0, {5}).empty());
  file.push_back(row_of(0, 5, 5));  // behind its own removal in one write
  ASSERT_TRUE(write(*store, shard_id{1}, file).ok());
  expect_one_row(*store, row_of(0, 5, 5));
  ASSERT_TRUE(store->commit(shard_id{1}, position_of(5)).ok());
  store.reset();
  store = open_rocks(folder.path());
  expect_one_row(*store, row_of(0, 5, 5));
}

TEST(RocksRowStore, ReadsManyKeysOnAPoolAsWithoutOneAndFromItsTasks) {
  temporary_folder folder;
  std::latch done(4);  // outlives the threads that look at it
  io_pool pool(3);
  rocks_row_store::options how;
  how.path = folder.path();
  how.pool = &pool;
  how.block_cache_bytes = 64 << 10;  // most blocks are read from the file
  const auto store = *rocks_row_store::open(how);
  ASSERT_TRUE(write(*store, shard_id{1}, many_rows(20'000, 1)).ok());
  std::vector<std::uint64_t> keys;
  for (std::uint64_t key = 1; key < 25'000; key += 3) keys.push_back(key);
  std::vector<owned_row> found;
  for (const auto key : keys) {
    if (key < 20'000) found.push_back(row_of(0, key, 1));
  }
  EXPECT_EQ(read(*store, shard_id{1}, 0, keys), found);
  for (int i = 0; i < 4; ++i) {
    pool.run([&] {
      EXPECT_EQ(read(*store, shard_id{1}, 0, keys), found);
      done.count_down();
    });
  }
  done.wait();
}

TEST(RocksRowStore, MakesACheckpointThatLaterWritesDoNotReach) {
  temporary_folder folder;
  const fs::path into = folder.path() / "checkpoint";
  auto store = open_rocks(folder.path() / "rows");
  ASSERT_TRUE(write(*store, shard_id{1}, many_rows(3'000, 1)).ok());
  ASSERT_TRUE(store->commit(shard_id{1}, position_of(17)).ok());
  ASSERT_TRUE(write(*store, shard_id{1}, {row_of(0, 7, 2), removal_of(0, 8, 2)}).ok());
  const auto then = scan(*store, shard_id{1});
  ASSERT_EQ(then.size(), 2'999U);
  ASSERT_TRUE(store->checkpoint(into).ok());
  ASSERT_TRUE(write(*store, shard_id{1}, many_rows(4'000, 3)).ok());
  ASSERT_TRUE(store->commit(shard_id{1}, position_of(30)).ok());
  auto kept = open_rocks(into, true);
  EXPECT_EQ(scan(*kept, shard_id{1}), then);
  EXPECT_EQ(kept->position(shard_id{1})->flushed, lsn{17});
  EXPECT_TRUE(kept->verify().ok());
  EXPECT_EQ(kept->checkpoint(folder.path() / "other").error().code, errc::in_use);
  const auto again = store->checkpoint(into);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code, errc::in_use) << again.error().detail;
  EXPECT_EQ(scan(*kept, shard_id{1}), then);
  EXPECT_GT(store->bytes(), kept->bytes());
  EXPECT_GT(kept->bytes(), 3'000U * 40);
}

TEST(RocksRowStore, CopiesACheckpointToAnotherFileSystem) {
  const temporary_folder folder;
  const fs::path other = fs::path("/dev/shm") / ("headrace." + std::to_string(::getpid()));
  std::error_code failure;
  fs::create_directory(other, failure);
  if (failure) GTEST_SKIP() << "no second file system to write to";
  {
    auto store = open_rocks(folder.path());
    ASSERT_TRUE(write(*store, shard_id{1}, many_rows(3'000, 1)).ok());
    const auto made = store->checkpoint(other / "checkpoint");
    EXPECT_TRUE(made.ok()) << describe(made.error());
    EXPECT_EQ(scan(*open_rocks(other / "checkpoint", true), shard_id{1}), many_rows(3'000, 1));
  }
  fs::remove_all(other);
}

// Rows are laid down twice, so that a dropped row has an older version below it that must not come
// back; only the table that was named is touched.
TEST(RocksRowStore, DropsExpiredRowsOfATableInCompactions) {
  temporary_folder folder;
  auto store = open_rocks(folder.path());
  const auto seen_at = [](std::uint32_t table, std::uint64_t key, std::uint64_t at) {
    auto made = row_of(table, key, at);
    made.row.last_seen_ms = at;
    return made;
  };
  const auto lay_down = [&](std::uint64_t at) {
    for (const std::uint32_t table : {1U, 2U}) {
      std::vector<owned_row> rows;
      for (std::uint64_t key = 0; key < 500; ++key) {
        rows.push_back(seen_at(table, key, key % 2 == 0 ? at : at + 1'000));
      }
      ASSERT_TRUE(write(*store, shard_id{1}, rows).ok());
      ASSERT_TRUE(store->commit(shard_id{1}, position_of(at)).ok());
    }
  };
  store->set_expiry(table_id{1}, 600);
  lay_down(1'000);
  ASSERT_TRUE(store->compact().ok());
  EXPECT_EQ(scan(*store, shard_id{1}).size(), 1'000U);
  lay_down(500);
  ASSERT_TRUE(store->compact().ok());
  const auto rows = scan(*store, shard_id{1});
  ASSERT_EQ(rows.size(), 750U);
  for (std::uint64_t i = 0; i < 250; ++i) ASSERT_EQ(rows[i], seen_at(1, 2 * i + 1, 1'500));
  EXPECT_EQ(rows[250], seen_at(2, 0, 500));
  EXPECT_EQ(store->position(shard_id{1})->flushed, lsn{500});
}

TEST(RocksRowStore, LeavesNothingOfAKilledWriteBehind) {
  temporary_folder folder;
  { open_rocks(folder.path()); }
  const fs::path left = folder.path() / "incoming" / "0.sst";
  write_file(left, "half a file");
  auto store = open_rocks(folder.path());
  EXPECT_FALSE(fs::exists(left));
  ASSERT_TRUE(write(*store, shard_id{1}, many_rows(rows_of_a_file, 1)).ok());
  EXPECT_TRUE(fs::is_empty(left.parent_path()));
}

void die_with_uncommitted_rows(std::uint64_t uncommitted) {
  auto store = open_rocks(std::getenv("HEADRACE_TEST_ROWS"));
  CHECK(write(*store, shard_id{1}, many_rows(5'000, 1)).ok());
  CHECK(store->commit(shard_id{1}, position_of(10)).ok());
  CHECK(write(*store, shard_id{1}, many_rows(uncommitted, 2)).ok());
  ::kill(::getpid(), SIGKILL);
}

// The child is killed with rows written and not committed: its position must still be the committed
// one, and every row must be the committed one or a newer one. RocksDB's threads do not survive
// fork(2), so the child starts this binary from the beginning and finds its folder in the
// environment.
void expect_position_behind_rows(std::uint64_t uncommitted) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  temporary_folder folder;
  ::setenv("HEADRACE_TEST_ROWS", folder.path().c_str(), 0);
  EXPECT_EXIT(die_with_uncommitted_rows(uncommitted), ::testing::KilledBySignal(SIGKILL), "");
  ::unsetenv("HEADRACE_TEST_ROWS");
  auto store = open_rocks(folder.path());
  EXPECT_EQ(store->position(shard_id{1})->flushed, lsn{10});
  const auto rows = scan(*store, shard_id{1});
  ASSERT_GE(rows.size(), 5'000U);
  for (const auto& one : rows) {
    const auto generation = one.row.lsn.value;
    ASSERT_TRUE(generation == 1 || generation == 2);
    ASSERT_EQ(one, row_of(0, one.row.key.value, generation));
  }
}

TEST(RocksRowStore, KeepsThePositionWhenKilledWithRowsInMemory) {
  expect_position_behind_rows(100);
}

TEST(RocksRowStore, KeepsThePositionWhenKilledWithSomeRowsFlushed) {
  expect_position_behind_rows(12'000);
}

TEST(RocksRowStore, NamesAFolderInUse) {
  temporary_folder folder;
  auto store = open_rocks(folder.path());
  ASSERT_TRUE(write(*store, shard_id{0}, many_rows(10, 1)).ok());
  ASSERT_TRUE(store->commit(shard_id{0}, position_of(1)).ok());
  const auto second = rocks_row_store::open(folder.path());
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code, errc::in_use) << second.error().detail;
  auto looking = open_rocks(folder.path(), true);  // takes no lock
  EXPECT_EQ(scan(*looking, shard_id{0}), many_rows(10, 1));
  EXPECT_EQ(write(*looking, shard_id{0}, many_rows(1, 2)).error().code, errc::in_use);
  EXPECT_EQ(looking->commit(shard_id{0}, position_of(2)).error().code, errc::in_use);
  EXPECT_EQ(rocks_row_store::open(folder.path() / "absent", true).error().code, errc::not_found);
  EXPECT_FALSE(fs::exists(folder.path() / "absent"));
}

TEST(RocksRowStore, NeverGivesBackRowsThatTheDiskChanged) {
  temporary_folder folder;
  const auto rows = many_rows(3'000, 1);
  {
    auto store = open_rocks(folder.path());
    ASSERT_TRUE(write(*store, shard_id{1}, rows).ok());
    ASSERT_TRUE(store->commit(shard_id{1}, position_of(17)).ok());
  }
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder.path())) {
    const auto name = entry.path().filename().string();
    if (name.ends_with(".sst") || name.starts_with("MANIFEST")) files.push_back(entry.path());
  }
  ASSERT_GE(files.size(), 2U);
  constexpr std::uint64_t seed = 5;
  random_stream draw(seed);
  int found = 0;
  constexpr int flips = 60;
  for (int i = 0; i < flips; ++i) {
    const fs::path& file = files[i % files.size()];
    const std::string good = read_file(file);
    std::string bad = good;
    const auto at = draw.next_below(bad.size());
    bad[at] = static_cast<char>(bad[at] ^ (1 << draw.next_below(8)));
    write_file(file, bad);
    auto opened = rocks_row_store::open(folder.path(), true);
    result<void> read;
    std::vector<owned_row> seen;
    if (opened) {
      read = (*opened)->scan(shard_id{1},
                             [&](const stored_row& row) { seen.push_back(copy_of(row)); });
      const auto position = (*opened)->position(shard_id{1});
      if (read.ok() && !position) read = position.error();
      if (position.ok()) {
        EXPECT_EQ(position->flushed, lsn{17}) << file << " " << at;
      }
    } else {
      read = opened.error();
    }
    if (read.ok()) {
      EXPECT_EQ(seen, rows) << "seed " << seed << ": " << file << " byte "
                            << at;  // a byte that means nothing
    } else {
      ++found;
      EXPECT_EQ(read.error().code, errc::corrupt) << read.error().detail;
      EXPECT_NE(read.error().detail.find(folder.path().string()), std::string::npos)
          << read.error().detail;
    }
    write_file(file, good);
  }
  EXPECT_GE(found, flips * 8 / 10);
  fs::remove(files[0]);
  EXPECT_FALSE(rocks_row_store::open(folder.path()).ok());
}

TEST(RocksRowStore, LosesNothingCommittedAtTheFileSizeLimit) {
  temporary_folder folder;
  const auto rows = many_rows(10'000, 1);
  {
    auto store = open_rocks(folder.path());
    ASSERT_TRUE(write(*store, shard_id{1}, many_rows(500, 1)).ok());
    ASSERT_TRUE(store->commit(shard_id{1}, position_of(5)).ok());
    ::rlimit before{};
    ::getrlimit(RLIMIT_FSIZE, &before);
    auto* const handler = std::signal(SIGXFSZ, SIG_IGN);
    ::rlimit tight = before;
    tight.rlim_cur = 50'000;
    ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &tight), 0);
    auto done = write(*store, shard_id{1}, rows);
    if (done.ok()) done = store->commit(shard_id{1}, position_of(6));
    ::setrlimit(RLIMIT_FSIZE, &before);
    std::signal(SIGXFSZ, handler);
    ASSERT_FALSE(done.ok());
    EXPECT_EQ(done.error().code, errc::disk_full) << done.error().detail;
  }
  auto store = open_rocks(folder.path());
  EXPECT_EQ(store->position(shard_id{1})->flushed, lsn{5});
  ASSERT_TRUE(write(*store, shard_id{1}, rows).ok());
  ASSERT_TRUE(store->commit(shard_id{1}, position_of(6)).ok());
  EXPECT_EQ(store->position(shard_id{1})->flushed, lsn{6});
  EXPECT_EQ(scan(*store, shard_id{1}), rows);
}

constexpr int no_tmpfs = 77;

// On a disk of its own, 2 MiB large and filled by another file: refused by name; when that file
// goes, the same open store goes on. RocksDB takes a while to notice, so the commit is tried again,
// as the shard does at each flush.
[[noreturn]] void fill_a_small_disk() {
  if (::unshare(::geteuid() == 0 ? CLONE_NEWNS : CLONE_NEWUSER | CLONE_NEWNS) != 0)
    std::_Exit(no_tmpfs);
  ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr);
  const fs::path disk = std::getenv("HEADRACE_TEST_ROWS");
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=2m") != 0) std::_Exit(no_tmpfs);
  auto store = open_rocks(disk / "rows");
  CHECK(write(*store, shard_id{1}, many_rows(500, 1)).ok());
  CHECK(store->commit(shard_id{1}, position_of(5)).ok());
  write_file(disk / "ballast", std::string(4 << 20, 'x'));
  auto done = write(*store, shard_id{1}, many_rows(6'000, 2));
  if (done.ok()) done = store->commit(shard_id{1}, position_of(6));
  CHECK(!done.ok());
  std::fprintf(stderr, "%s\n", describe(done.error()).c_str());
  CHECK(done.error().code == errc::disk_full);
  fs::remove(disk / "ballast");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  do {
    done = write(*store, shard_id{1}, many_rows(6'000, 2));
    if (done.ok()) done = store->commit(shard_id{1}, position_of(6));
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  } while (!done.ok() && std::chrono::steady_clock::now() < deadline);
  if (!done.ok()) std::fprintf(stderr, "%s\n", describe(done.error()).c_str());
  CHECK(done.ok());
  store.reset();
  store = open_rocks(disk / "rows");
  CHECK(store->position(shard_id{1})->flushed == lsn{6});
  CHECK(scan(*store, shard_id{1}) == many_rows(6'000, 2));
  std::_Exit(0);
}

TEST(RocksRowStore, GoesOnWhenAFullDiskHasSpaceAgain) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  temporary_folder folder;
  ::setenv("HEADRACE_TEST_ROWS", folder.path().c_str(), 0);
  int status = -1;
  const auto note = [&](int ended) {
    status = WIFEXITED(ended) ? WEXITSTATUS(ended) : -1;
    return status == 0 || status == no_tmpfs;
  };
  EXPECT_EXIT(fill_a_small_disk(), note, "");
  ::unsetenv("HEADRACE_TEST_ROWS");
  if (status == no_tmpfs) GTEST_SKIP() << "a tmpfs of one's own cannot be mounted here";
}

}  // namespace
}  // namespace headrace::storage
