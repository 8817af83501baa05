#include "base/random.hpp"
#include "storage/checkpoint_manifest.hpp"
#include "storage/job_folder.hpp"
#include "storage/segment_log.hpp"
#include "tests/fault/state_on_disk.hpp"
#include "tests/support/small_job.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>

/// One flipped bit anywhere in a state folder: a refusal that names what is wrong, or everything
/// reads as before. Never other rows, records or figures (promise 5).
namespace headrace::tests {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr std::uint32_t shards = 4;

enum class verdict : std::uint8_t { refused, equal, doubtful, silent };
struct tally {
  std::uint64_t refused = 0;
  std::uint64_t equal = 0;
  std::uint64_t healed = 0;
};

// Inverts one bit; again, and the file is as before.
void flip(const fs::path& file, std::uint64_t bit) {
  std::fstream open(file, std::ios::in | std::ios::out | std::ios::binary);
  char byte = 0;
  const auto at = static_cast<std::streamoff>(bit / 8);
  open.seekg(at).read(&byte, 1);
  byte = static_cast<char>(byte ^ (1 << (bit % 8)));
  open.seekp(at).write(&byte, 1);
  open.close();
  ASSERT_TRUE(open) << file;
}

std::vector<fs::path> files_in(const fs::path& folder,
                               const std::function<bool(const fs::path&)>& wanted) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.is_regular_file() && entry.file_size() > 0 && wanted(entry.path()))
      files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

template <class Value>
verdict judged(const result<Value>& read, const Value& truth, std::string& why) {
  if (!read) {
    why = describe(read.error());
    return read.error().detail.empty() ? verdict::silent : verdict::refused;
  }
  return *read == truth ? verdict::equal : verdict::silent;
}

/// A kind of file, and what reading the folder says when one of them is damaged.
struct target {
  std::string name;
  std::vector<fs::path> files;
  std::function<verdict(const fs::path& damaged, std::string& why)> read;
};

class BitFlips : public testing::Test {
 protected:
  void SetUp() override {
    state_ = folder_ / "state";
    // Several flushes, so that rows lie in several files and the manifest has several entries.
    small_job wanted;
    wanted.name = "flips";
    wanted.arch = "fm";
    wanted.rows = 3'000;
    wanted.duration = 2s;
    job_ = wanted.write(folder_);
    const auto ran =
        run_program({headrace_binary(), "run", job_, "--state", state_.string(), "--json"}, 180s);
    ASSERT_EQ(ran.status, 0) << ran.errors;
    truth_ = audited(state_, why_);
    ASSERT_NE(truth_, "") << why_;
    write_small_segments();
    const auto rows = read_rows(state_ / "rows", shards);
    ASSERT_TRUE(rows) << describe(rows.error());
    rows_ = *rows;
    for (std::uint32_t s = 0; s < shards; ++s) logs_.push_back(log_of(s));
    logs_.push_back(state_ / "samples/events#1");
    logs_.push_back(folder_ / "small");
    for (const auto& log : logs_) {
      const auto read = read_log(log);
      ASSERT_TRUE(read) << describe(read.error());
      log_truth_[log.string()] = *read;
    }
  }

  // A log of many files: what is torn there is never a tail.
  void write_small_segments() {
    storage::segment_log::options how;
    how.folder = folder_ / "small";
    how.mode = schemas::log_mode::os;
    how.segment_bytes = 2'048;
    auto log = storage::segment_log::open(std::move(how));
    ASSERT_TRUE(log) << describe(log.error());
    for (std::uint64_t i = 1; i <= 120; ++i) {
      const std::string text(i % 97, static_cast<char>('a' + i % 26));
      storage::log_record record;
      record.lsn = lsn{i};
      record.payload = frame::copy_of(std::as_bytes(std::span(text)));
      if (i % 5 == 0) record.decisions = record.payload;
      (*log)->append(std::span(&record, 1), lsn{i - 1}, [](const auto& outcome) {
        ASSERT_EQ(outcome.state, storage::append_state::committed);
      });
    }
    ASSERT_TRUE((*log)->close());
  }

  fs::path log_of(std::uint32_t s) const {
    return state_ / "log" / ("shard-000" + std::to_string(s));
  }

  // Older rows than the truth's are right when the log still holds what they lack.
  verdict read_rows_and_judge(std::string& why) const {
    const auto read = read_rows(state_ / "rows", shards);
    const verdict first = judged(read, rows_, why);
    if (first != verdict::silent || !read) return first;
    for (std::uint32_t s = 0; s < shards; ++s) {
      if (read->flushed[s] > rows_.flushed[s]) return verdict::silent;
      const auto& log = log_truth_.at(log_of(s).string());
      if (read->flushed[s] + 1 < log.first) return verdict::silent;
    }
    return verdict::doubtful;
  }

  std::vector<target> targets() {
    const auto under = [&](const char* folder, auto wanted) {
      return files_in(state_ / folder, wanted);
    };
    const auto any = [](const fs::path&) { return true; };
    const auto is = [](const char* start) {
      return [start](const fs::path& file) { return file.filename().string().starts_with(start); };
    };
    const auto rows = [this](const fs::path&, std::string& why) {
      return read_rows_and_judge(why);
    };
    const auto logs = [this](const fs::path& damaged, std::string& why) {
      const fs::path log = damaged.parent_path();
      return judged(read_log(log), log_truth_.at(log.string()), why);
    };
    auto segments = under("log", any);
    for (auto& file : under("samples", any)) segments.push_back(file);
    return {
        {"log segment", segments, logs},
        {"small log segment", files_in(folder_ / "small", any), logs},
        {"rows: sst",
         under("rows", [](const fs::path& file) { return file.extension() == ".sst"; }),
         rows},
        {"rows: MANIFEST", under("rows", is("MANIFEST")), rows},
        {"rows: CURRENT, IDENTITY, OPTIONS",
         under("rows",
               [](const fs::path& file) {
                 const std::string name = file.filename().string();
                 return name == "CURRENT" || name == "IDENTITY" || name.starts_with("OPTIONS");
               }),
         rows},
        {"JOB",
         {state_ / "JOB"},
         [this](const fs::path&, std::string& why) { return read_job(why); }},
        {"CHECKPOINT",
         {state_ / "CHECKPOINT"},
         [this](const fs::path&, std::string& why) {
           return judged(storage::read_manifest(state_ / "CHECKPOINT"), checkpoint_, why);
         }},
    };
  }

  // The job's own name and fingerprint are what a server compares with.
  verdict read_job(std::string& why) const {
    const auto opened = storage::job_folder::open(state_, identity_, storage::job_role::server);
    if (opened) return (*opened)->job() == identity_ ? verdict::equal : verdict::silent;
    why = describe(opened.error());
    return verdict::refused;
  }

  // The whole of recovery, by the binary: rows, and the log behind them.
  bool recovers() {
    const std::string inspected = audited(state_, why_);
    return inspected == truth_;
  }

  temporary_folder folder_;
  fs::path state_;
  std::string job_;
  std::string truth_;
  std::string why_;
  rows_read rows_;
  std::vector<fs::path> logs_;
  std::map<std::string, log_read> log_truth_;
  storage::job_identity identity_;
  storage::checkpoint_manifest checkpoint_;
};

TEST_F(BitFlips, AreRefusedByNameOrChangeNothing) {
  const auto seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::cout << "HEADRACE_SEED=" << seed << "\n";
  random_stream draw(seed);
  const auto opened = storage::job_folder::open_read_only(state_);
  ASSERT_TRUE(opened) << describe(opened.error());
  identity_ = (*opened)->job();
  const auto manifest = storage::read_manifest(state_ / "CHECKPOINT");
  ASSERT_TRUE(manifest) << describe(manifest.error());
  checkpoint_ = *manifest;
  const auto kinds = targets();
  std::map<std::string, tally> tallies;
  const int flips = by_weight(1'000, 10'000);
  for (int i = 0; i < flips; ++i) {
    const target& kind = kinds[static_cast<std::size_t>(i) % kinds.size()];
    ASSERT_FALSE(kind.files.empty()) << kind.name;
    const fs::path& file = kind.files[draw.next_below(kind.files.size())];
    const std::uint64_t bit = draw.next_below(fs::file_size(file) * 8);
    SCOPED_TRACE("bit " + std::to_string(bit) + " of '" + file.string() + "'");
    flip(file, bit);
    std::string why;
    const verdict found = kind.read(file, why);
    tally& count = tallies[kind.name];
    if (found == verdict::refused) ++count.refused;
    if (found == verdict::equal) ++count.equal;
    if (found == verdict::doubtful && recovers())
      ++count.healed;
    else if (found == verdict::doubtful)
      FAIL() << "older rows, and recovery differs: " << why_;
    ASSERT_NE(found, verdict::silent) << why;
    flip(file, bit);
  }
  for (const auto& [name, count] : tallies) {
    std::cout << name << ": " << count.refused << " refused, " << count.equal << " without effect, "
              << count.healed << " healed from the log, 0 silent\n";
  }
  EXPECT_EQ(audited(state_, why_), truth_) << why_;
}

// The binary itself reads what a worker keeps when a finished run is started again.
TEST_F(BitFlips, OfFiguresAndTwinAreRefusedByName) {
  const auto seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::cout << "HEADRACE_SEED=" << seed << "\n";
  random_stream draw(seed);
  const auto again = [&] { return calm_run(job_, state_); };
  const auto truth = again();
  ASSERT_EQ(truth.status, 0) << truth.errors;
  for (int i = 0; i < by_weight(10, 100); ++i) {
    const fs::path file = state_ / "worker" / (i % 2 == 0 ? "scores.bin" : "twin.bin");
    const std::uint64_t bit = draw.next_below(fs::file_size(file) * 8);
    SCOPED_TRACE("bit " + std::to_string(bit) + " of '" + file.string() + "'");
    flip(file, bit);
    const auto damaged = again();
    EXPECT_EQ(damaged.status, 1) << damaged.output;
    EXPECT_NE(damaged.errors.find(file.string()), std::string::npos) << damaged.errors;
    flip(file, bit);
  }
  EXPECT_EQ(again().output, truth.output);
  EXPECT_EQ(audited(state_, why_), truth_) << why_;
}

}  // namespace
}  // namespace headrace::tests
