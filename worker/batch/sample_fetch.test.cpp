#include "worker/batch/sample_fetch.hpp"

#include "base/random.hpp"
#include "schemas/hash.hpp"
#include "schemas/sample.hpp"
#include "storage/memory_log.hpp"
#include "worker/batch/durable_mark.hpp"
#include "worker/batch/sample_shelf.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <vector>

// Both sides of the way from an ingest process to a worker, without the way: requests and answers
// are bytes that a test may lose, repeat or damage.
namespace headrace::worker {
namespace {

using ::testing::HasSubstr;

constexpr std::uint64_t ms = 1'000'000;
const schemas::source_id source{"events", 1};

/// `mark` tells two batches of one number apart.
frame batch_bytes(std::uint64_t number, std::uint64_t mark = 0, bool last = false) {
  schemas::sample_batch batch;
  batch.source = source;
  batch.batch = batch_number{number};
  batch.prev = batch_number{number - 1};
  batch.offset_end = number * 10 + mark;
  batch.last = last;
  return schemas::encode(batch);
}

/// What an ingest process is between two kills: a log that stays and a shelf that goes.
class ingest_side {
 public:
  ingest_side() { begin({}); }
  ingest_side(const ingest_side&) = delete;
  ingest_side& operator=(const ingest_side&) = delete;
  /// With an empty log.
  void begin(sample_shelf::settings how) {
    how_ = std::move(how);
    disk_ = std::make_shared<storage::memory_log::contents>();
    how_.source = source;
    how_.job_fingerprint = 7;
    how_.made_by = 8;
    how_.stream = 9;
    start();
  }
  void start() {
    log_ = std::make_unique<storage::memory_log>(disk_);
    shelf_ = std::make_unique<sample_shelf>(
        how_,
        sample_shelf::kept_log{
            [this] { return batch_number{std::max<std::uint64_t>(1, log_->last().first.value)}; },
            [this](batch_number from, const auto& visit) {
              ++reads_;
              return log_->read_from(lsn{from.value}, visit);
            }},
        batch_number{log_->last().last.value});
  }
  void seal(std::uint64_t mark = 0, bool last = false) {
    storage::log_record record;
    record.lsn = lsn{log_->last().last.value + 1};
    record.kind = storage::record_kind::sample;
    record.payload = batch_bytes(record.lsn.value, mark, last);
    log_->append(std::span(&record, 1), log_->last().last, [](const auto& outcome) {
      ASSERT_EQ(outcome.state, storage::append_state::committed);
    });
    shelf_->put(record.payload);
  }
  void lose_end() {
    disk_->records.pop_back();
    start();
  }
  void drop_before(std::uint64_t batch) { ASSERT_TRUE(log_->truncate_before(lsn{batch}).ok()); }
  sample_shelf& shelf() { return *shelf_; }
  std::uint64_t newest() const { return log_->last().last.value; }
  int reads() const { return reads_; }

 private:
  sample_shelf::settings how_;
  std::shared_ptr<storage::memory_log::contents> disk_;
  std::unique_ptr<storage::memory_log> log_;
  std::unique_ptr<sample_shelf> shelf_;
  int reads_ = 0;  // of the log
};

sample_fetch::settings settings_of_worker() {
  sample_fetch::settings how;
  how.about.source = source;
  how.about.job_fingerprint = 7;
  how.about.made_by = 8;
  how.about.bytes_max = 1 << 20;
  how.about.wait_ms = 1'000;
  return how;
}

class SampleFetch : public testing::Test {
 protected:
  // What the ingest side says now; nothing while it waits.
  std::optional<frame> ask(const sample_fetch::request& request, bool waited = false) {
    const auto decoded = schemas::decode_samples_request(schemas::encode(request.asks));
    EXPECT_TRUE(decoded.ok());
    const auto reply = ingest_.shelf().answer(*decoded, waited);
    return reply ? std::optional(schemas::encode(*reply)) : std::nullopt;
  }
  // One request and its answer.
  result<void> exchange(sample_fetch& fetch, bool waited = true) {
    const auto request = fetch.due(now_, batch_number{});
    EXPECT_TRUE(request.has_value());
    if (!request) return {};
    const auto answer = ask(*request, waited);
    EXPECT_TRUE(answer.has_value());
    return answer ? fetch.take(request->id, *answer, now_) : result<void>();
  }
  static std::vector<std::uint64_t> numbers(sample_fetch& fetch) {
    std::vector<std::uint64_t> made;
    while (const auto batch = fetch.pop()) made.push_back(batch->batch.value);
    return made;
  }

  ingest_side ingest_;
  std::uint64_t now_ = 1'000 * ms;
};

using list = std::vector<std::uint64_t>;

TEST_F(SampleFetch, BatchesComeInOrderFromTheOneThatIsNeeded) {
  for (int i = 0; i < 5; ++i) ingest_.seal();
  ingest_.start();
  sample_fetch fetch(settings_of_worker(), batch_number{3});
  EXPECT_FALSE(fetch.greeted());
  ASSERT_TRUE(exchange(fetch).ok());
  EXPECT_TRUE(fetch.greeted());
  EXPECT_EQ(fetch.stream(), 9U);
  EXPECT_EQ(numbers(fetch), (list{3, 4, 5}));
  EXPECT_EQ(ingest_.shelf().learned().value, 2U) << "what is before the first is learned";
}

TEST_F(SampleFetch, AnAnswerWaitsForABatchAndAtTheEndOfItsPatienceSaysThatThereIsNone) {
  sample_fetch fetch(settings_of_worker(), batch_number{1});
  const auto first = fetch.due(now_, batch_number{});
  ASSERT_TRUE(first);
  EXPECT_EQ(first->asks.wait_ms, 0U) << "is anybody there";
  ASSERT_TRUE(fetch.take(first->id, *ask(*first, true), now_).ok());
  EXPECT_TRUE(fetch.greeted());
  now_ = fetch.wake_ns();
  const auto request = fetch.due(now_, batch_number{});
  ASSERT_TRUE(request);
  EXPECT_EQ(request->asks.wait_ms, 1'000U);
  EXPECT_FALSE(ask(*request)) << "it waits";
  EXPECT_FALSE(fetch.due(now_, batch_number{})) << "one at a time";
  const auto none = ask(*request, true);
  ASSERT_TRUE(none);
  ASSERT_TRUE(fetch.take(request->id, *none, now_).ok());
  EXPECT_EQ(fetch.trouble(), "");
  EXPECT_FALSE(fetch.due(now_, batch_number{})) << "not at once";
  now_ = fetch.wake_ns();
  ingest_.seal();
  ASSERT_TRUE(exchange(fetch, false).ok());
  EXPECT_EQ(numbers(fetch), (list{1}));
}

// A shelf that was begun anew holds nothing, and looks again whenever somebody else's batch or a
// timer comes.
TEST_F(SampleFetch, WhoWaitsCostsOneReadOfTheLog) {
  for (int i = 0; i < 3; ++i) ingest_.seal();
  sample_fetch fetch(settings_of_worker(), batch_number{1});
  ASSERT_TRUE(exchange(fetch).ok());
  EXPECT_EQ(numbers(fetch), (list{1, 2, 3}));
  ingest_.start();
  now_ = fetch.wake_ns();
  const int before = ingest_.reads();
  const auto request = fetch.due(now_, batch_number{});
  ASSERT_TRUE(request.has_value());
  ASSERT_NE(request->asks.last_hash, 0U);
  for (int looks = 0; looks < 5; ++looks) EXPECT_FALSE(ask(*request).has_value());
  EXPECT_EQ(ingest_.reads(), before + 1);
  ingest_.seal();
  EXPECT_TRUE(ask(*request).has_value());
  EXPECT_EQ(ingest_.reads(), before + 1);
}

TEST_F(SampleFetch, WhatIsLostIsAskedForAgainLaterAndLater) {
  ingest_.seal();
  sample_fetch fetch(settings_of_worker(), batch_number{1});
  std::uint64_t last_pause = 0;
  std::uint64_t first_id = 0;
  for (int lost = 0; lost < 10; ++lost) {
    const auto request = fetch.due(now_, batch_number{});
    ASSERT_TRUE(request);
    if (lost == 0) first_id = request->id;
    now_ = fetch.wake_ns();
    EXPECT_FALSE(fetch.due(now_, batch_number{})) << "overdue: pauses first";
    EXPECT_THAT(fetch.trouble(), HasSubstr("nobody answers"));
    const std::uint64_t pause = fetch.wake_ns() - now_;
    EXPECT_GE(pause, last_pause);
    EXPECT_LE(pause, 2'000 * ms);
    last_pause = pause;
    now_ = fetch.wake_ns();
  }
  EXPECT_EQ(last_pause, 2'000 * ms);
  const auto request = fetch.due(now_, batch_number{});
  ASSERT_TRUE(request);
  const auto answer = ask(*request);
  ASSERT_TRUE(fetch.take(first_id, *answer, now_).ok());
  EXPECT_EQ(numbers(fetch), list{}) << "to a request that was given up";
  ASSERT_TRUE(fetch.take(request->id, *answer, now_).ok());
  ASSERT_TRUE(fetch.take(request->id, *answer, now_).ok()) << "a second time";
  EXPECT_EQ(numbers(fetch), (list{1}));
  EXPECT_EQ(fetch.trouble(), "");
}

TEST_F(SampleFetch, DamageIsDroppedAndAskedForAgain) {
  for (int i = 0; i < 3; ++i) ingest_.seal();
  sample_fetch fetch(settings_of_worker(), batch_number{1});
  const auto request = fetch.due(now_, batch_number{});
  auto reply = schemas::decode_samples_reply(*ask(*request));
  ASSERT_TRUE(reply.ok());
  std::vector<std::byte> bytes(reply->batches[1].bytes.bytes().begin(),
                               reply->batches[1].bytes.bytes().end());
  bytes[bytes.size() / 2] ^= std::byte{4};
  reply->batches[1].bytes = frame::copy_of(bytes);
  ASSERT_TRUE(fetch.take(request->id, schemas::encode(*reply), now_).ok());
  EXPECT_THAT(fetch.trouble(), HasSubstr("batch 2 came damaged"));
  EXPECT_EQ(numbers(fetch), (list{1})) << "what is good in front of it";
  now_ = fetch.wake_ns();
  ASSERT_TRUE(exchange(fetch).ok());
  EXPECT_EQ(numbers(fetch), (list{2, 3}));
  EXPECT_EQ(fetch.trouble(), "");
}

TEST_F(SampleFetch, BytesThatAreNoAnswerAreAskedForAgainAnotherVersionIsNot) {
  ingest_.seal();
  sample_fetch fetch(settings_of_worker(), batch_number{1});
  const auto request = fetch.due(now_, batch_number{});
  ASSERT_TRUE(fetch.take(request->id, frame::copy_of(std::vector<std::byte>(24)), now_).ok());
  EXPECT_THAT(fetch.trouble(), HasSubstr("could not be read"));
  now_ = std::max(now_, fetch.wake_ns());
  const auto again = fetch.due(now_, batch_number{});
  ASSERT_TRUE(again);
  auto refused = sample_shelf::refusal({errc::bad_protocol, "protocol 9 is not spoken here"});
  const auto taken = fetch.take(again->id, schemas::encode(refused), now_);
  ASSERT_FALSE(taken.ok());
  EXPECT_EQ(taken.error().code, errc::bad_protocol);
}

TEST_F(SampleFetch, AWorkerOfAnotherJobIsToldWhatDiffers) {
  ingest_.seal();
  const auto refused = [&](const auto& change) {
    auto how = settings_of_worker();
    change(how.about);
    sample_fetch fetch(how, batch_number{1});
    const auto taken = exchange(fetch);
    EXPECT_FALSE(taken.ok());
    return taken ? std::string() : describe(taken.error());
  };
  EXPECT_THAT(refused([](auto& r) { r.source.name = "clicks"; }),
              HasSubstr("wrong_job: samples of 'events#1' are sealed here, of 'clicks#1'"));
  EXPECT_THAT(refused([](auto& r) { r.job_fingerprint = 1; }), HasSubstr("different job files"));
  EXPECT_THAT(refused([](auto& r) { r.made_by = 1; }), HasSubstr("another join"));
  EXPECT_THAT(refused([](auto& r) { r.stream = 1; }), HasSubstr("another sample log"));
  EXPECT_EQ(ingest_.shelf().learned().value, 0U) << "nothing it says counts";
}

TEST_F(SampleFetch, NumbersThatTheLogDoesNotHaveAreRefusedByName) {
  for (int i = 0; i < 6; ++i) ingest_.seal();
  ingest_.start();
  sample_fetch ahead(settings_of_worker(), batch_number{8});
  const auto missing = exchange(ahead);
  ASSERT_FALSE(missing.ok());
  EXPECT_THAT(missing.error().detail, HasSubstr("ended at batch 6 but the shards have batch 7"));
  ingest_.drop_before(4);
  ingest_.start();
  sample_fetch behind(settings_of_worker(), batch_number{1});
  const auto gone = exchange(behind);
  ASSERT_FALSE(gone.ok());
  EXPECT_EQ(gone.error().code, errc::corrupt);
  EXPECT_THAT(gone.error().detail, HasSubstr("is needed"));
}

TEST_F(SampleFetch, ALogThatWasEmptiedIsNotGoneOnWithOnceItHasAsManyBatches) {
  for (int i = 0; i < 10; ++i) ingest_.seal();
  sample_fetch fetch(settings_of_worker(), batch_number{6});  // knows no batch before
  const auto taken = exchange(fetch);
  ASSERT_FALSE(taken.ok()) << "this process gave away none of them";
  EXPECT_THAT(taken.error().detail, HasSubstr("ended at batch 0 but the shards have batch 5"));
}

TEST_F(SampleFetch, ALogThatLostItsEndAndWasWrittenAnewIsNotGoneOnWith) {
  for (int i = 0; i < 3; ++i) ingest_.seal();
  sample_fetch fetch(settings_of_worker(), batch_number{1});
  ASSERT_TRUE(exchange(fetch).ok());
  ingest_.lose_end();
  ingest_.seal(1);
  ingest_.seal(1);
  ingest_.start();
  const auto taken = exchange(fetch);
  ASSERT_FALSE(taken.ok());
  EXPECT_THAT(taken.error().detail, HasSubstr("batch 3 here is not the one"));
  sample_fetch other(settings_of_worker(), batch_number{3});
  ASSERT_TRUE(exchange(other).ok());
  EXPECT_EQ(numbers(other), (list{3, 4})) << "a worker that never had it";
}

TEST_F(SampleFetch, AReplyHasAsManyBytesAsWereAskedForAndOneBatchAtLeast) {
  sample_shelf::settings how;
  how.memory_bytes = 1;  // the rest is read from the log
  ingest_.begin(how);
  for (int i = 0; i < 9; ++i) ingest_.seal();
  auto mine = settings_of_worker();
  mine.about.bytes_max = static_cast<std::uint32_t>(3 * batch_bytes(1).size());
  sample_fetch fetch(mine, batch_number{1});
  ASSERT_TRUE(exchange(fetch).ok());
  EXPECT_EQ(numbers(fetch), (list{1, 2, 3}));
  ingest_.start();
  mine.about.bytes_max = 1;
  sample_fetch slow(mine, batch_number{8});
  ASSERT_TRUE(exchange(slow).ok());
  EXPECT_EQ(numbers(slow), (list{8}));
  ASSERT_TRUE(exchange(slow).ok());
  EXPECT_EQ(numbers(slow), (list{9}));
}

TEST_F(SampleFetch, SealingWaitsWhereTooMuchIsNotLearned) {
  sample_shelf::settings how;
  how.ahead_bytes = 3 * batch_bytes(1).size();
  ingest_.begin(how);
  ingest_.seal();
  ingest_.seal();
  EXPECT_TRUE(ingest_.shelf().has_room());
  ingest_.seal();
  EXPECT_FALSE(ingest_.shelf().has_room());
  sample_fetch fetch(settings_of_worker(), batch_number{1});
  ASSERT_TRUE(exchange(fetch).ok());
  EXPECT_FALSE(ingest_.shelf().has_room()) << "fetched, not learned";
  fetch.learned(2);
  const auto request = fetch.due(now_, batch_number{2});
  ASSERT_TRUE(request);
  EXPECT_FALSE(ask(*request));
  EXPECT_TRUE(ingest_.shelf().has_room());
  EXPECT_EQ(ingest_.shelf().learned().value, 2U);
  EXPECT_EQ(ingest_.shelf().covered().value, 2U);
}

TEST_F(SampleFetch, MoreIsAskedForWhenHalfOfWhatIsHeldWasTaken) {
  for (int i = 0; i < 8; ++i) ingest_.seal();
  auto how = settings_of_worker();
  how.held_bytes_max = 4 * batch_bytes(1).size();
  how.about.bytes_max = static_cast<std::uint32_t>(3 * batch_bytes(1).size());
  sample_fetch fetch(how, batch_number{1});
  ASSERT_TRUE(exchange(fetch).ok());
  EXPECT_FALSE(fetch.due(now_, batch_number{}));
  EXPECT_EQ(fetch.wake_ns(), now_ + 1'000 * ms) << "to tell what is learned";
  now_ = fetch.wake_ns();
  fetch.learned(0);
  const auto told = fetch.due(now_, batch_number{});
  ASSERT_TRUE(told);
  const auto answer = ask(*told);
  ASSERT_TRUE(answer) << "it waits for nothing";
  ASSERT_TRUE(fetch.take(told->id, *answer, now_).ok());
  ASSERT_TRUE(fetch.pop());
  now_ = std::max(now_, fetch.wake_ns());
  EXPECT_TRUE(fetch.due(now_, batch_number{}));
}

TEST_F(SampleFetch, TheLastBatchEndsIt) {
  ingest_.seal();
  ingest_.seal(0, true);
  ingest_.shelf().end();
  sample_fetch fetch(settings_of_worker(), batch_number{1});
  ASSERT_TRUE(exchange(fetch).ok());
  EXPECT_FALSE(fetch.finished());
  EXPECT_EQ(numbers(fetch), (list{1, 2}));
  EXPECT_TRUE(fetch.finished());
  EXPECT_FALSE(fetch.due(now_, batch_number{}));
  sample_fetch later(settings_of_worker(), batch_number{3});
  ASSERT_TRUE(exchange(later, false).ok());
  EXPECT_TRUE(later.finished()) << "an earlier worker had it";
}

TEST_F(SampleFetch, AnEarlyEndTakesWhatIsSealedByThenAndWaitsForNobody) {
  ingest_.seal();
  sample_fetch fetch(settings_of_worker(), batch_number{1});
  ASSERT_TRUE(exchange(fetch).ok());
  ingest_.seal();
  fetch.finish_early();
  ASSERT_TRUE(exchange(fetch, false).ok());
  ingest_.seal();
  EXPECT_EQ(numbers(fetch), (list{1, 2}));
  EXPECT_TRUE(fetch.finished());
  sample_fetch alone(settings_of_worker(), batch_number{1});
  ASSERT_TRUE(alone.due(now_, batch_number{}));
  alone.finish_early();
  EXPECT_FALSE(alone.finished());
  now_ = alone.wake_ns();
  EXPECT_FALSE(alone.due(now_, batch_number{}));
  EXPECT_TRUE(alone.finished()) << "nobody answers";
}

// Thousands of steps with every way to go wrong; what the shards have is what each number was
// sealed with, once.
TEST_F(SampleFetch, NothingIsSkippedOrDoubledUnderLossRepetitionAndRestarts) {
  const auto drawn =
      static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count());
  const char* given = std::getenv("HEADRACE_SEED");
  const std::uint64_t seed = given != nullptr ? std::stoull(given) : drawn;
  SCOPED_TRACE("HEADRACE_SEED=" + std::to_string(seed));
  random_stream random(seed);
  sample_shelf::settings how;
  how.memory_bytes = 400;
  how.ahead_bytes = 4'000;
  ingest_.begin(how);
  auto mine = settings_of_worker();
  mine.held_bytes_max = 2'000;
  auto fetch = std::make_unique<sample_fetch>(mine, batch_number{1});
  std::uint64_t learned = 0;
  std::uint64_t stream = 0;
  std::vector<std::pair<std::uint64_t, frame>> on_the_way;
  for (int step = 0; step < 20'000; ++step) {
    switch (random.next_below(8)) {
      case 0:
        if (ingest_.shelf().has_room()) ingest_.seal();
        break;
      case 1:
      case 2:
        if (const auto request = fetch->due(now_, batch_number{learned / 2})) {
          const auto answer = ask(*request, random.next_below(2) == 0);
          if (answer && random.next_below(10) != 0) on_the_way.emplace_back(request->id, *answer);
          if (answer && random.next_below(10) == 0) on_the_way.emplace_back(request->id, *answer);
        }
        break;
      case 3:
      case 4:
        if (on_the_way.empty()) break;
        {
          auto [id, bytes] = on_the_way.front();
          on_the_way.erase(on_the_way.begin());
          if (random.next_below(10) == 0) {
            std::vector<std::byte> damaged(bytes.bytes().begin(), bytes.bytes().end());
            // Behind the head, where the batches lie.
            if (damaged.size() > 400) damaged[damaged.size() - 40] ^= std::byte{1};
            bytes = frame::copy_of(damaged);
          }
          const auto taken = fetch->take(id, bytes, now_);
          ASSERT_TRUE(taken.ok()) << describe(taken.error());
          stream = fetch->stream();
        }
        break;
      case 5:
        if (const auto batch = fetch->pop()) {
          ASSERT_EQ(batch->batch.value, ++learned);
          fetch->learned(1);
        }
        break;
      case 6:
        now_ += random.next_below(200) * ms;
        break;
      default:
        if (random.next_below(40) == 0) ingest_.start();  // killed, and there again
        if (random.next_below(40) != 0) break;
        mine.about.stream = stream;
        fetch = std::make_unique<sample_fetch>(mine, batch_number{learned + 1});
        on_the_way.clear();
    }
  }
  EXPECT_GT(learned, 1'000U);
}

using position = durable_mark::position;

TEST(DurableMark, CoversWhatWasAcknowledgedBeforeARecordOnceEveryShardsRowsHoldIt) {
  durable_mark mark;
  const auto look = [&](std::uint64_t acknowledged, std::vector<position> shards) {
    mark.look(batch_number{acknowledged}, shards);
    return mark.covered().value;
  };
  EXPECT_EQ(look(10, {{lsn{100}, lsn{0}}, {lsn{90}, lsn{90}}}), 0U);
  EXPECT_EQ(look(20, {{lsn{200}, lsn{99}}, {lsn{190}, lsn{190}}}), 0U) << "one record is missing";
  EXPECT_EQ(look(30, {{lsn{300}, lsn{100}}, {lsn{290}, lsn{90}}}), 10U);
  EXPECT_EQ(look(40, {{lsn{400}, lsn{299}}, {lsn{390}, lsn{390}}}), 10U) << "since the third look";
  EXPECT_EQ(look(50, {{lsn{500}, lsn{300}}, {lsn{490}, lsn{290}}}), 30U);
}

TEST(DurableMark, BeginsAnewWithOtherShards) {
  durable_mark mark;
  mark.look(batch_number{10}, std::vector<position>{{lsn{100}, lsn{0}}});
  mark.look(batch_number{11}, std::vector<position>{{lsn{100}, lsn{200}}, {lsn{5}, lsn{9}}});
  EXPECT_EQ(mark.covered().value, 0U);
  mark.look(batch_number{12}, std::vector<position>{{lsn{100}, lsn{200}}, {lsn{5}, lsn{9}}});
  EXPECT_EQ(mark.covered().value, 11U);
}

}  // namespace
}  // namespace headrace::worker
