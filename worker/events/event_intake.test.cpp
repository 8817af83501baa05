#include "worker/events/event_intake.hpp"

#include "base/random.hpp"
#include "storage/memory_log.hpp"
#include "tests/support/allocation_count.hpp"
#include "worker/events/test_streams.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <map>
#include <mutex>
#include <new>
#include <thread>
#include <utility>

namespace headrace::worker {
namespace {

using storage::memory_log;

std::shared_ptr<event_intake> intake_of(std::unique_ptr<storage::ordered_log> log,
                                        const clock& time,
                                        const event_intake::settings& how = {},
                                        const event_intake::read_state& read = {}) {
  auto opened = event_intake::open(std::move(log), schema(), how, read, time);
  EXPECT_TRUE(opened) << describe(opened.error());
  return std::move(*opened);
}

/// Moves only when told to, while others look.
class moved_clock final : public clock {
 public:
  std::uint64_t now_ms() const override { return ms_; }
  std::uint64_t steady_ns() const override { return ms_ * 1'000'000; }
  void advance_ms(std::uint64_t by) { ms_ += by; }

 private:
  std::atomic<std::uint64_t> ms_ = 10'000;
};

// Until `holds`; for ever where it never does, which the test's limit ends.
void wait_until(const std::function<bool()>& holds) {
  while (!holds()) std::this_thread::yield();
}

TEST(EventIntake, StampsNoRecordEarlierThanTheCutThoughTheClockWentBack) {
  const manual_clock time;
  const std::uint64_t ahead = time.now_ms() + 3'600'000;
  const auto disk = std::make_shared<memory_log::contents>();
  disk->first = lsn{8};  // all before it was given up
  const auto intake = intake_of(std::make_unique<memory_log>(disk), time, {}, {lsn{7}, {}, ahead});
  ASSERT_EQ(push(*intake, batch_of().impression("1", 1)).accepted, 1U);
  ASSERT_TRUE(intake->stop());
  ASSERT_EQ(disk->records.size(), 1U);
  EXPECT_EQ(disk->records[0].stamp_ms, ahead);
}

/// Counts the records that are read.
class counted_log final : public storage::ordered_log {
 public:
  explicit counted_log(std::shared_ptr<memory_log::contents> disk) : log_(std::move(disk)) {}
  void append(std::span<const storage::log_record> group, lsn expected, on_outcome done) override {
    log_.append(group, expected, std::move(done));
  }
  result<void> read_from(lsn from, const visitor& visit) override {
    return log_.read_from(from, [&](const storage::log_record& record) {
      ++visits;
      return visit(record);
    });
  }
  result<void> truncate_before(lsn keep_from) override { return log_.truncate_before(keep_from); }
  extent last() const override { return log_.last(); }
  result<void> close() override { return log_.close(); }

  std::uint64_t visits = 0;

 private:
  memory_log log_;
};

/// A log in memory that fails as it is told meanwhile.
class moody_log final : public storage::ordered_log {
 public:
  enum mood_kind { commits, refuses, loses, throws, waits };
  void append(std::span<const storage::log_record> group, lsn expected, on_outcome done) override {
    if (mood == throws) throw std::bad_alloc();
    if (mood == refuses) ++refused;
    if (mood == refuses) log_.next(memory_log::fate::refuse);
    if (mood == loses) log_.next(memory_log::fate::unknown_absent, errc::io_error);
    log_.hold(mood == waits);
    log_.append(group, expected, std::move(done));
    last_ = log_.last().last.value;
  }
  result<void> read_from(lsn from, const visitor& visit) override {
    return log_.read_from(from, visit);
  }
  result<void> truncate_before(lsn keep_from) override { return log_.truncate_before(keep_from); }
  extent last() const override { return {lsn{last_ > 0 ? 1U : 0U}, lsn{last_}}; }
  result<void> close() override { return log_.close(); }
  /// What waits, while the intake appends nothing.
  void end_what_waits(memory_log::fate how) {
    log_.next(how);
    log_.deliver();
  }

  std::atomic<mood_kind> mood = commits;
  std::atomic<std::uint64_t> refused = 0;

 private:
  memory_log log_;
  std::atomic<std::uint64_t> last_ = 0;
};

// A log of `records` of one event each, of three partitions in turn.
std::shared_ptr<memory_log::contents> log_of(std::uint64_t records) {
  auto disk = std::make_shared<memory_log::contents>();
  for (std::uint64_t at = 1; at <= records; ++at) {
    storage::log_record record;
    record.lsn = lsn{at};
    record.stamp_ms = at;
    record.kind = storage::record_kind::events;
    record.payload =
        batch_of().impression(std::to_string(at), at).from("p" + std::to_string(at % 3), at);
    disk->records.push_back(std::move(record));
  }
  return disk;
}

TEST(EventIntake, ReadsEachRecordOnceWhenItIsOpened) {
  const manual_clock time;
  auto log = std::make_unique<counted_log>(log_of(1'000));
  const counted_log& counted = *log;
  const auto intake = intake_of(std::move(log), time, {}, {lsn{400}, {{"p0", 399}, {"gone", 5}}});
  EXPECT_EQ(counted.visits, 1'000U);
  EXPECT_EQ(intake->partitions(),
            (partition_ends{{"gone", 5}, {"p0", 999}, {"p1", 1'000}, {"p2", 998}}));
}

TEST(EventIntake, KnowsTheNewestIdsAndPartitionsOfALongLogAgain) {
  const manual_clock time;
  event_intake::settings how;
  how.gate.duplicate_ids = 6'000;
  auto log = std::make_unique<counted_log>(log_of(20'000));
  const counted_log& counted = *log;
  const auto intake = intake_of(std::move(log), time, how, {lsn{19'999}, {{"p0", 7}, {"p1", 8}}});
  EXPECT_LT(counted.visits, 10'000U);
  EXPECT_EQ(intake->partitions(), (partition_ends{{"p0", 7}, {"p1", 8}, {"p2", 20'000}}));
  EXPECT_EQ(push(*intake, batch_of().impression("20000", 1)).duplicates, 1U);
  EXPECT_EQ(push(*intake, batch_of().impression("14001", 1)).duplicates, 1U);
  EXPECT_EQ(push(*intake, batch_of().impression("14000", 1)).accepted, 1U);
}

TEST(EventIntake, CountsWhatIsBehindTheCutAsUnread) {
  const manual_clock time;
  event_intake::settings how;
  how.gate.duplicate_ids = 0;
  const auto disk = log_of(10'000);
  const auto all = intake_of(std::make_unique<memory_log>(disk), time, how)->count().unread_bytes;
  const auto intake = intake_of(std::make_unique<memory_log>(disk), time, how, {lsn{5'000}});
  EXPECT_GT(intake->count().unread_bytes, all / 3);
  EXPECT_LT(intake->count().unread_bytes, all * 2 / 3);
  EXPECT_GT(all, 10'000 * sizeof(logged_events));
}

// Fails as it is told, and works again.
TEST(EventIntake, CountsNoTickThatTheLogRefusedAsABatchNorItsTimeAsGone) {
  moved_clock time;
  event_intake::settings how;
  how.idle_ms = 1'000;
  how.tick_ms = 1;
  auto log = std::make_unique<moody_log>();
  moody_log& disk = *log;
  const auto intake = intake_of(std::move(log), time, how);
  ASSERT_EQ(push(*intake, batch_of().impression("1", 1)).accepted, 1U);
  disk.mood = moody_log::refuses;
  time.advance_ms(600);
  wait_until([&] { return disk.refused >= 3; });
  time.advance_ms(600);
  wait_until([&] { return disk.refused >= 6; });
  EXPECT_EQ(intake->count().failed, 0U);
  disk.mood = moody_log::commits;
  const std::uint64_t before = intake->log().last().last.value;
  wait_until([&] { return intake->log().last().last.value > before; });
  EXPECT_EQ(intake->count().failed, 0U) << "nobody was told to come again";
}

TEST(EventIntake, SaysThatTheLogRefusesUntilTheLogTakesSomething) {
  const manual_clock time;
  auto log = std::make_unique<moody_log>();
  moody_log& disk = *log;
  const auto intake = intake_of(std::move(log), time);
  ASSERT_EQ(push(*intake, batch_of().impression("1", 1)).accepted, 1U);
  disk.mood = moody_log::refuses;
  ASSERT_EQ(push(*intake, batch_of().impression("2", 1)).status, errc::disk_full);
  EXPECT_EQ(push(*intake, batch_of().impression("1", 1)).duplicates, 1U);
  EXPECT_TRUE(intake->refused()) << "of duplicates the log hears nothing";
  disk.mood = moody_log::commits;
  EXPECT_EQ(push(*intake, batch_of().impression("2", 1)).accepted, 1U);
  EXPECT_FALSE(intake->refused());
}

// An event, and itself again behind it, while the log ends the first so.
std::shared_ptr<event_intake> push_twice(memory_log::fate how,
                                         const clock& time,
                                         std::array<schemas::event_ack, 2>& acks) {
  auto log = std::make_unique<moody_log>();
  moody_log& disk = *log;
  disk.mood = moody_log::waits;
  auto intake = intake_of(std::move(log), time);
  std::array<std::promise<schemas::event_ack>, 2> answers;
  for (std::size_t i = 0; i < answers.size(); ++i) {
    event_intake::request asked;
    asked.batch = batch_of().impression("1", 1);
    asked.done = [&answer = answers[i]](schemas::event_ack ack) {
      answer.set_value(std::move(ack));
    };
    intake->offer(std::move(asked));
    wait_until([&] { return intake->count().batches == i + 1; });
  }
  disk.end_what_waits(how);
  for (std::size_t i = 0; i < answers.size(); ++i) acks[i] = answers[i].get_future().get();
  return intake;
}

TEST(EventIntake, DuplicatesOfWhatTheLogRefusesAreRefusedForItsReason) {
  const manual_clock time;
  std::array<schemas::event_ack, 2> acks;
  const auto intake = push_twice(memory_log::fate::refuse, time, acks);
  for (const auto& ack : acks) {
    EXPECT_EQ(ack.status, errc::disk_full);
    EXPECT_EQ(ack.detail, "the event log: refused by plan");
  }
  ASSERT_TRUE(intake->refused());
  EXPECT_EQ(intake->refused()->why.code, errc::disk_full);
  EXPECT_EQ(intake->refused()->why.detail, "the event log: refused by plan");
}

TEST(EventIntake, DuplicatesOfWhatMayBeLostAreAnsweredAsThat) {
  const manual_clock time;
  std::array<schemas::event_ack, 2> acks;
  const auto intake = push_twice(memory_log::fate::unknown_absent, time, acks);
  for (const auto& ack : acks) EXPECT_EQ(ack.status, errc::io_error) << ack.detail;
  EXPECT_TRUE(intake->broken());
  EXPECT_FALSE(intake->refused());
  EXPECT_TRUE(intake->stop());
}

TEST(EventIntake, SaysThatItIsBrokenAfterAnUnknownOutcome) {
  const manual_clock time;
  auto log = std::make_unique<moody_log>();
  log->mood = moody_log::loses;
  const auto intake = intake_of(std::move(log), time);
  std::promise<error> told;
  intake->on_broken([&](const error& why) { told.set_value(why); });
  EXPECT_FALSE(intake->broken());
  EXPECT_EQ(push(*intake, batch_of().impression("1", 1)).status, errc::io_error);
  const error why = told.get_future().get();
  EXPECT_EQ(why.code, errc::io_error);
  EXPECT_NE(why.detail.find("restart"), std::string::npos) << why.detail;
  ASSERT_TRUE(intake->broken());
  EXPECT_EQ(push(*intake, batch_of().impression("2", 1)).status, errc::io_error);
  bool again = false;
  intake->on_broken([&](const error&) { again = true; });
  EXPECT_TRUE(again) << "who asks later is told at once";
  EXPECT_TRUE(intake->stop());
}

TEST(EventIntake, ABatchWithoutMemoryIsToldToComeAgainAndTheNextIsTaken) {
  if (!tests::allocation_limit::works()) GTEST_SKIP() << "the sanitizer's own operator new";
  const manual_clock time;
  const auto intake = intake_of(std::make_unique<memory_log>(), time);
  batch_of large;
  for (int i = 0; i < 60'000; ++i) large.impression(std::to_string(i), 1);
  const frame batch = large;
  schemas::event_ack ack;
  {
    const tests::allocation_limit limit(std::size_t{1} << 20);
    ack = push(*intake, batch);
  }
  EXPECT_EQ(ack.status, errc::overloaded) << ack.detail;
  EXPECT_GT(ack.retry_after_ms, 0U);
  EXPECT_FALSE(intake->broken());
  EXPECT_EQ(push(*intake, batch).accepted, 60'000U) << "an id of what was not taken is known";
}

TEST(EventIntake, AnExceptionOfTheLogBreaksItAndAnswersEveryBatch) {
  const manual_clock time;
  auto log = std::make_unique<moody_log>();
  log->mood = moody_log::throws;
  const auto intake = intake_of(std::move(log), time);
  EXPECT_EQ(push(*intake, batch_of().impression("1", 1)).status, errc::io_error);
  ASSERT_TRUE(intake->broken());
  EXPECT_EQ(push(*intake, batch_of().impression("2", 1)).status, errc::io_error);
}

/// A log in memory whose outcomes come late, from a thread of its own: drawn from a seed, one in
/// eight appends is refused, and with it those behind it, and one in a hundred ends unknown.
class flaky_log final : public storage::ordered_log {
 public:
  flaky_log(std::shared_ptr<memory_log::contents> disk, std::uint64_t seed, bool calm)
      : log_(std::move(disk)), random_(seed), calm_(calm) {
    log_.hold(true);
    thread_ = std::thread([this] { settle(); });
  }
  ~flaky_log() override { static_cast<void>(close()); }

  void append(std::span<const storage::log_record> group, lsn expected, on_outcome done) override {
    const std::lock_guard lock(mutex_);
    log_.append(group, expected, std::move(done));
    came_.notify_one();
  }
  result<void> read_from(lsn from, const visitor& visit) override {
    const std::lock_guard lock(mutex_);
    return log_.read_from(from, visit);
  }
  result<void> truncate_before(lsn keep_from) override {
    const std::lock_guard lock(mutex_);
    return log_.truncate_before(keep_from);
  }
  extent last() const override {
    const std::lock_guard lock(mutex_);
    return log_.last();
  }
  result<void> close() override {
    {
      const std::lock_guard lock(mutex_);
      closed_ = true;
    }
    came_.notify_one();
    if (thread_.joinable()) thread_.join();
    return log_.close();
  }

 private:
  void settle() {
    while (true) {
      std::unique_lock lock(mutex_);
      came_.wait(lock, [this] { return closed_ || log_.held() > 0; });
      if (log_.held() == 0) return;
      for (auto turns = random_.next_below(8); turns > 0; --turns) {
        lock.unlock();
        std::this_thread::yield();  // more may come behind it
        lock.lock();
      }
      const auto drawn = calm_ ? 99 : random_.next_below(100);
      if (drawn < 1) {
        const bool present = random_.next_below(2) == 0;
        log_.next(present ? memory_log::fate::unknown_present : memory_log::fate::unknown_absent,
                  errc::io_error);
      } else {
        log_.next(drawn < 13 ? memory_log::fate::refuse : memory_log::fate::commit);
      }
      log_.deliver(1);
    }
  }

  mutable std::mutex mutex_;  // guards what follows; held for `done`, which hands over
  std::condition_variable came_;
  memory_log log_;
  random_stream random_;
  bool calm_;
  bool closed_ = false;
  std::thread thread_;
};

constexpr std::uint64_t producers = 3;  // the first is a broker's partition
constexpr std::uint64_t batches_each = 60;

std::string id_of(std::uint64_t producer, std::uint64_t batch, std::uint64_t event) {
  return std::to_string(producer) + "-" + std::to_string(batch) + "-" + std::to_string(event);
}

std::uint64_t events_of(std::uint64_t batch) { return 1 + batch % 4; }

schemas::event_ack push_batch(event_intake& intake, std::uint64_t producer, std::uint64_t batch) {
  batch_of made("producer" + std::to_string(producer));
  for (std::uint64_t e = 0; e < events_of(batch); ++e)
    made.impression(id_of(producer, batch, e), 1);
  if (producer == 0) made.from("p", batch + 1);
  return push(intake, made, producer == 0);
}

// Sends its batches in order, each until it is taken and some of them again, until it is through or
// the intake is broken. Returns how many were acknowledged.
std::uint64_t produce(event_intake& intake,
                      std::uint64_t producer,
                      std::uint64_t begin,
                      std::uint64_t seed) {
  random_stream random(seed);
  std::uint64_t next = begin;
  while (next < batches_each && !intake.broken()) {
    const bool again = producer != 0 && next > 0 && random.next_below(5) == 0;
    const std::uint64_t batch = again ? random.next_below(next) : next;
    const schemas::event_ack ack = push_batch(intake, producer, batch);
    if (ack.status != errc::ok) continue;
    EXPECT_EQ(ack.accepted + ack.duplicates, events_of(batch)) << ack.detail;
    if (again) {
      EXPECT_EQ(ack.accepted, 0U) << "what was acknowledged is not known";
    }
    next += again ? 0 : 1;
  }
  return next;
}

// How often each id was let in.
std::map<std::string, int> ids_of(const memory_log::contents& disk) {
  std::map<std::string, int> ids;
  std::uint64_t stamp_ms = 0;
  for (std::size_t r = 0; r < disk.records.size(); ++r) {
    const storage::log_record& record = disk.records[r];
    EXPECT_EQ(record.lsn.value, r + 1);
    EXPECT_GE(record.stamp_ms, std::exchange(stamp_ms, record.stamp_ms));
    const auto batch = schemas::decode_event_batch(record.payload);
    EXPECT_TRUE(batch) << describe(batch.error());
    for (std::size_t e = 0; batch && e < batch->events.size(); ++e) {
      if (!is_left_out(record.decisions, e)) ++ids[std::string(batch->events[e].id)];
    }
  }
  return ids;
}

void produce_under_faults(std::uint64_t seed) {
  SCOPED_TRACE("seed " + std::to_string(seed));
  random_stream random(seed);
  const manual_clock time;
  const auto disk = std::make_shared<memory_log::contents>();
  event_intake::settings how;
  how.gate.duplicate_ids = 4'096;
  std::array<std::uint64_t, producers> taken{};
  const auto through = [&] { return std::ranges::count(taken, batches_each) == producers; };
  for (int run = 0; !through(); ++run) {
    const auto intake =
        intake_of(std::make_unique<flaky_log>(disk, random.next(), run >= 8), time, how);
    const auto& ends = intake->partitions();
    const std::uint64_t end = ends.empty() ? 0 : ends.at("p");
    ASSERT_GE(end, taken[0]) << "an acknowledged batch is not in the log";
    taken[0] = end;
    std::vector<std::thread> threads;
    for (std::uint64_t p = 0; p < producers; ++p) {
      threads.emplace_back(
          [&, p, drawn = random.next()] { taken[p] = produce(*intake, p, taken[p], drawn); });
    }
    for (auto& one : threads) one.join();
    ASSERT_TRUE(intake->stop());
  }
  const auto ids = ids_of(*disk);
  std::size_t events = 0;
  for (std::uint64_t p = 0; p < producers; ++p) {
    for (std::uint64_t b = 0; b < batches_each; ++b) {
      events += events_of(b);
      for (std::uint64_t e = 0; e < events_of(b); ++e) {
        const auto at = ids.find(id_of(p, b, e));
        ASSERT_TRUE(at != ids.end()) << id_of(p, b, e) << " is lost";
        ASSERT_EQ(at->second, 1) << at->first;
      }
    }
  }
  EXPECT_EQ(ids.size(), events);
}

// A seed here is as much work as ten worlds of the simulation, which HEADRACE_SEEDS counts.
TEST(EventIntake, LosesAndDoublesNothingUnderALogThatFailsAtRandom) {
  const char* worlds = std::getenv("HEADRACE_SEEDS");
  const std::uint64_t seeds =
      worlds == nullptr ? 20 : std::max(1ULL, std::strtoull(worlds, nullptr, 10) / 10);
  for (std::uint64_t seed = 1; seed <= seeds && !testing::Test::HasFailure(); ++seed)
    produce_under_faults(seed);
}

}  // namespace
}  // namespace headrace::worker
