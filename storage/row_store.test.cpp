#include "storage/row_store.hpp"

#include "base/check.hpp"
#include "base/random.hpp"
#include "storage/memory_row_store.hpp"
#include "storage/rocks_row_store.hpp"
#include "storage/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <memory>
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

// A row with memory of its own; compared by bits, since NaN and -0 must come back as they were.
struct owned_row {
  stored_row row;
  std::vector<float> floats;

  friend bool operator==(const owned_row& a, const owned_row& b) {
    const auto bits = [](float f) { return std::bit_cast<std::uint32_t>(f); };
    return a.row.table == b.row.table && a.row.key == b.row.key && a.row.lsn == b.row.lsn &&
           a.row.last_seen_ms == b.row.last_seen_ms && a.row.count == b.row.count &&
           a.row.flags == b.row.flags && std::ranges::equal(a.floats, b.floats, {}, bits, bits);
  }
};

owned_row row_of(std::uint32_t table, std::uint64_t key, std::uint64_t generation) {
  random_stream draw(mix64(key) ^ generation);
  owned_row made;
  made.row = {table_id{table},
              row_key{key},
              lsn{generation},
              draw.next(),
              static_cast<std::uint32_t>(draw.next()),
              static_cast<std::uint32_t>(draw.next()),
              {}};
  made.floats.resize(draw.next_below(20));
  for (float& f : made.floats) f = std::bit_cast<float>(static_cast<std::uint32_t>(draw.next()));
  return made;
}

result<void> write(row_store& store, shard_id shard, const std::vector<owned_row>& rows) {
  std::vector<stored_row> views;
  for (const auto& one : rows) {
    views.push_back(one.row);
    views.back().floats = one.floats;
  }
  return store.write(shard, views);
}

shard_position position_of(std::uint64_t flushed) {
  shard_position position{lsn{flushed}, epoch{flushed + 1}, {}};
  position.state.assign(flushed % 40, static_cast<std::byte>(flushed));
  return position;
}

std::vector<owned_row> scan(row_store& store, shard_id shard) {
  std::vector<owned_row> seen;
  const auto done = store.scan(shard, [&](const stored_row& row) {
    seen.push_back({row, {row.floats.begin(), row.floats.end()}});
  });
  EXPECT_TRUE(done.ok()) << describe(done.error());
  return seen;
}

struct engine {
  std::string name;
  std::function<std::unique_ptr<row_store>(const fs::path&)> open;
};

class RowStore : public ::testing::TestWithParam<engine> {
 protected:
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
  rows[0].floats = {std::numeric_limits<float>::quiet_NaN(),
                    -0.0F,
                    std::numeric_limits<float>::infinity(),
                    std::numeric_limits<float>::denorm_min()};
  rows[1].floats.clear();
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

TEST_P(RowStore, NewerWritesReplaceOlderOnesAsInAModel) {
  constexpr std::uint64_t seed = 21;
  random_stream draw(seed);
  std::map<std::pair<std::uint32_t, std::uint64_t>, owned_row> model;
  for (std::uint64_t round = 1; round <= 60; ++round) {
    std::vector<owned_row> rows;
    for (std::uint64_t n = draw.next_below(200); n > 0; --n) {
      const auto table = static_cast<std::uint32_t>(draw.next_below(3));
      const auto key = draw.next_below(150);
      rows.push_back(row_of(table, key, round * 1'000 + n));
      model[{table, key}] = rows.back();
    }
    ASSERT_TRUE(write(*store_, shard_id{1}, rows).ok());
    if (round % 7 == 0) {
      ASSERT_TRUE(store_->commit(shard_id{1}, position_of(round)).ok());
    }
    if (round % 10 != 0) continue;
    std::vector<owned_row> expected;
    for (const auto& [name, row] : model) expected.push_back(row);
    ASSERT_EQ(scan(*store_, shard_id{1}), expected) << "seed " << seed << " round " << round;
  }
}

TEST_P(RowStore, TakesShardsFromTheirOwnThreads) {
  std::vector<std::thread> shards;
  for (std::uint32_t shard = 0; shard < 4; ++shard) {
    shards.emplace_back([this, shard] {
      for (std::uint64_t round = 1; round <= 5; ++round) {
        std::vector<owned_row> rows;
        for (std::uint64_t key = 0; key < 500; ++key) rows.push_back(row_of(1, key, round + shard));
        CHECK(write(*store_, shard_id{shard}, rows).ok());
        CHECK(store_->commit(shard_id{shard}, position_of(round)).ok());
      }
    });
  }
  for (auto& one : shards) one.join();
  for (std::uint32_t shard = 0; shard < 4; ++shard) {
    const auto rows = scan(*store_, shard_id{shard});
    ASSERT_EQ(rows.size(), 500U);
    for (std::uint64_t key = 0; key < 500; ++key) ASSERT_EQ(rows[key], row_of(1, key, 5 + shard));
    EXPECT_EQ(store_->position(shard_id{shard})->flushed, lsn{5});
  }
}

std::unique_ptr<rocks_row_store> open_rocks(const fs::path& path, bool read_only = false) {
  rocks_row_store::options how;
  how.path = path;
  how.read_only = read_only;
  how.memtable_bytes = 256 << 10;  // several files in a test
  auto opened = rocks_row_store::open(std::move(how));
  EXPECT_TRUE(opened.ok()) << (opened.ok() ? "" : describe(opened.error()));
  CHECK(opened.ok());
  return std::move(*opened);
}

INSTANTIATE_TEST_SUITE_P(Engines,
                         RowStore,
                         ::testing::Values(engine{"memory",
                                                  [](const fs::path&) {
                                                    return std::unique_ptr<row_store>(
                                                        std::make_unique<memory_row_store>());
                                                  }},
                                           engine{"rocks",
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

TEST(MemoryRowStore, FailsByPlanAndChangesNothing) {
  memory_row_store store;
  store.fail_next(errc::disk_full);
  EXPECT_EQ(write(store, shard_id{0}, {row_of(0, 1, 1)}).error().code, errc::disk_full);
  EXPECT_TRUE(scan(store, shard_id{0}).empty());
  EXPECT_TRUE(write(store, shard_id{0}, {row_of(0, 1, 1)}).ok());
}

// Golden: these bytes stay readable in every later version (docs/adr/0001).
std::string hex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte b : bytes) {
    text += "0123456789abcdef"[std::to_integer<unsigned>(b) >> 4];
    text += "0123456789abcdef"[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}
std::string hex(const std::string& bytes) { return hex(std::as_bytes(std::span(bytes))); }

TEST(RocksRowStore, WritesTheFrozenKeyValueAndPosition) {
  EXPECT_EQ(
      hex(encode_row_key(shard_id{0x01020304}, table_id{0x05060708}, row_key{0x1112131415161718})),
      "01020304"
      "05060708"
      "1112131415161718");
  const std::vector<float> floats{1.0F, -2.5F};
  EXPECT_EQ(hex(encode_row({table_id{1}, row_key{2}, lsn{0x0102}, 0x0304, 0x0506, 0x0708, floats})),
            "0201000000000000"
            "0403000000000000"
            "06050000"
            "08070000"
            "0000803f"
            "000020c0");
  shard_position position{lsn{0x0102}, epoch{3}, {std::byte{0xAA}, std::byte{0xBB}}};
  EXPECT_EQ(hex(encode_position(position)),
            "01000000"          // format version
            "8cae8132"          // CRC32C of the rest
            "0201000000000000"  // flushed
            "0300000000000000"  // epoch
            "0200000000000000"  // bytes of state
            "aabb");
}

TEST(RocksRowStore, RefusesADamagedPosition) {
  const std::string good = encode_position(position_of(25));
  EXPECT_TRUE(decode_position(std::as_bytes(std::span(good))).ok());
  for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
    std::string bad = good;
    bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << (bit % 8)));
    EXPECT_FALSE(decode_position(std::as_bytes(std::span(bad))).ok()) << bit;
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    EXPECT_FALSE(decode_position(std::as_bytes(std::span(good)).first(size)).ok()) << size;
  }
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

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
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
      read = (*opened)->scan(shard_id{1}, [&](const stored_row& row) {
        seen.push_back({row, {row.floats.begin(), row.floats.end()}});
      });
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
