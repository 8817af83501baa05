#include "base/random.hpp"
#include "storage/segment_log.hpp"
#include "tests/fault/state_on_disk.hpp"
#include "tests/support/child_process.hpp"
#include "tests/support/process_facts.hpp"
#include "tests/support/small_job.hpp"

#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
#include <iostream>

/// The last record of a log cut short at each of its bytes: that record is gone and nothing else,
/// and what it held is learned again.
namespace headrace::tests {
namespace {

namespace fs = std::filesystem;
using namespace std::chrono_literals;

constexpr auto patience = 180s;
constexpr std::uint32_t shards = 4;

small_job short_job() {
  small_job job;
  job.rows = 2'000;
  job.duration = 2s;
  return job;
}

std::string shard_log(const std::string& state, std::uint32_t shard) {
  return state + "/log/shard-000" + std::to_string(shard);
}

// A folder with a copy of the newest file of `log`, its first `bytes` only.
void copy_cut(const fs::path& file, const fs::path& into, std::uint64_t bytes) {
  fs::remove_all(into);
  fs::create_directories(into);
  fs::copy_file(file, into / file.filename());
  fs::resize_file(into / file.filename(), bytes);
}

TEST(TornTail, EachByteOfTheLastRecordCutOffCostsThatRecordAlone) {
  const temporary_folder folder;
  const auto ran = calm_run(short_job().write(folder), folder / "state");
  ASSERT_EQ(ran.status, 0) << ran.errors;
  for (std::uint32_t s = 0; s < shards; ++s) {
    const fs::path file = newest_segment(shard_log(folder / "state", s));
    const auto last = find_last_record(file);
    ASSERT_TRUE(last) << describe(last.error());
    ASSERT_GT(last->number, 10U);
    ASSERT_EQ(last->end, fs::file_size(file));
    for (std::uint64_t cut = last->begin; cut <= last->end; ++cut) {
      copy_cut(file, folder / "cut", cut);
      const auto read = read_log(folder / "cut");
      ASSERT_TRUE(read) << "cut at " << cut << ": " << describe(read.error());
      ASSERT_EQ(read->last, cut == last->end ? last->number : last->number - 1)
          << "shard " << s << " cut at " << cut;
      storage::segment_log::options how;
      how.folder = folder / "cut";
      how.mode = schemas::log_mode::os;
      auto log = storage::segment_log::open(std::move(how));
      ASSERT_TRUE(log) << describe(log.error());
      ASSERT_EQ((*log)->torn_bytes(), cut == last->end ? 0 : cut - last->begin);
      ASSERT_TRUE((*log)->close());
      ASSERT_EQ(fs::file_size(folder / "cut" / file.filename()),
                cut == last->end ? last->end : last->begin);
    }
  }
}

TEST(TornTail, ACutBeforeTheLastRecordLosesNothingSilently) {
  const temporary_folder folder;
  storage::segment_log::options how;
  how.folder = folder / "log";
  how.mode = schemas::log_mode::os;
  how.segment_bytes = 4'096;
  auto log = storage::segment_log::open(how);
  ASSERT_TRUE(log) << describe(log.error());
  for (std::uint64_t i = 1; i <= 100; ++i) {
    storage::log_record record;
    record.lsn = lsn{i};
    record.payload = frame::copy_of(std::as_bytes(std::span(&i, 1)));
    (*log)->append(std::span(&record, 1), lsn{i - 1}, [](const auto& outcome) {
      ASSERT_EQ(outcome.state, storage::append_state::committed);
    });
  }
  ASSERT_TRUE((*log)->close());
  const fs::path oldest = fs::path(how.folder) / storage::segment_name(lsn{1});
  ASSERT_NE(oldest, newest_segment(how.folder));
  for (std::uint64_t size = fs::file_size(oldest); size-- > 0;) {
    fs::resize_file(oldest, size);
    const auto read = read_log(how.folder);
    ASSERT_FALSE(read) << "an older file of " << size << " bytes was read as whole";
    ASSERT_EQ(read.error().code, errc::corrupt) << describe(read.error());
    const std::string& said =
        read.error().detail;  // a file cut between records is not damaged itself
    const bool named = said.find(oldest.filename().string()) != std::string::npos ||
                       said.find("a log file is gone") != std::string::npos;
    ASSERT_TRUE(named) << said;
  }
}

TEST(TornTail, ARunGoesOnBehindATornRecordAndLearnsItAgain) {
  const auto seed = test_seed();
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  std::cout << "HEADRACE_SEED=" << seed << "\n";
  random_stream draw(seed);
  const temporary_folder folder;
  const std::string job = short_job().write(folder);
  ASSERT_EQ(calm_run(job, folder / "calm").status, 0);
  std::string why;
  const std::string expected = audited(folder / "calm", why);
  ASSERT_NE(expected, "") << why;
  for (int round = 0; round < by_weight(4, 25); ++round) {
    const std::string state = folder / ("state-" + std::to_string(round));
    // No row is written before the kill, so that the log alone holds the record that is torn.
    child_process run({headrace_binary(),
                       "run",
                       job,
                       "--state",
                       state,
                       "--json",
                       "--set",
                       "durability.flush_interval=1h"});
    ASSERT_TRUE(eventually([&] { return facts_of(state + "/log").bytes > 60'000; }, patience))
        << run.errors();
    run.signal(SIGKILL);
    ASSERT_EQ(run.wait_for(10s), 128 + SIGKILL);
    const fs::path file =
        newest_segment(shard_log(state, static_cast<std::uint32_t>(draw.next_below(shards))));
    const auto last = find_last_record(file);
    ASSERT_TRUE(last) << describe(last.error());
    ASSERT_GT(last->end, 0U);
    const auto cut = last->begin + draw.next_below(last->end - last->begin);
    SCOPED_TRACE("cut '" + file.string() + "' at " + std::to_string(cut));
    fs::resize_file(file, cut);
    const auto ended = calm_run(job, state);
    ASSERT_EQ(ended.status, 0) << ended.errors;
    const std::string inspected = audited(state, why);
    ASSERT_NE(inspected, "") << why;
    ASSERT_EQ(json_field(inspected, "digest_weights"), json_field(expected, "digest_weights"));
    fs::remove_all(state);
  }
}

}  // namespace
}  // namespace headrace::tests
