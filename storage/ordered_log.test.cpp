#include "storage/ordered_log.hpp"

#include "base/check.hpp"
#include "storage/memory_log.hpp"
#include "storage/segment_log.hpp"
#include "storage/test_log_contract.hpp"

#include <gtest/gtest.h>

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
