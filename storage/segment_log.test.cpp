#include "storage/segment_log.hpp"

#include "base/check.hpp"
#include "base/random.hpp"
#include "storage/temporary_folder.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <sys/resource.h>
#include <vector>

/// What only segments can show: torn tails, damage, full disks, group commit.
namespace headrace::storage {
namespace {

namespace fs = std::filesystem;
using schemas::log_mode;
using enum append_state;

frame bytes_frame(std::uint64_t seed, std::size_t size) {
  std::vector<std::byte> bytes(size);
  random_stream draw(seed);
  for (auto& b : bytes) b = static_cast<std::byte>(draw.next());
  return frame::copy_of(bytes);
}

bool same_bytes(const frame& a, const frame& b) { return std::ranges::equal(a.bytes(), b.bytes()); }

log_record record_of(std::uint64_t position, std::size_t payload, std::size_t decisions = 0) {
  log_record record;
  record.lsn = lsn{position};
  record.stamp_ms = 5 + position;
  record.payload = bytes_frame(position, payload);
  record.decisions = bytes_frame(position + 1, decisions);
  return record;
}

std::string read_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}
void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::vector<fs::path> files_of(const fs::path& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  std::ranges::sort(files);
  return files;
}

segment_log::options options_at(const fs::path& folder, log_mode mode = log_mode::os) {
  segment_log::options how;
  how.folder = folder;
  how.mode = mode;
  return how;
}

std::unique_ptr<segment_log> open_log(segment_log::options how) {
  auto opened = segment_log::open(std::move(how));
  EXPECT_TRUE(opened.ok()) << (opened.ok() ? "" : describe(opened.error()));
  CHECK(opened.ok());
  return std::move(*opened);
}

append_outcome append(segment_log& log, const log_record& record) {
  append_outcome got;
  log.append(std::span(&record, 1), lsn{record.lsn.value - 1}, [&](const append_outcome& outcome) {
    got = outcome;
  });
  return got;
}

// What a log holds, each record compared with record_of of the sizes it has.
std::vector<std::uint64_t> positions(ordered_log& log, std::uint64_t from = 0) {
  std::vector<std::uint64_t> seen;
  auto read = log.read_from(lsn{from}, [&](const log_record& record) {
    const auto same = record_of(record.lsn.value, record.payload.size(), record.decisions.size());
    EXPECT_TRUE(same_bytes(record.payload, same.payload));
    EXPECT_TRUE(same_bytes(record.decisions, same.decisions));
    seen.push_back(record.lsn.value);
    return true;
  });
  EXPECT_TRUE(read.ok()) << describe(read.error());
  return seen;
}

std::vector<std::uint64_t> range(std::uint64_t first, std::uint64_t last) {
  std::vector<std::uint64_t> all;
  for (std::uint64_t at = first; at <= last; ++at) all.push_back(at);
  return all;
}

class SegmentLog : public ::testing::Test {
 protected:
  // Records 1 … count of odd sizes, with decisions in some, in files of `segment_bytes`.
  void fill(std::uint64_t count, std::uint64_t segment_bytes = 1 << 20) {
    auto how = options_at(folder_.path());
    how.segment_bytes = segment_bytes;
    auto log = open_log(std::move(how));
    for (std::uint64_t at = 1; at <= count; ++at) {
      ASSERT_EQ(append(*log, record_of(at, 30 + 7 * at, at % 3 == 0 ? at : 0)).state, committed);
    }
  }
  void expect_damage(const fs::path& file, std::uint64_t context) {
    for (const bool read_only : {true, false}) {
      auto how = options_at(folder_.path());
      how.read_only = read_only;
      const auto opened = segment_log::open(std::move(how));
      ASSERT_FALSE(opened.ok()) << "damage not found: " << context;
      EXPECT_EQ(opened.error().code, errc::corrupt) << context;
      EXPECT_NE(opened.error().detail.find(file.filename().string()), std::string::npos)
          << opened.error().detail;
      EXPECT_NE(opened.error().detail.find("offset"), std::string::npos) << opened.error().detail;
      EXPECT_NE(opened.error().detail.find("restore"), std::string::npos) << opened.error().detail;
    }
  }
  temporary_folder folder_;
};

TEST_F(SegmentLog, CutsOffATailTornAtAnyByte) {
  fill(5);
  const fs::path file = files_of(folder_.path()).at(0);
  const std::string whole = read_file(file);
  const std::uint64_t last_bytes = record_header_bytes + padded(30 + 35);
  const std::uint64_t good = whole.size() - last_bytes;
  for (std::uint64_t size = good; size < whole.size(); ++size) {
    write_file(file, whole.substr(0, size));
    {
      auto how = options_at(folder_.path());
      how.read_only = true;
      auto looking = open_log(std::move(how));
      EXPECT_EQ(positions(*looking), range(1, 4));
      EXPECT_EQ(looking->torn_bytes(), size - good);
      EXPECT_EQ(append(*looking, record_of(5, 65)).state, refused);
      EXPECT_EQ(read_file(file).size(), size) << "a read-only log must not be changed";
    }
    auto log = open_log(options_at(folder_.path()));
    EXPECT_EQ(log->torn_bytes(), size - good);
    EXPECT_EQ(fs::file_size(file), good);
    EXPECT_EQ(positions(*log), range(1, 4));
    ASSERT_EQ(append(*log, record_of(5, 65)).state, committed);
    EXPECT_EQ(positions(*log), range(1, 5));
  }
}

TEST_F(SegmentLog, AcceptsATailOfZeros) {
  fill(5);
  const fs::path file = files_of(folder_.path()).at(0);
  const std::string whole = read_file(file);
  for (const std::size_t zeros : {1, 63, 64, 65, 5000}) {
    write_file(file, whole + std::string(zeros, '\0'));
    auto log = open_log(options_at(folder_.path()));
    EXPECT_EQ(positions(*log), range(1, 5));
    EXPECT_EQ(fs::file_size(file), whole.size());
  }
}

TEST_F(SegmentLog, NamesEveryFlippedBit) {
  fill(4);
  const fs::path file = files_of(folder_.path()).at(0);
  const std::string whole = read_file(file);
  constexpr std::uint64_t seed = 11;
  random_stream draw(seed);
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << draw.next_below(8)));
    write_file(file, flipped);
    expect_damage(file, at);
    if (HasFailure()) return;
  }
}

TEST_F(SegmentLog, NamesDamageBeforeTheTail) {
  fill(12, 400);
  const auto files = files_of(folder_.path());
  ASSERT_GE(files.size(), 4U);
  std::map<fs::path, std::string> whole;
  for (const auto& file : files) whole[file] = read_file(file);
  const auto restore = [&] {
    for (const auto& [file, bytes] : whole) write_file(file, bytes);
  };
  const fs::path& middle = files[1];
  for (const std::uint64_t size : {0, 10, 64, 100, 130}) {  // cut short, though later files exist
    write_file(middle, whole[middle].substr(0, size));
    expect_damage(middle, size);
    restore();
  }
  fs::remove(middle);  // a whole file is gone
  expect_damage(files[2], 1);
  restore();
  write_file(middle, whole[files[2]]);  // another file's bytes
  expect_damage(middle, 2);
  restore();
  write_file(middle, whole[middle] + std::string(100, '\0'));  // zeros are a tail only at the tail
  expect_damage(middle, 3);
  restore();
  write_file(files.back(), whole[files.back()] + std::string(200, 'x'));  // garbage is no tail
  expect_damage(files.back(), 4);
  restore();
  write_file(
      files.back(),
      whole[files.back()] + whole[files.back()].substr(segment_header_bytes));  // a record twice
  expect_damage(files.back(), 5);
  restore();
  EXPECT_EQ(positions(*open_log(options_at(folder_.path()))), range(1, 12));
}

TEST_F(SegmentLog, NamesARecordOfAnotherLogInItsPlace) {
  fill(3);
  const fs::path file = files_of(folder_.path()).at(0);
  const std::string whole = read_file(file);
  // The same lsn and a good checksum, but made behind another record: only the chain tells.
  const auto header = describe_record(record_of(4, 16), 12345);
  const auto bytes = encode_header(header);
  std::string forged(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto payload = record_of(4, 16).payload;
  forged.append(reinterpret_cast<const char*>(payload.bytes().data()), payload.size());
  write_file(file, whole + forged);
  expect_damage(file, 0);
}

TEST_F(SegmentLog, DropsANewestFileWithoutRecords) {
  fill(6, 400);
  const auto files = files_of(folder_.path());
  const fs::path next = folder_.path() / segment_name(lsn{7});
  const auto header = encode_segment_header({lsn{7}, 1});
  const std::string good(reinterpret_cast<const char*>(header.data()), header.size());
  for (const std::string& bytes : {std::string(),
                                   good.substr(0, 30),
                                   good,
                                   good + std::string(40, 'x'),
                                   std::string(300, '\0')}) {
    write_file(next, bytes);
    auto log = open_log(options_at(folder_.path()));
    EXPECT_FALSE(fs::exists(next));
    EXPECT_EQ(log->last().last, lsn{6});
    ASSERT_EQ(files_of(folder_.path()), files);
  }
  temporary_folder empty;
  write_file(empty.path() / segment_name(lsn{1}), good.substr(0, 30));
  auto log = open_log(options_at(empty.path()));
  EXPECT_EQ(log->last().last, lsn{0});
  EXPECT_EQ(append(*log, record_of(1, 10)).state, committed);
}

TEST_F(SegmentLog, SkimsOlderFilesWhenAskedAndChecksThemWhenRead) {
  fill(12, 400);
  const auto files = files_of(folder_.path());
  auto how = options_at(folder_.path());
  how.check = segment_check::newest;
  EXPECT_EQ(positions(*open_log(how)), range(1, 12));
  EXPECT_EQ(positions(*open_log(how), 5), range(5, 12));
  std::string bytes = read_file(files[1]);
  bytes[150] ^= 1;
  write_file(files[1], bytes);
  auto log = open_log(how);
  const auto read = log->read_from(lsn{1}, [](const log_record&) { return true; });
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code, errc::corrupt);
}

TEST_F(SegmentLog, FindsDamageThatComesAfterOpening) {
  auto log = open_log(options_at(folder_.path()));
  for (std::uint64_t at = 1; at <= 3; ++at) append(*log, record_of(at, 100));
  const fs::path file = files_of(folder_.path()).at(0);
  std::string bytes = read_file(file);
  bytes[bytes.size() - 20] ^= 4;
  write_file(file, bytes);
  std::vector<std::uint64_t> seen;
  const auto read = log->read_from(lsn{1}, [&](const log_record& record) {
    seen.push_back(record.lsn.value);
    return true;
  });
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code, errc::corrupt);
  EXPECT_EQ(seen, range(1, 2));
}

TEST_F(SegmentLog, ReadOnlyNeedsAFolderAndSeesALiveLog) {
  auto how = options_at(folder_.path() / "absent");
  how.read_only = true;
  const auto opened = segment_log::open(how);
  ASSERT_FALSE(opened.ok());
  EXPECT_FALSE(fs::exists(how.folder));
  auto live = open_log(options_at(folder_.path()));
  append(*live, record_of(1, 10));
  how.folder = folder_.path();
  auto looking = open_log(how);
  append(*live, record_of(2, 10));
  EXPECT_EQ(positions(*looking), range(1, 1));
  EXPECT_FALSE(looking->truncate_before(lsn{2}).ok());
  EXPECT_EQ(positions(*live), range(1, 2));
}

TEST_F(SegmentLog, KeepsRecordsLargerThanAFileOrAPiece) {
  auto how = options_at(folder_.path());
  how.segment_bytes = 1 << 20;
  auto log = open_log(how);
  const std::vector<std::size_t> sizes{0, 9 << 20, 1, (4 << 20) + 3, 1 << 20, 0, 70'000};
  for (std::size_t i = 0; i < sizes.size(); ++i)
    ASSERT_EQ(append(*log, record_of(i + 1, sizes[i])).state, committed);
  log = open_log(how);
  EXPECT_EQ(positions(*log), range(1, sizes.size()));
}

TEST_F(SegmentLog, BeginsAnewBehindThePositionThatRowsHold) {
  fill(6, 400);
  auto how = options_at(folder_.path());
  how.continue_after = lsn{6};
  EXPECT_EQ(positions(*open_log(how)), range(1, 6));  // nothing is missing
  how.continue_after = lsn{9};
  how.read_only = true;
  EXPECT_EQ(open_log(how)->last().last, lsn{6});
  how.read_only = false;
  {
    auto log = open_log(how);
    EXPECT_EQ(log->last().first, lsn{0});
    EXPECT_EQ(log->last().last, lsn{9});
    EXPECT_TRUE(positions(*log).empty());
  }
  auto log = open_log(options_at(folder_.path()));
  EXPECT_EQ(log->last().last, lsn{9});
  ASSERT_EQ(append(*log, record_of(10, 10)).state, committed);
  EXPECT_EQ(log->last().first, lsn{10});
  EXPECT_EQ(positions(*open_log(options_at(folder_.path()))), range(10, 10));
}

// Sets the file size limit while it lives; SIGXFSZ is ignored as headrace does.
class file_size_limit {
 public:
  explicit file_size_limit(::rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    handler_ = std::signal(SIGXFSZ, SIG_IGN);
    ::rlimit now = before_;
    now.rlim_cur = bytes;
    CHECK(::setrlimit(RLIMIT_FSIZE, &now) == 0);
  }
  file_size_limit(const file_size_limit&) = delete;
  file_size_limit& operator=(const file_size_limit&) = delete;
  ~file_size_limit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, handler_);
  }

 private:
  ::rlimit before_{};
  void (*handler_)(int) = nullptr;
};

TEST_F(SegmentLog, RefusesOnAFullDiskAndAcceptsWhenThereIsSpaceAgain) {
  auto log = open_log(options_at(folder_.path()));
  std::uint64_t at = 1;
  {
    const file_size_limit limit(10'000);
    while (append(*log, record_of(at, 1'000)).state == committed) ++at;
    const auto size = fs::file_size(files_of(folder_.path()).at(0));
    EXPECT_EQ(size, segment_header_bytes + (at - 1) * (record_header_bytes + 1'000))
        << "the part written must be cut off";
    for (int again = 0; again < 3; ++again) {
      const auto outcome = append(*log, record_of(at, 1'000));
      EXPECT_EQ(outcome.state, refused);
      EXPECT_EQ(outcome.code, errc::disk_full);
      EXPECT_NE(outcome.detail.find(folder_.path().string()), std::string::npos) << outcome.detail;
      EXPECT_EQ(fs::file_size(files_of(folder_.path()).at(0)), size);
    }
    EXPECT_EQ(append(*log, record_of(at, 8)).state, committed);  // a small one still fits
    EXPECT_EQ(positions(*log), range(1, at));
  }
  ASSERT_GT(at, 5U);
  EXPECT_EQ(append(*log, record_of(at + 1, 1'000)).state, committed);
  EXPECT_EQ(positions(*log), range(1, at + 1));
  EXPECT_EQ(positions(*open_log(options_at(folder_.path()))), range(1, at + 1));
}

TEST_F(SegmentLog, RefusesWhenANewFileCannotBeBegun) {
  auto how = options_at(folder_.path());
  how.segment_bytes = 500;
  auto log = open_log(how);
  ASSERT_EQ(append(*log, record_of(1, 400)).state, committed);
  {
    const file_size_limit limit(10);
    const auto outcome = append(*log, record_of(2, 400));
    EXPECT_EQ(outcome.state, refused);
    EXPECT_EQ(outcome.code, errc::disk_full);
    EXPECT_EQ(files_of(folder_.path()).size(), 1U);
  }
  EXPECT_EQ(append(*log, record_of(2, 400)).state, committed);
  EXPECT_EQ(positions(*log), range(1, 2));
}

TEST_F(SegmentLog, IsUnknownWhenTheTailCannotBeCutOff) {
  auto how = options_at(folder_.path());
  how.cut = [](int, std::uint64_t) {
    errno = EIO;
    return -1;
  };
  auto log = open_log(how);
  ASSERT_EQ(append(*log, record_of(1, 500)).state, committed);
  {
    const file_size_limit limit(1'000);
    EXPECT_EQ(append(*log, record_of(2, 2'000)).state, unknown);
  }
  const auto after = append(*log, record_of(2, 10));
  EXPECT_EQ(after.state, refused);
  EXPECT_EQ(after.code, errc::io_error);
  log.reset();
  EXPECT_EQ(positions(*open_log(options_at(folder_.path()))), range(1, 1));
}

TEST_F(SegmentLog, KeepsWhatItBufferedWhileTheDiskIsFull) {
  auto how = options_at(folder_.path(), log_mode::none);
  how.buffer_bytes = 3'000;
  auto log = open_log(how);
  std::uint64_t at = 1;
  {
    const file_size_limit limit(100);
    while (append(*log, record_of(at, 1'000)).state == committed) ++at;
    EXPECT_EQ(at, 4U);
    EXPECT_EQ(append(*log, record_of(at, 1'000)).code, errc::disk_full);
    EXPECT_EQ(positions(*log), range(1, at - 1)) << "what was committed can be read";
    EXPECT_EQ(positions(*log, 3), range(3, at - 1));
  }
  EXPECT_EQ(append(*log, record_of(at, 1'000)).state, committed);
  EXPECT_EQ(positions(*log), range(1, at));
  EXPECT_TRUE(log->close().ok());
  EXPECT_EQ(positions(*open_log(options_at(folder_.path()))), range(1, at));
}

// A sync that waits to be let go, and counts.
class sync_gate {
 public:
  std::function<int(int)> function() {
    return [this](int) {
      std::unique_lock lock(mutex_);
      ++entered_;
      moved_.notify_all();
      moved_.wait(lock, [this] { return open_; });
      return 0;
    };
  }
  void wait_entered(int count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(moved_.wait_for(lock, std::chrono::seconds(30), [&] { return entered_ >= count; }));
  }
  void set(bool open) {
    const std::lock_guard lock(mutex_);
    open_ = open;
    moved_.notify_all();
  }
  int entered() {
    const std::lock_guard lock(mutex_);
    return entered_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable moved_;
  bool open_ = false;
  int entered_ = 0;
};

class FsyncLog : public SegmentLog {
 protected:
  void open(segment_log::options how) {
    gate_.set(true);
    how.mode = log_mode::fsync;
    how.sync = gate_.function();
    log_ = open_log(std::move(how));
    enqueue(1, 10);  // begins the file, so that the syncs counted later are of groups
    wait_for(1);
    before_ = gate_.entered();
    gate_.set(false);
  }
  void enqueue(std::uint64_t at, std::size_t payload) {
    const auto record = record_of(at, payload);
    log_->append(std::span(&record, 1), lsn{at - 1}, [this, at](const append_outcome& outcome) {
      const std::lock_guard lock(mutex_);
      outcomes_.emplace_back(at, outcome);
      more_.notify_all();
    });
  }
  void wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(
        more_.wait_for(lock, std::chrono::seconds(30), [&] { return outcomes_.size() >= count; }));
  }
  std::size_t settled() {
    const std::lock_guard lock(mutex_);
    return outcomes_.size();
  }

  sync_gate gate_;
  int before_ = 0;
  std::mutex mutex_;
  std::condition_variable more_;
  std::vector<std::pair<std::uint64_t, append_outcome>> outcomes_;
  std::unique_ptr<segment_log> log_;
};

TEST_F(FsyncLog, CommitsAtMostSixtyFourTogetherAndOnlyAfterTheSync) {
  open(options_at(folder_.path()));
  enqueue(2, 100);
  gate_.wait_entered(before_ + 1);
  for (std::uint64_t at = 3; at <= 102; ++at) enqueue(at, 100);
  EXPECT_EQ(settled(), 1U) << "nothing may be told before its sync returned";
  EXPECT_EQ(log_->last().last, lsn{1});
  gate_.set(true);
  wait_for(102);
  EXPECT_EQ(gate_.entered() - before_, 3);  // 1, then 64 and 36 that came meanwhile
  for (std::size_t i = 0; i < outcomes_.size(); ++i) {
    EXPECT_EQ(outcomes_[i].first, i + 1);
    EXPECT_EQ(outcomes_[i].second.state, committed);
  }
  EXPECT_EQ(log_->last().last, lsn{102});
  EXPECT_EQ(positions(*log_), range(1, 102));
}

TEST_F(FsyncLog, RefusesEverythingBehindAFailedWriteThenAcceptsAgain) {
  auto how = options_at(folder_.path());
  how.segment_bytes = 1 << 20;  // large enough that what is enqueued below is tried as one write
  open(std::move(how));
  enqueue(2, 100);
  gate_.wait_entered(before_ + 1);
  {
    const file_size_limit limit(3'000);
    for (std::uint64_t at = 3; at <= 10; ++at) enqueue(at, at == 5 ? 5'000 : 100);
    gate_.set(true);
    wait_for(10);
  }
  for (std::size_t i = 0; i < 10; ++i) {
    EXPECT_EQ(outcomes_[i].first, i + 1);
    EXPECT_EQ(outcomes_[i].second.state, i < 4 ? committed : refused) << i;
    if (i >= 4) {
      EXPECT_EQ(outcomes_[i].second.code, errc::disk_full) << i;
    }
  }
  enqueue(5, 100);
  wait_for(11);
  EXPECT_EQ(outcomes_.back().second.state, committed);
  EXPECT_EQ(positions(*log_), range(1, 5));
}

TEST_F(FsyncLog, RefusesMoreThanItsQueueHolds) {
  auto how = options_at(folder_.path());
  how.queue_bytes_max = 10'000;
  open(std::move(how));
  enqueue(2, 100);
  gate_.wait_entered(before_ + 1);
  for (std::uint64_t at = 3; at <= 20; ++at) enqueue(at, 1'000);
  gate_.set(true);
  wait_for(20);
  const auto first =
      std::ranges::find_if(outcomes_, [](const auto& one) { return one.second.state == refused; });
  ASSERT_NE(first, outcomes_.end());
  const auto accepted = static_cast<std::uint64_t>(first - outcomes_.begin());
  EXPECT_EQ(accepted, 2U + 9U);
  for (auto it = first; it != outcomes_.end(); ++it) EXPECT_EQ(it->second.code, errc::overloaded);
  enqueue(accepted + 1, 1'000);
  wait_for(21);
  EXPECT_EQ(outcomes_.back().second.state, committed);
}

TEST_F(FsyncLog, ReadsWhatIsCommittedWhileMoreIsWritten) {
  auto how = options_at(folder_.path());
  how.segment_bytes = 20'000;
  open(std::move(how));
  gate_.set(true);
  for (std::uint64_t at = 2; at <= 300; ++at) {
    enqueue(at, 700);
    if (at % 20 != 0) continue;
    const auto known = log_->last().last.value;
    EXPECT_GE(positions(*log_).size(), known);
    ASSERT_TRUE(log_->truncate_before(lsn{1}).ok());
  }
  wait_for(300);
  EXPECT_EQ(positions(*log_), range(1, 300));
}

TEST_F(SegmentLog, SyncErrorEndsTheProcess) {
  ::testing::FLAGS_gtest_death_test_style = "threadsafe";
  auto how = options_at(folder_.path(), log_mode::fsync);
  how.sync = [](int) {
    errno = EIO;
    return -1;
  };
  EXPECT_DEATH(
      {
        auto log = open_log(how);
        append(*log, record_of(1, 10));
        static_cast<void>(log->close());
      },
      "fdatasync of '.*00000000000000000001.log' failed: .*must end");
}

// A random life of a log, against a vector. A kill is a copy of the folder as it is, its newest
// file cut anywhere.
class life {
 public:
  life(std::uint64_t seed, const fs::path& root) : draw_(seed), root_(root) {}

  void run() {
    open();
    for (int step = 0; step < 60 && !::testing::Test::HasFailure(); ++step) {
      switch (draw_.next_below(8)) {
        case 0:
          kill();
          break;
        case 1:
          truncate();
          break;
        case 2:
          check_reads();
          break;
        case 3:
          reopen();
          break;
        default:
          append_group();
          break;
      }
    }
    check_reads();
  }

 private:
  fs::path folder() const { return root_ / std::to_string(generation_); }
  void open() {
    auto how = options_at(folder(), draw_.next_below(4) == 0 ? log_mode::none : log_mode::os);
    if (draw_.next_below(6) == 0) how.mode = log_mode::fsync;
    how.segment_bytes = 300 + draw_.next_below(3'000);
    how.buffer_bytes = 200 + draw_.next_below(2'000);
    how.sync = [](int) { return 0; };
    mode_ = how.mode;
    log_ = open_log(std::move(how));
  }
  void reopen() {
    EXPECT_TRUE(log_->close().ok());
    const auto before = log_->last();
    open();
    EXPECT_EQ(log_->last().first, before.first);
    EXPECT_EQ(log_->last().last, before.last);
  }
  void append_group() {
    std::vector<log_record> group;
    for (std::uint64_t n = 1 + draw_.next_below(4); n > 0; --n) {
      group.push_back(record_of(
          sizes_.size() + 1, draw_.next_below(400), draw_.next_below(3) * draw_.next_below(40)));
      sizes_.push_back({group.back().payload.size(), group.back().decisions.size()});
    }
    log_->append(group, lsn{group.front().lsn.value - 1}, [](const append_outcome& outcome) {
      EXPECT_EQ(outcome.state, committed);
    });
  }
  void truncate() {
    const std::uint64_t keep = draw_.next_below(sizes_.size() + 2);
    EXPECT_TRUE(log_->truncate_before(lsn{keep}).ok());
    const auto kept = log_->last();
    if (kept.last.value != 0) {
      EXPECT_LE(kept.first, std::max(lsn{keep}, first_));
    }
    first_ = std::max(first_, kept.first);
  }
  void check_reads() {
    if (mode_ == log_mode::fsync) reopen();
    const auto kept = log_->last();
    EXPECT_EQ(kept.last.value, sizes_.size());
    const std::uint64_t from = draw_.next_below(sizes_.size() + 2);
    const auto begin = std::max(from, kept.first.value);
    EXPECT_EQ(positions(*log_, from), sizes_.empty() ? range(1, 0) : range(begin, sizes_.size()));
    static_cast<void>(log_->read_from(lsn{begin}, [&](const log_record& record) {
      EXPECT_EQ(record.payload.size(), sizes_.at(record.lsn.value - 1).first);
      EXPECT_EQ(record.decisions.size(), sizes_.at(record.lsn.value - 1).second);
      return true;
    }));
  }
  // Afterwards at least what the newest file still holds whole must be there, and a prefix in any
  // case.
  void kill() {
    if (mode_ != log_mode::os) return;
    const fs::path old = folder();
    ++generation_;
    fs::copy(old, folder());
    const auto files = files_of(folder());
    std::uint64_t lost = 0;
    if (!files.empty()) {
      const auto size = fs::file_size(files.back());
      lost =
          draw_.next_below(2) == 0 ? 0 : draw_.next_below(std::min<std::uint64_t>(size, 500) + 1);
      fs::resize_file(files.back(), size - lost);
    }
    open();
    const auto now = log_->last().last.value;
    EXPECT_LE(now, sizes_.size());
    if (lost == 0) {
      EXPECT_EQ(now, sizes_.size());
    }
    std::uint64_t gone = 0;
    for (std::size_t i = now + 1; i < sizes_.size(); ++i) {
      gone += record_header_bytes + padded(sizes_[i].first) + padded(sizes_[i].second);
    }
    EXPECT_LE(gone, lost) << "only what was cut into may be gone";
    sizes_.resize(now);
  }

  random_stream draw_;
  fs::path root_;
  int generation_ = 0;
  log_mode mode_ = log_mode::os;
  lsn first_{1};
  std::vector<std::pair<std::size_t, std::size_t>> sizes_;  // payload and decisions of record i + 1
  std::unique_ptr<segment_log> log_;
};

TEST(SegmentLogProperty, BehavesLikeAVectorThroughKillsAndRestarts) {
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    SCOPED_TRACE("seed " + std::to_string(seed));
    temporary_folder folder;
    life(seed, folder.path()).run();
    if (::testing::Test::HasFailure()) return;
  }
}

}  // namespace
}  // namespace headrace::storage
