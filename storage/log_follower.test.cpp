#include "storage/log_follower.hpp"

#include "base/check.hpp"
#include "base/random.hpp"
#include "storage/segment_log.hpp"
#include "storage/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

/// A log that is read while somebody else writes it.
namespace headrace::storage {
namespace {

namespace fs = std::filesystem;

constexpr std::uint64_t segment_bytes = 4'096;

frame bytes_of(std::uint64_t position) {
  std::vector<std::byte> bytes(1 + position * 37 % 301, std::byte(position));
  return frame::copy_of(bytes);
}

log_record record_of(std::uint64_t position) {
  log_record record;
  record.lsn = lsn{position};
  record.stamp_ms = 1'000 + position / 3 * 10;  // three have one stamp
  record.payload = bytes_of(position);
  return record;
}

std::unique_ptr<segment_log> writer_of(const fs::path& folder) {
  segment_log::options how;
  how.folder = folder;
  how.mode = schemas::log_mode::os;
  how.segment_bytes = segment_bytes;
  auto opened = segment_log::open(std::move(how));
  EXPECT_TRUE(opened.ok()) << (opened.ok() ? "" : describe(opened.error()));
  CHECK(opened.ok());
  return std::move(*opened);
}

void append(segment_log& log, std::uint64_t count) {
  const std::uint64_t last = log.last().last.value;
  for (std::uint64_t at = last + 1; at <= last + count; ++at) {
    const log_record record = record_of(at);
    log.append(std::span(&record, 1), lsn{at - 1}, [](const append_outcome& outcome) {
      EXPECT_EQ(outcome.state, append_state::committed) << outcome.detail;
    });
  }
}

log_follower follower_of(const fs::path& folder, std::uint64_t from = 1) {
  auto opened = log_follower::open(folder, lsn{from});
  EXPECT_TRUE(opened.ok()) << (opened.ok() ? "" : describe(opened.error()));
  CHECK(opened.ok());
  return std::move(*opened);
}

/// What is new, each record looked at.
std::vector<std::uint64_t> read(log_follower& log, std::size_t most = SIZE_MAX) {
  std::vector<std::uint64_t> seen;
  auto done = log.read([&](const log_record& record) {
    EXPECT_TRUE(std::ranges::equal(record.payload.bytes(), bytes_of(record.lsn.value).bytes()));
    seen.push_back(record.lsn.value);
    return seen.size() < most;
  });
  EXPECT_TRUE(done.ok()) << describe(done.error());
  return seen;
}

std::vector<std::uint64_t> range(std::uint64_t first, std::uint64_t last) {
  std::vector<std::uint64_t> all;
  for (std::uint64_t at = first; at <= last; ++at) all.push_back(at);
  return all;
}

class LogFollower : public ::testing::Test {
 protected:
  fs::path folder_of_log() const { return folder_.path() / "log"; }
  temporary_folder folder_;
};

TEST_F(LogFollower, GivesEachRecordOnceAsItComes) {
  auto log = writer_of(folder_of_log());
  auto follower = follower_of(folder_of_log());
  EXPECT_EQ(read(follower), range(1, 0)) << "nothing is there yet";
  append(*log, 1);
  EXPECT_EQ(read(follower), range(1, 1));
  EXPECT_EQ(read(follower), range(2, 1));
  append(*log, 100);
  EXPECT_EQ(read(follower, 60), range(2, 61)) << "stopped by the visitor";
  EXPECT_EQ(follower.position(), lsn{62});
  append(*log, 100);
  EXPECT_EQ(read(follower), range(62, 201));
  EXPECT_GT(std::distance(fs::directory_iterator(folder_of_log()), fs::directory_iterator()), 5)
      << "files were to be changed on the way";
}

TEST_F(LogFollower, BeginsWhereItIsTold) {
  auto log = writer_of(folder_of_log());
  append(*log, 100);
  auto middle = follower_of(folder_of_log(), 50);
  EXPECT_EQ(middle.found().first, lsn{1});
  EXPECT_EQ(middle.found().last, lsn{100});
  EXPECT_EQ(read(middle), range(50, 100));
  auto end = follower_of(folder_of_log(), 101);
  auto ahead = follower_of(folder_of_log(), 105);
  EXPECT_EQ(read(end), range(101, 100));
  append(*log, 20);
  EXPECT_EQ(read(end), range(101, 120));
  EXPECT_EQ(read(ahead), range(105, 120));
  const auto absent = log_follower::open(folder_.path() / "absent", lsn{1});
  ASSERT_FALSE(absent.ok());
  EXPECT_EQ(absent.error().code, errc::not_found);
}

TEST_F(LogFollower, PassesOverWhatRetentionTook) {
  auto log = writer_of(folder_of_log());
  append(*log, 300);
  auto follower = follower_of(folder_of_log());
  EXPECT_EQ(read(follower, 5), range(1, 5));
  ASSERT_TRUE(log->truncate_before(lsn{250}).ok());
  const std::uint64_t oldest = log->last().first.value;
  ASSERT_GT(oldest, 6U);
  EXPECT_EQ(read(follower), range(oldest, 300));
}

// A writer's write shows piece by piece: no more than whole records come of it, and each once.
TEST_F(LogFollower, WaitsForTheRestOfARecord) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  random_stream random(seed);
  append(*writer_of(folder_of_log()), 80);
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder_of_log())) files.push_back(entry.path());
  std::ranges::sort(files);
  const auto copy = folder_.path() / "copy";
  fs::create_directory(copy);
  auto follower = follower_of(copy);
  std::vector<std::uint64_t> seen;
  for (const fs::path& file : files) {
    std::ifstream in(file, std::ios::binary);
    const std::string bytes{std::istreambuf_iterator<char>(in), {}};
    for (std::size_t end = 0; end < bytes.size();) {
      const std::size_t more = std::min(bytes.size() - end, 1 + random.next_below(150));
      std::ofstream(copy / file.filename(), std::ios::binary | std::ios::app)
          << bytes.substr(end, more);
      end += more;
      std::ranges::copy(read(follower), std::back_inserter(seen));
    }
  }
  EXPECT_EQ(seen, range(1, 80));
}

TEST_F(LogFollower, ReadsBesideAWriter) {
  auto log = writer_of(folder_of_log());
  std::thread writer([&] { append(*log, 3'000); });
  auto follower = follower_of(folder_of_log());
  std::vector<std::uint64_t> seen;
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(120);
  while (seen.size() < 3'000 && std::chrono::steady_clock::now() < deadline)
    std::ranges::copy(read(follower), std::back_inserter(seen));
  writer.join();
  EXPECT_EQ(seen, range(1, 3'000));
}

TEST_F(LogFollower, DamageIsSaid) {
  append(*writer_of(folder_of_log()), 10);
  auto follower = follower_of(folder_of_log());
  {
    std::fstream file(folder_of_log() / segment_name(lsn{1}),
                      std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(segment_header_bytes + 70);
    file.put('x');
  }
  const auto done = follower.read([](const log_record&) { return true; });
  ASSERT_FALSE(done.ok());
  EXPECT_EQ(done.error().code, errc::corrupt);
  EXPECT_NE(done.error().detail.find("record 1"), std::string::npos) << done.error().detail;
}

TEST_F(LogFollower, FindsTheFirstRecordOfATime) {
  auto log = writer_of(folder_of_log());
  const auto of_nothing = first_record_at(folder_of_log(), 5);
  ASSERT_TRUE(of_nothing.ok());
  EXPECT_EQ(*of_nothing, lsn{1});
  append(*log, 200);
  for (std::uint64_t ms = 990; ms < 1'700; ms += 5) {
    std::uint64_t first = 1;
    while (first <= 200 && record_of(first).stamp_ms < ms) ++first;
    const auto found = first_record_at(folder_of_log(), ms);
    ASSERT_TRUE(found.ok()) << describe(found.error());
    ASSERT_EQ(*found, lsn{first}) << ms;
  }
}

}  // namespace
}  // namespace headrace::storage
