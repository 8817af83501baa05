#include "worker/events/event_tail.hpp"

#include "base/random.hpp"
#include "storage/segment_log.hpp"
#include "storage/temporary_folder.hpp"
#include "worker/events/event_reader.hpp"

#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <thread>

namespace headrace::worker {
namespace {

frame bytes_of(std::uint64_t number) {
  const std::array<std::uint64_t, 2> words{number, number * 3};
  return frame::copy_of(std::as_bytes(std::span(words)));
}

logged_events_ptr record(std::uint64_t position) {
  return std::make_shared<const logged_events>(
      logged_events{lsn{position}, 1'000 + position, bytes_of(position), {}});
}

bool is_record(const logged_events& found, std::uint64_t position) {
  const auto expected = record(position);
  return found.position == expected->position && found.arrived_ms == expected->arrived_ms &&
         std::ranges::equal(found.batch.bytes(), expected->batch.bytes());
}

storage::log_record logged(std::uint64_t position) {
  storage::log_record made;
  made.lsn = lsn{position};
  made.kind = storage::record_kind::events;
  made.stamp_ms = 1'000 + position;
  made.payload = bytes_of(position);
  return made;
}

// A log on disk and its tail, as an intake fills them.
class growing_log {
 public:
  explicit growing_log(std::size_t tail_bytes) : tail_(tail_bytes) {
    storage::segment_log::options how;
    how.folder = folder_.path();
    how.mode = schemas::log_mode::os;
    how.segment_bytes = 4'096;
    log_ = *storage::segment_log::open(how);
  }
  void grow() {
    const auto next = logged(++last_);
    log_->append(std::span(&next, 1), lsn{last_ - 1}, [](const storage::append_outcome& outcome) {
      ASSERT_EQ(outcome.state, storage::append_state::committed);
    });
    tail_.put(record(last_));
  }
  storage::segment_log& log() { return *log_; }
  event_tail& tail() { return tail_; }
  event_reader reader(std::uint64_t next) { return {*log_, tail_, lsn{next}}; }

 private:
  storage::temporary_folder folder_;
  std::unique_ptr<storage::segment_log> log_;
  event_tail tail_;
  std::uint64_t last_ = 0;
};

TEST(EventTail, GivesWhatItHoldsFromAnyPosition) {
  event_tail tail(std::size_t{1} << 20);
  for (std::uint64_t i = 5; i < 15; ++i) tail.put(record(i));
  std::vector<logged_events_ptr> found;
  EXPECT_EQ(tail.take(lsn{7}, 3, found), lsn{7});
  ASSERT_EQ(found.size(), 3U);
  EXPECT_TRUE(is_record(*found[0], 7));
  EXPECT_TRUE(is_record(*found[2], 9));
  EXPECT_EQ(tail.take(lsn{2}, 3, found), lsn{5}) << "the records before lie in the log";
  EXPECT_EQ(tail.take(lsn{15}, 3, found), lsn{15});
  EXPECT_EQ(found.size(), 3U);
}

TEST(EventTail, HoldsNoMoreThanItsBytes) {
  const std::size_t bytes = record(1)->bytes();
  event_tail tail(bytes * 4);
  for (std::uint64_t i = 1; i <= 100; ++i) tail.put(record(i));
  std::vector<logged_events_ptr> found;
  EXPECT_EQ(tail.take(lsn{1}, 100, found), lsn{97});
  EXPECT_EQ(tail.take(lsn{97}, 100, found), lsn{97});
  EXPECT_EQ(found.size(), 4U);
}

TEST(EventTail, WakesWhoeverWaits) {
  event_tail tail(1);
  int woken = 0;
  tail.on_put([&] { ++woken; });
  tail.put(record(1));
  tail.put(record(2));
  tail.on_put(nullptr);
  tail.put(record(3));
  EXPECT_EQ(woken, 2);
}

TEST(EventReader, ReadsEachRecordOnceFromLogAndTail) {
  random_stream random(20'261'127);
  growing_log made(record(1)->bytes() * 8);
  for (int i = 0; i < 50; ++i) made.grow();
  auto reader = made.reader(1);
  std::uint64_t expected = 1;
  std::uint64_t last = 50;
  while (expected <= 2'000) {
    for (auto more = random.next() % 20; more > 0 && last < 2'000; --more, ++last) made.grow();
    for (auto reads = random.next() % 20; reads > 0; --reads) {
      auto found = reader.next();
      ASSERT_TRUE(found) << describe(found.error());
      if (!*found) {
        ASSERT_EQ(expected, last + 1) << "it stopped before the end";
        break;
      }
      ASSERT_TRUE(is_record(**found, expected)) << "record " << expected;
      ++expected;
      ASSERT_EQ(reader.position(), lsn{expected});
    }
  }
}

TEST(EventReader, KeepsUpWithAnotherThread) {
  growing_log made(record(1)->bytes() * 4);
  std::atomic<bool> done = false;
  std::thread writer([&] {
    for (int i = 0; i < 5'000; ++i) made.grow();
    done = true;
  });
  auto reader = made.reader(1);
  std::uint64_t expected = 1;
  while (true) {
    const bool was_done = done;
    auto found = reader.next();
    ASSERT_TRUE(found) << describe(found.error());
    if (!*found && was_done) break;
    if (!*found) continue;
    ASSERT_TRUE(is_record(**found, expected));
    ++expected;
  }
  writer.join();
  EXPECT_EQ(expected, 5'001U);
}

TEST(EventReader, RefusesALogThatBeginsTooLate) {
  growing_log made(1);
  for (int i = 0; i < 500; ++i) made.grow();
  ASSERT_TRUE(made.log().truncate_before(lsn{400}));
  auto reader = made.reader(3);
  const auto found = reader.next();
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, errc::corrupt);
  EXPECT_NE(found.error().detail.find("record 3 was not joined yet"), std::string::npos)
      << found.error().detail;
}

TEST(EventReader, RefusesRecordsOfAnotherLog) {
  storage::log_record other;
  other.kind = storage::record_kind::sample;
  EXPECT_EQ(to_logged_events(other).error().code, errc::corrupt);
}

}  // namespace
}  // namespace headrace::worker
