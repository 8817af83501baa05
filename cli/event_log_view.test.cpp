#include "cli/event_log_view.hpp"

#include "base/check.hpp"
#include "cli/replay_output.hpp"
#include "storage/job_folder.hpp"
#include "storage/segment_log.hpp"
#include "storage/temporary_folder.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace headrace::cli {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

/// A state folder with the event log of a source, written as the intake does.
class EventLogView : public ::testing::Test {
 protected:
  void SetUp() override { open_log("clicks"); }
  void open_log(const std::string& source) {
    if (!job_) {
      auto job = storage::job_folder::open(
          folder_.path() / "state", {"live", 7}, storage::job_role::worker);
      CHECK(job.ok());
      job_ = std::move(*job);
    }
    storage::segment_log::options how;
    how.folder = job_->event_log(source);
    how.mode = schemas::log_mode::os;
    how.segment_bytes = 4'096;
    auto log = storage::segment_log::open(std::move(how));
    CHECK(log.ok());
    log_ = std::move(*log);
  }
  /// A record of `events` events that arrived at `ms`; every third is left out where `some`.
  void add(std::uint64_t ms, std::size_t events, bool some = false, bool with_id = true) {
    const std::uint64_t position = log_->last().last.value + 1;
    schemas::event_batch_builder builder;
    builder.begin("shop");
    std::vector<std::byte> bits(some ? (events + 7) / 8 : 0);
    for (std::size_t i = 0; i < events; ++i) {
      const std::string id = std::to_string(position) + "/" + std::to_string(i);
      builder.event(with_id ? id : "", "k", ms - 1);
      builder.text(builder.name("user"), "u");
      if (some && i % 3 == 0) bits[i / 8] |= std::byte{1} << (i % 8);
    }
    storage::log_record record;
    record.lsn = lsn{position};
    record.stamp_ms = ms;
    record.kind = storage::record_kind::events;
    record.decisions = bits.empty() ? frame() : frame::copy_of(bits);
    record.payload = events == 0 ? frame() : builder.finish();
    log_->append(std::span(&record, 1), lsn{position - 1}, [](const auto& outcome) {
      CHECK(outcome.state == storage::append_state::committed);
    });
  }
  event_log_view view(const std::string& source = "") const {
    auto made = event_log_view::open(folder_.path() / "state", source);
    EXPECT_TRUE(made.ok()) << (made.ok() ? "" : describe(made.error()));
    CHECK(made.ok());
    return std::move(*made);
  }
  static std::vector<std::string> ids(event_log_view& log) {
    std::vector<std::string> all;
    auto read = log.read([&](const event_log_view::record& record) -> result<bool> {
      for (std::size_t i = 0; i < record.batch->events.size(); ++i) {
        if (record.has(i)) all.push_back(record.id_of(i));
      }
      return true;
    });
    EXPECT_TRUE(read.ok()) << describe(read.error());
    return all;
  }

  storage::temporary_folder folder_;
  std::unique_ptr<storage::job_folder> job_;
  std::unique_ptr<storage::segment_log> log_;
};

TEST_F(EventLogView, ShowsWhatWasTakenAsItComes) {
  auto log = view();
  EXPECT_THAT(ids(log), IsEmpty());
  add(100, 2);
  add(110, 0);  // only the time went on
  add(120, 5, true);
  EXPECT_THAT(ids(log), ElementsAre("1/0", "1/1", "3/1", "3/2", "3/4"));
  EXPECT_THAT(ids(log), IsEmpty());
  add(130, 1);
  EXPECT_THAT(ids(log), ElementsAre("4/0"));
}

TEST_F(EventLogView, APointIsARecordOrATime) {
  for (std::uint64_t i = 0; i < 20; ++i) add(1'764'151'200'000 + i * 1'000, 1);
  const auto log = view();
  EXPECT_EQ(*log.point("7", "--from", 0), lsn{7});
  EXPECT_EQ(*log.point("2025-11-26T10:00:05Z", "--from", 0), lsn{6});
  EXPECT_EQ(*log.point("2025-11-26T09:00:00Z", "--from", 0), lsn{1});
  EXPECT_EQ(*log.point("2s", "--from", 1'764'151'200'000 + 19'000), lsn{18});
  EXPECT_EQ(*log.point("2026-01-01T00:00:00Z", "--from", 0), lsn{21});
  const auto wrong = log.point("soon", "--from", 0);
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, errc::bad_config);
  EXPECT_THAT(wrong.error().detail, HasSubstr("--from"));
}

TEST_F(EventLogView, FindsTheNewestEvents) {
  for (std::uint64_t i = 0; i < 300; ++i) add(1'000 + i, 1 + i % 3, i % 2 == 0);
  auto all = view();
  const auto every = ids(all);
  for (const std::size_t count :
       {0UL, 1UL, 2UL, 3UL, 50UL, 200UL, every.size(), every.size() + 1}) {
    auto log = view();
    const auto begin = log.newest(count);
    ASSERT_TRUE(begin.ok());
    ASSERT_TRUE(log.begin_at(begin->from).ok());
    auto newest = ids(log);
    newest.erase(newest.begin(), newest.begin() + static_cast<std::ptrdiff_t>(begin->skip));
    EXPECT_EQ(newest,
              std::vector(every.end() - static_cast<std::ptrdiff_t>(std::min(count, every.size())),
                          every.end()))
        << count;
  }
}

TEST_F(EventLogView, SaysWhatRetentionTook) {
  for (std::uint64_t i = 0; i < 100; ++i) add(1'000 + i, 1);
  ASSERT_TRUE(log_->truncate_before(lsn{60}).ok());
  const std::uint64_t oldest = log_->last().first.value;
  ASSERT_GT(oldest, 10U);
  const auto passed = [](event_log_view& log) {
    std::uint64_t sum = 0;
    auto read = log.read([&](const event_log_view::record& record) -> result<bool> {
      sum += record.passed_over;
      return true;
    });
    EXPECT_TRUE(read.ok());
    return sum;
  };
  auto whole = view();
  EXPECT_EQ(passed(whole), 0U) << "nobody asked for what is gone";
  auto asked = view();
  ASSERT_TRUE(asked.begin_at(lsn{10}).ok());
  EXPECT_EQ(passed(asked), oldest - 10);
}

// So that what is replayed twice is known by its id.
TEST_F(EventLogView, AnEventWithoutAnIdHasTheSameOneEachTime) {
  for (int i = 0; i < 5; ++i) add(1'764'151'200'000, 3, false, false);
  auto once = view();
  auto again = view();
  const auto first = ids(once);
  EXPECT_EQ(first, ids(again));
  EXPECT_EQ(std::set(first.begin(), first.end()).size(), 15U);
  for (const std::string& id : first) EXPECT_LE(id.size(), schemas::event_id_bytes_max);
  open_log("other");
  for (int i = 0; i < 5; ++i) add(1'764'151'200'000, 3, false, false);
  auto other = view("other");
  for (const std::string& id : ids(other))
    EXPECT_EQ(std::ranges::count(first, id), 0) << "it is another log's";
}

TEST_F(EventLogView, AsksWhichOfSeveralLogs) {
  add(1'000, 1);
  open_log("other");
  const auto both = event_log_view::open(folder_.path() / "state", "");
  ASSERT_FALSE(both.ok());
  EXPECT_EQ(both.error().code, errc::bad_config);
  EXPECT_THAT(both.error().detail, HasSubstr("clicks, other"));
  auto one = view("clicks");
  EXPECT_THAT(ids(one), ElementsAre("1/0"));
  const auto absent = event_log_view::open(folder_.path() / "state", "views");
  ASSERT_FALSE(absent.ok());
  EXPECT_EQ(absent.error().code, errc::not_found);
  const auto no_job = event_log_view::open(folder_.path() / "nothing", "");
  ASSERT_FALSE(no_job.ok());
  EXPECT_EQ(no_job.error().code, errc::not_found);
}

TEST(ReplayOutput, SaysWhatItTakes) {
  const auto wrong = open_replay_output(
      {.uri = "ftp://x", .token = "", .producer = "", .wait = [](auto) { return false; }});
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, errc::bad_config);
  EXPECT_THAT(wrong.error().detail, HasSubstr("--to 'ftp://x'"));
}

}  // namespace
}  // namespace headrace::cli
