#include "storage/ordered_log.hpp"

#include "base/check.hpp"
#include "storage/log_copy.hpp"
#include "storage/memory_log.hpp"
#include "storage/segment_log.hpp"
#include "storage/test_log_contract.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

/// The contract, run against memory and segments; brokers' logs: storage/engines/.
namespace headrace::storage {
namespace {

log_engine segments(const std::string& name, schemas::log_mode mode) {
  return {
      name,
      [mode](const std::filesystem::path& folder, const std::shared_ptr<memory_log::contents>&) {
        segment_log::options how;
        how.folder = folder;
        how.mode = mode;
        how.segment_bytes = 600;  // a few records a file
        how.buffer_bytes = 500;
        auto opened = segment_log::open(std::move(how));
        CHECK(opened.ok());
        return std::unique_ptr<ordered_log>(std::move(*opened));
      }};
}

INSTANTIATE_TEST_SUITE_P(
    Engines,
    OrderedLog,
    ::testing::Values(log_engine{"memory",
                                 [](const std::filesystem::path&,
                                    std::shared_ptr<memory_log::contents> disk) {
                                   return std::unique_ptr<ordered_log>(
                                       std::make_unique<memory_log>(std::move(disk)));
                                 }},
                      segments("segments_none", schemas::log_mode::none),
                      segments("segments_os", schemas::log_mode::os),
                      segments("segments_fsync", schemas::log_mode::fsync)),
    [](const auto& one) { return one.param.name; });

// What a copy that was cut short has, is gone on with.
TEST(AppendRest, GoesOnWhereTheCopyEndsAndRefusesAnother) {
  const auto log_of = [](std::uint64_t first, std::uint64_t last) {
    auto log = std::make_unique<memory_log>(std::make_shared<memory_log::contents>());
    for (auto at = first; at <= last; ++at) {
      const log_record record = record_at(at);
      log->append({&record, 1}, lsn{at - 1}, [](const append_outcome& outcome) {
        ASSERT_EQ(outcome.state, append_state::committed) << outcome.detail;
      });
    }
    return log;
  };
  const auto from = log_of(1, 9);
  ASSERT_TRUE(from->truncate_before(lsn{3}).ok());
  for (const std::uint64_t had : {2U, 3U, 5U, 9U, 12U}) {
    const auto into = log_of(1, had);
    ASSERT_TRUE(append_rest(*from, *into).ok()) << had;
    EXPECT_EQ(into->last().last, lsn{std::max<std::uint64_t>(had, 9)});
    std::uint64_t seen = 0;
    const auto read = into->read_from(lsn{1}, [&](const log_record& record) {
      EXPECT_EQ(text_of(record.payload), text_of(record_at(++seen).payload));
      return true;
    });
    EXPECT_TRUE(read.ok());
  }
  EXPECT_EQ(append_rest(*from, *log_of(1, 1)).error().code, errc::corrupt) << "record 2 is missing";
  const auto other = log_of(1, 4);
  log_record changed = record_at(5);
  changed.payload = text_frame("other");
  other->append({&changed, 1}, lsn{4}, [](const append_outcome&) {});
  EXPECT_EQ(append_rest(*from, *other).error().code, errc::corrupt);
  const auto full = log_of(1, 4);
  full->next(memory_log::fate::refuse, errc::disk_full);
  EXPECT_EQ(append_rest(*from, *full).error().code, errc::disk_full);
  EXPECT_TRUE(append_rest(*from, *full).ok());
  EXPECT_EQ(full->last().last, lsn{9});
}

// The programmable outcomes that tests of shards and the simulator rely on.

class MemoryLog : public ::testing::Test {
 protected:
  void append(std::uint64_t at) {
    const auto record = record_at(at);
    log_->append(std::span(&record, 1), lsn{at - 1}, [this](const append_outcome& outcome) {
      states_.push_back(outcome.state);
    });
  }
  void restart() { log_ = std::make_unique<memory_log>(log_->disk()); }
  std::unique_ptr<memory_log> log_ = std::make_unique<memory_log>();
  std::vector<append_state> states_;
};

using enum append_state;
using fate = memory_log::fate;
using states = std::vector<append_state>;

TEST_F(MemoryLog, RefusesByPlanAndWhatRodeOnItThenAcceptsAgain) {
  log_->hold(true);
  log_->next(fate::commit);
  log_->next(fate::refuse);
  for (std::uint64_t at = 1; at <= 4; ++at) append(at);
  EXPECT_EQ(log_->last().last, lsn{0});
  EXPECT_TRUE(states_.empty());
  log_->deliver(2);
  EXPECT_EQ(states_, (states{committed, refused}));
  log_->deliver();
  EXPECT_EQ(states_, (states{committed, refused, refused, refused}));
  log_->hold(false);
  append(2);
  EXPECT_EQ(states_.back(), committed);
  EXPECT_EQ(log_->last().last, lsn{2});
}

TEST_F(MemoryLog, UnknownMayOrMayNotBeThereAndEndsTheLog) {
  for (const auto what : {fate::unknown_present, fate::unknown_absent}) {
    SCOPED_TRACE(what == fate::unknown_present);
    const auto before = log_->last().last.value;
    log_->next(what, errc::io_error);
    append(before + 1);
    EXPECT_EQ(states_.back(), unknown);
    append(before + 2);
    EXPECT_EQ(states_.back(), refused);
    restart();
    EXPECT_EQ(log_->last().last.value, before + (what == fate::unknown_present ? 1 : 0));
  }
}

TEST_F(MemoryLog, CrashKeepsAPrefixAndTellsNobody) {
  log_->hold(true);
  for (std::uint64_t at = 1; at <= 5; ++at) append(at);
  log_->crash(3);
  EXPECT_TRUE(states_.empty());
  restart();
  EXPECT_EQ(log_->last().last, lsn{3});
  append(4);
  EXPECT_EQ(states_, states{committed});
}

}  // namespace
}  // namespace headrace::storage
