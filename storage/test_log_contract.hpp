#pragma once

#include "storage/memory_log.hpp"
#include "storage/ordered_log.hpp"
#include "storage/temporary_folder.hpp"
#include "storage/test_log_records.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

/// The contract of ordered_log, for every engine and mode: a test instantiates it for its own.
namespace headrace::storage {

// Outcomes as they come, from whichever thread; a test waits for a count of them.
class outcome_list {
 public:
  ordered_log::on_outcome collect(std::uint64_t tag) {
    return [this, tag](const append_outcome& outcome) {
      const std::lock_guard lock(mutex_);
      all_.emplace_back(tag, outcome);
      more_.notify_all();
    };
  }
  std::vector<std::pair<std::uint64_t, append_outcome>> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    EXPECT_TRUE(
        more_.wait_for(lock, std::chrono::seconds(30), [&] { return all_.size() >= count; }));
    return all_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable more_;
  std::vector<std::pair<std::uint64_t, append_outcome>> all_;
};

struct log_engine {
  std::string name;
  // Opens the log over what `folder` and `disk` hold.
  std::function<std::unique_ptr<ordered_log>(const std::filesystem::path&,
                                             std::shared_ptr<memory_log::contents>)>
      open;
  std::function<bool()> is_there = nullptr;  // what it needs; none: nothing
  const char* keeps_all = nullptr;           // why it forgets nothing
};

class OrderedLog : public ::testing::TestWithParam<log_engine> {
 protected:
  void SetUp() override {
    if (GetParam().is_there && !GetParam().is_there())
      GTEST_SKIP() << "its server is not installed";
  }
  void open() { log_ = GetParam().open(folder_.path(), disk_); }
  void reopen() {
    if (log_) {
      EXPECT_TRUE(log_->close().ok());
    }
    log_.reset();
    open();
  }
  append_outcome append(std::uint64_t first, std::uint64_t last, std::uint64_t expected) {
    std::vector<log_record> group;
    for (std::uint64_t at = first; at <= last; ++at) group.push_back(record_at(at));
    outcome_list outcomes;
    log_->append(group, lsn{expected}, outcomes.collect(first));
    return outcomes.wait_for(1).at(0).second;
  }
  // Positions read, after checking that each record is what was appended there.
  std::vector<std::uint64_t> read(std::uint64_t from, std::size_t max = SIZE_MAX) {
    std::vector<std::uint64_t> seen;
    auto done = log_->read_from(lsn{from}, [&](const log_record& record) {
      const auto same = record_at(record.lsn.value);
      EXPECT_EQ(record.epoch, same.epoch);
      EXPECT_EQ(record.stamp_ms, same.stamp_ms);
      EXPECT_EQ(record.schema_version, same.schema_version);
      EXPECT_EQ(record.kind, same.kind);
      EXPECT_EQ(record.reason, same.reason);
      EXPECT_EQ(text_of(record.decisions), text_of(same.decisions));
      EXPECT_EQ(text_of(record.payload), text_of(same.payload));
      EXPECT_TRUE(frame::is_aligned(record.payload.bytes()));
      seen.push_back(record.lsn.value);
      return seen.size() < max;
    });
    EXPECT_TRUE(done.ok()) << describe(done.error());
    return seen;
  }

  temporary_folder folder_;
  std::shared_ptr<memory_log::contents> disk_ = std::make_shared<memory_log::contents>();
  std::unique_ptr<ordered_log> log_;
};

TEST_P(OrderedLog, BeginsEmptyAndStaysSo) {
  open();
  EXPECT_EQ(log_->last().first, lsn{0});
  EXPECT_EQ(log_->last().last, lsn{0});
  EXPECT_TRUE(read(0).empty());
  reopen();
  EXPECT_EQ(log_->last().last, lsn{0});
}

TEST_P(OrderedLog, GivesBackWhatWasAppendedFromAnyPosition) {
  open();
  EXPECT_EQ(append(1, 1, 0).state, append_state::committed);
  EXPECT_EQ(append(2, 9, 1).state, append_state::committed);
  for (std::uint64_t at = 10; at <= 60; ++at)
    EXPECT_EQ(append(at, at, at - 1).state, append_state::committed);
  EXPECT_EQ(log_->last().first, lsn{1});
  EXPECT_EQ(log_->last().last, lsn{60});
  for (std::uint64_t from = 0; from <= 62; ++from) {
    EXPECT_EQ(read(from), range(std::max<std::uint64_t>(from, 1), 60)) << from;
  }
  EXPECT_EQ(read(17, 3), range(17, 19));
  reopen();
  EXPECT_EQ(read(1), range(1, 60));
  EXPECT_EQ(append(61, 61, 60).state, append_state::committed);
  EXPECT_EQ(read(60), range(60, 61));
}

TEST_P(OrderedLog, RefusesAnotherPositionThanTheNextOne) {
  open();
  append(1, 3, 0);
  for (const std::uint64_t expected : {0, 2, 4, 100}) {
    const auto outcome = append(expected + 1, expected + 1, expected);
    EXPECT_EQ(outcome.state, append_state::refused) << expected;
    EXPECT_EQ(outcome.code, errc::in_use);
    EXPECT_FALSE(outcome.detail.empty());
  }
  EXPECT_EQ(append(4, 4, 3).state, append_state::committed);
  EXPECT_EQ(read(1), range(1, 4));
}

TEST_P(OrderedLog, ReportsPipelinedAppendsOnceEachAndInOrder) {
  open();
  constexpr std::size_t count = 200;
  outcome_list outcomes;
  for (std::uint64_t at = 1; at <= count; ++at) {
    const auto record = record_at(at);
    log_->append(std::span(&record, 1), lsn{at - 1}, outcomes.collect(at));
  }
  const auto all = outcomes.wait_for(count);
  ASSERT_EQ(all.size(), count);
  for (std::size_t i = 0; i < count; ++i) {
    EXPECT_EQ(all[i].first, i + 1);
    EXPECT_EQ(all[i].second.state, append_state::committed);
  }
  EXPECT_EQ(read(1), range(1, count));
  EXPECT_EQ(outcomes.wait_for(count).size(), count);
}

TEST_P(OrderedLog, CommitsWhatIsInFlightWhenItCloses) {
  open();
  outcome_list outcomes;
  for (std::uint64_t at = 1; at <= 50; ++at) {
    const auto record = record_at(at);
    log_->append(std::span(&record, 1), lsn{at - 1}, outcomes.collect(at));
  }
  EXPECT_TRUE(log_->close().ok());
  EXPECT_TRUE(log_->close().ok());
  EXPECT_EQ(outcomes.wait_for(50).size(), 50U);
  const auto late = append(51, 51, 50);
  EXPECT_EQ(late.state, append_state::refused);
  EXPECT_EQ(late.code, errc::unavailable);
  reopen();
  EXPECT_EQ(read(1), range(1, 50));
}

TEST_P(OrderedLog, ForgetsOnlyBelowThePositionToKeep) {
  if (GetParam().keeps_all != nullptr) GTEST_SKIP() << GetParam().keeps_all;
  open();
  append(1, 1, 0);
  for (std::uint64_t at = 2; at <= 80; ++at) append(at, at, at - 1);
  read(80);  // mode `none`: written
  ASSERT_TRUE(log_->truncate_before(lsn{1}).ok());
  EXPECT_EQ(log_->last().first, lsn{1});
  ASSERT_TRUE(log_->truncate_before(lsn{41}).ok());
  const auto first = log_->last().first;
  EXPECT_GT(first, lsn{20});
  EXPECT_LE(first, lsn{41});
  EXPECT_EQ(read(0), range(first.value, 80));
  EXPECT_EQ(append(81, 81, 80).state, append_state::committed);
  reopen();
  EXPECT_EQ(log_->last().first, first);
  EXPECT_EQ(read(41), range(41, 81));
  ASSERT_TRUE(log_->truncate_before(lsn{1'000}).ok());
  EXPECT_EQ(log_->last().last, lsn{81});  // the position is never forgotten
  reopen();
  EXPECT_EQ(log_->last().last, lsn{81});
  EXPECT_EQ(append(82, 82, 81).state, append_state::committed);
}

TEST_P(OrderedLog, KeepsFramesAliveAfterTheVisit) {
  open();
  for (std::uint64_t at = 1; at <= 30; ++at) append(at, at, at - 1);
  std::vector<log_record> kept;
  ASSERT_TRUE(log_->read_from(lsn{1},
                              [&](const log_record& record) {
                                kept.push_back(record);
                                return true;
                              })
                  .ok());
  ASSERT_TRUE(log_->close().ok());
  log_.reset();
  ASSERT_EQ(kept.size(), 30U);
  for (const auto& record : kept)
    EXPECT_EQ(text_of(record.payload), text_of(record_at(record.lsn.value).payload));
}

}  // namespace headrace::storage
