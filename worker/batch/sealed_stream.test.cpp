#include "worker/batch/sealed_stream.hpp"

#include "schemas/hash.hpp"
#include "storage/memory_log.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace headrace::worker {
namespace {

using storage::memory_log;

// `rows` events of one feature; a failure, once, in place of record `fails_at`.
class counting_source final : public event_source {
 public:
  explicit counting_source(std::uint64_t rows, std::uint64_t fails_at = UINT64_MAX)
      : rows_(rows), fails_at_(fails_at) {}

  result<bool> next(event& into) override {
    if (position_ == fails_at_) {
      fails_at_ = UINT64_MAX;
      ++position_;
      return error{errc::bad_input, "too many bad rows"};
    }
    if (position_ == rows_) return false;
    into = {};
    into.label = static_cast<float>(position_ % 2);
    into.keys = {position_ * 10};
    into.event_time_ms = 5'000 + position_;
    into.row_number = position_++;
    return true;
  }
  result<void> skip(std::uint64_t through) override {
    position_ = through;
    return {};
  }
  std::uint64_t position() const override { return position_; }
  result<std::uint64_t> count_records() const override { return rows_; }
  const bad_rows& bad() const override { return bad_; }
  std::size_t features() const override { return 1; }

 private:
  std::uint64_t rows_;
  std::uint64_t fails_at_;
  std::uint64_t position_ = 0;
  bad_rows bad_{0};
};

// As many events as were let in so far; never ends.
class live_counting_source final : public event_source {
 public:
  explicit live_counting_source(std::uint64_t& rows) : rows_(rows) {}

  result<bool> next(event& into) override {
    if (position_ == rows_) return false;
    into = {};
    into.keys = {position_};
    into.arrived_ms = 900 + position_;
    into.row_number = position_++;
    return true;
  }
  result<void> skip(std::uint64_t through) override {
    position_ = through;
    return {};
  }
  std::uint64_t position() const override { return position_; }
  result<std::uint64_t> count_records() const override { return endless_records; }
  const bad_rows& bad() const override { return bad_; }
  std::size_t features() const override { return 1; }
  bool live() const override { return true; }
  result<void> sealed(std::uint64_t through) override {
    sealed_ = through;
    return {};
  }
  std::uint64_t told_sealed() const { return sealed_; }

 private:
  std::uint64_t& rows_;
  std::uint64_t position_ = 0;
  std::uint64_t sealed_ = 0;
  bad_rows bad_{0};
};

class SealedStream : public testing::Test {
 protected:
  struct setting {
    std::uint64_t rows = 10;
    std::uint32_t samples_max = 4;
    std::optional<pacer> pace = std::nullopt;
    std::uint64_t first = 1;
    std::uint64_t fails_at = UINT64_MAX;
    std::uint64_t pass = 0;
  };

  // A stream over what the disk holds, as after a start of the process.
  sealed_stream open(setting with) {
    auto log = std::make_unique<memory_log>(disk_);
    log_ = log.get();
    sealed_stream::parts parts{std::make_unique<counting_source>(with.rows, with.fails_at),
                               std::move(log),
                               batch_builder({{"events", 1}, 1, with.samples_max, 20'000'000}),
                               with.pace,
                               with.pass};
    sealed_stream made(std::move(parts), time_);
    const auto opened = made.open(batch_number{with.first});
    EXPECT_TRUE(opened.ok());
    return made;
  }

  std::vector<sample_batch_ptr> take_all(sealed_stream& from) {
    std::vector<sample_batch_ptr> all;
    for (;;) {
      auto pumped = from.next();
      EXPECT_TRUE(pumped.ok());
      if (!pumped.ok() || pumped->finished) return all;
      if (pumped->batch) {
        all.push_back(pumped->batch);
      } else {
        EXPECT_GT(pumped->wake_ns, time_.steady_ns());
        time_.advance_ms((pumped->wake_ns - time_.steady_ns() + 999'999) / 1'000'000);
      }
    }
  }

  static std::vector<std::uint32_t> sizes(const std::vector<sample_batch_ptr>& batches) {
    std::vector<std::uint32_t> made;
    for (const auto& each : batches) made.push_back(each->samples);
    return made;
  }

  manual_clock time_;
  std::shared_ptr<memory_log::contents> disk_ = std::make_shared<memory_log::contents>();
  memory_log* log_ = nullptr;
};

using sizes_of = std::vector<std::uint32_t>;

TEST_F(SealedStream, CutsASourceIntoFullBatchesAndMarksTheLast) {
  sealed_stream stream = open({.rows = 10});
  const auto batches = take_all(stream);
  ASSERT_EQ(sizes(batches), (sizes_of{4, 4, 2}));
  EXPECT_EQ(batches[1]->batch.value, 2U);
  EXPECT_EQ(batches[1]->prev.value, 1U);
  EXPECT_EQ(batches[1]->offset_end, 8U);
  EXPECT_EQ(batches[1]->row_numbers, (std::vector<std::uint64_t>{4, 5, 6, 7}));
  EXPECT_EQ(batches[1]->keys, (std::vector<std::uint64_t>{40, 50, 60, 70}));
  EXPECT_EQ(batches[1]->event_time_min_ms, 5'004U);
  EXPECT_EQ(batches[1]->event_time_max_ms, 5'007U);
  EXPECT_FALSE(batches[1]->last);
  EXPECT_TRUE(batches[2]->last);
  EXPECT_TRUE(stream.finished());
  EXPECT_EQ(disk_->records.size(), 3U);
}

TEST_F(SealedStream, MarksTheLastBatchWhenTheLastEventFillsIt) {
  sealed_stream stream = open({.rows = 8});
  const auto batches = take_all(stream);
  ASSERT_EQ(sizes(batches), (sizes_of{4, 4}));
  EXPECT_FALSE(batches[0]->last);
  EXPECT_TRUE(batches[1]->last);
}

TEST_F(SealedStream, FinishesAnEmptySourceWithoutABatch) {
  sealed_stream stream = open({.rows = 0});
  EXPECT_TRUE(take_all(stream).empty());
  EXPECT_TRUE(disk_->records.empty());
}

TEST_F(SealedStream, GivesOutTheLoggedBatchesAgainAfterARestart) {
  std::vector<sample_batch_ptr> before;
  {
    sealed_stream stream = open({.rows = 100});
    for (int i = 0; i < 10; ++i) before.push_back(stream.next()->batch);
  }
  for (const std::uint64_t first : {1U, 7U, 10U, 11U}) {
    sealed_stream stream = open(
        {.rows = 100, .samples_max = 8, .first = first});  // another size cuts only new batches
    std::vector<sample_batch_ptr> after;
    for (std::uint64_t i = first; i <= 11; ++i) {
      const auto given = stream.next();
      ASSERT_TRUE(given.ok());
      EXPECT_EQ(schemas::hash64(given->bytes.bytes()),
                schemas::hash64(schemas::encode(*given->batch).bytes()))
          << i;
      after.push_back(given->batch);
    }
    for (std::uint64_t i = first; i <= 10; ++i)
      EXPECT_EQ(*after[i - first], *before[i - 1]) << first;
    EXPECT_EQ(after.back()->batch.value, 11U);
    EXPECT_EQ(after.back()->row_numbers.front(), 40U);
    EXPECT_EQ(after.back()->samples, 8U);
    disk_->records.pop_back();  // for the next round
  }
}

TEST_F(SealedStream, ReadsALongLogInRunsOfBatches) {
  {
    sealed_stream stream = open({.rows = 200'000, .samples_max = 100});
    EXPECT_EQ(take_all(stream).size(), 2'000U);
  }
  sealed_stream stream = open({.rows = 200'000, .samples_max = 100, .first = 3});
  EXPECT_FALSE(stream.finished());
  const auto again = take_all(stream);
  ASSERT_EQ(again.size(), 1'998U);
  for (std::size_t i = 0; i < again.size(); ++i) ASSERT_EQ(again[i]->batch.value, i + 3);
  EXPECT_TRUE(stream.finished());
}

TEST_F(SealedStream, IsFinishedWhenAFinishedSourceIsOpenedAgain) {
  {
    sealed_stream stream = open({.rows = 8});
    take_all(stream);
  }
  sealed_stream stream = open({.rows = 8, .first = 3});
  EXPECT_TRUE(stream.finished());
  EXPECT_TRUE(take_all(stream).empty());
}

TEST_F(SealedStream, SealsWhatItHoldsWhenStoppedAndGoesOnLater) {
  {
    sealed_stream stream = open({.rows = 10, .pace = pacer(10'000'000'000, 10)});  // one a second
    EXPECT_EQ(stream.next()->batch, nullptr);
    stream.finish_early();
    const auto held = take_all(stream);
    ASSERT_EQ(sizes(held), sizes_of{1});
    EXPECT_FALSE(held[0]->last);
    EXPECT_EQ(held[0]->offset_end, 1U);
  }
  sealed_stream stream = open({.rows = 10, .first = 2});
  const auto rest = take_all(stream);
  EXPECT_EQ(sizes(rest), (sizes_of{4, 4, 1}));
  EXPECT_EQ(rest[0]->row_numbers.front(), 1U);
}

TEST_F(SealedStream, SealsNoEmptyBatchWhenStoppedBetweenTwo) {
  sealed_stream stream = open({.rows = 10});
  stream.next().value();
  stream.finish_early();
  EXPECT_TRUE(take_all(stream).empty());
  EXPECT_EQ(disk_->records.size(), 1U);
}

TEST_F(SealedStream, OffersTheSameBytesAgainAfterARefusal) {
  sealed_stream stream = open({.rows = 10});
  stream.next().value();
  log_->next(memory_log::fate::refuse, errc::disk_full);
  for (int i = 0; i < 3; ++i) {
    log_->next(memory_log::fate::refuse, errc::disk_full);
    const auto refused = stream.next();
    ASSERT_FALSE(refused.ok());
    EXPECT_EQ(refused.error().code, errc::disk_full);
    EXPECT_EQ(stream.sealed().value, 1U);
    time_.advance_ms(700);  // neither the stamp nor the batch changes meanwhile
  }
  auto refused = stream.next();
  while (!refused.ok()) refused = stream.next();
  const auto rest = take_all(stream);
  EXPECT_EQ(refused->batch->batch.value, 2U);
  EXPECT_EQ(refused->batch->row_numbers.front(), 4U);
  EXPECT_EQ(sizes(rest), sizes_of{2});
  ASSERT_EQ(disk_->records.size(), 3U);
  EXPECT_EQ(disk_->records[1].stamp_ms, disk_->records[0].stamp_ms);
}

TEST_F(SealedStream, SealsWhatWasReadBeforeTheSourceFailed) {
  sealed_stream stream = open({.rows = 10, .fails_at = 6});
  EXPECT_EQ(stream.next()->batch->samples, 4U);
  const auto held = stream.next();
  ASSERT_TRUE(held.ok());
  EXPECT_EQ(held->batch->row_numbers, (std::vector<std::uint64_t>{4, 5}));
  EXPECT_FALSE(held->batch->last);
  for (int i = 0; i < 2; ++i) {
    const auto failed = stream.next();
    ASSERT_FALSE(failed.ok());
    EXPECT_EQ(failed.error().code, errc::bad_input);
  }
}

TEST_F(SealedStream, GivesEventsOutAtThePaceAndHoldsABatchNoLongerThanItsWait) {
  sealed_stream stream =
      open({.rows = 10, .pace = pacer(100'000'000, 10)});  // one each 10 ms; wait 20 ms
  const std::uint64_t start = time_.steady_ns();
  const auto batches = take_all(stream);
  EXPECT_EQ(sizes(batches), (sizes_of{2, 2, 2, 2, 2}));
  EXPECT_EQ(time_.steady_ns() - start, 90'000'000U);
  EXPECT_EQ(batches[0]->accepted_ms + 20, batches[1]->accepted_ms);
}

TEST_F(SealedStream, DoesNotWaitBetweenEventsWithoutAPace) {
  sealed_stream stream = open({.rows = 1'000, .samples_max = 64});
  const std::uint64_t start = time_.steady_ns();
  take_all(stream);
  EXPECT_EQ(time_.steady_ns(), start);
}

TEST_F(SealedStream, StartsThePaceAnewAfterARestart) {
  {
    sealed_stream stream = open({.rows = 10});
    stream.next().value();
  }
  sealed_stream stream =
      open({.rows = 10, .samples_max = 1, .pace = pacer(10'000'000'000, 10), .first = 2});
  EXPECT_NE(stream.next()->batch, nullptr);  // record 4 is due at once
  EXPECT_EQ(stream.next()->wake_ns, time_.steady_ns() + 1'000'000'000);
}

// The batches up to the next halt, or to the end.
std::vector<sample_batch_ptr> until_halt(sealed_stream& from) {
  std::vector<sample_batch_ptr> all;
  for (;;) {
    auto pumped = from.next();
    EXPECT_TRUE(pumped.ok());
    if (!pumped.ok() || !pumped->batch) return all;
    all.push_back(pumped->batch);
  }
}

TEST_F(SealedStream, HaltsBetweenPassesUntilItIsToldToGoOn) {
  for (const std::uint32_t samples : {4U, 5U}) {
    disk_ = std::make_shared<memory_log::contents>();
    sealed_stream stream = open({.rows = 15, .samples_max = samples, .pass = 5});
    for (std::uint64_t pass = 1; pass <= 2; ++pass) {
      const auto batches = until_halt(stream);
      EXPECT_EQ(batches.back()->offset_end, 5 * pass);
      EXPECT_FALSE(batches.back()->last);
      EXPECT_TRUE(stream.next()->halted);
      EXPECT_FALSE(stream.next()->finished);
      EXPECT_EQ(stream.passes(), pass);
      stream.go_on();
    }
    const auto batches = until_halt(stream);
    EXPECT_EQ(batches.front()->row_numbers.front(), 10U);
    EXPECT_TRUE(batches.back()->last);
    EXPECT_TRUE(stream.next()->finished);
    EXPECT_EQ(stream.passes(), 3U);
  }
}

TEST_F(SealedStream, IsFinishedEarlyAtAHaltAndHaltsThereAgainLater) {
  {
    sealed_stream stream = open({.rows = 10, .pass = 5});
    EXPECT_EQ(until_halt(stream).size(), 2U);
    stream.finish_early();
    const auto after = stream.next();
    EXPECT_TRUE(after->finished);
    EXPECT_FALSE(after->halted);
  }
  sealed_stream stream = open({.rows = 10, .first = 3, .pass = 5});
  EXPECT_TRUE(stream.next()->halted);
  EXPECT_EQ(stream.passes(), 1U);
  stream.go_on();
  EXPECT_EQ(stream.next()->batch->row_numbers.front(), 5U);
}

TEST_F(SealedStream, RefusesALogThatIsShorterThanWhatTheShardsHave) {
  auto log = std::make_unique<memory_log>(disk_);
  sealed_stream::parts parts{std::make_unique<counting_source>(10),
                             std::move(log),
                             batch_builder({{"events", 1}, 1, 4, 0}),
                             std::nullopt};
  sealed_stream stream(std::move(parts), time_);
  const auto opened = stream.open(batch_number{2});
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().code, errc::corrupt);
}

TEST_F(SealedStream, RefusesARecordThatHoldsAnotherBatch) {
  {
    sealed_stream stream = open({.rows = 100});
    for (int i = 0; i < 4; ++i) stream.next().value();
  }
  disk_->records[1].payload = disk_->records[2].payload;
  sealed_stream stream = open({.rows = 100, .first = 1});
  EXPECT_TRUE(stream.next().ok());
  const auto wrong = stream.next();
  ASSERT_FALSE(wrong.ok());
  EXPECT_EQ(wrong.error().code, errc::corrupt);
}

TEST(Pacer, SpreadsRecordsEvenlyAndNeverOverflows) {
  const pacer demo(20'000'000'000, 100'000);
  EXPECT_EQ(demo.due_ns(0), 0U);
  EXPECT_EQ(demo.due_ns(1), 200'000U);
  EXPECT_EQ(demo.due_ns(50'000), 10'000'000'000U);
  EXPECT_EQ(demo.due_ns(150'000), 30'000'000'000U);
  const pacer week(7ULL * 86'400 * 1'000'000'000, 45'000'000'000ULL);
  EXPECT_NEAR(static_cast<double>(week.due_ns(22'500'000'000ULL)), 3.5 * 86'400e9, 1e3);
  std::uint64_t before = 0;
  const pacer odd(1'000'000'007, 999'983);
  for (std::uint64_t i = 0; i < 2'000'000; i += 997) {
    EXPECT_GE(odd.due_ns(i), before);
    before = odd.due_ns(i);
  }
  EXPECT_EQ(pacer(5, 0).due_ns(1), 5U);
}

TEST_F(SealedStream, WaitsForALiveSourceAndSealsWhatHasWaitedLongEnough) {
  std::uint64_t rows = 0;
  auto source = std::make_unique<live_counting_source>(rows);
  const auto& told = *source;
  sealed_stream stream({std::move(source),
                        std::make_unique<memory_log>(disk_),
                        batch_builder({{"events", 1}, 1, 4, 20'000'000}),
                        std::nullopt,
                        0},
                       time_);
  ASSERT_TRUE(stream.open(batch_number{1}));
  auto pumped = stream.next();
  ASSERT_TRUE(pumped);
  EXPECT_FALSE(pumped->batch);
  EXPECT_FALSE(pumped->finished);
  EXPECT_EQ(pumped->wake_ns, sealed_stream::never);

  rows = 3;
  pumped = stream.next();
  ASSERT_TRUE(pumped);
  EXPECT_FALSE(pumped->batch) << "three of four, and not old enough";
  EXPECT_EQ(pumped->wake_ns, time_.steady_ns() + 20'000'000);
  EXPECT_EQ(told.told_sealed(), 0U);
  time_.advance_ms(20);
  pumped = stream.next();
  ASSERT_TRUE(pumped && pumped->batch);
  EXPECT_EQ(pumped->batch->samples, 3U);
  EXPECT_EQ(pumped->batch->accepted_ms, 900U) << "when its oldest event arrived";
  EXPECT_FALSE(pumped->batch->last);
  EXPECT_EQ(told.told_sealed(), 3U);

  rows = 8;
  pumped = stream.next();
  ASSERT_TRUE(pumped && pumped->batch);
  EXPECT_EQ(pumped->batch->samples, 4U) << "full at once";
  EXPECT_FALSE(pumped->batch->last) << "a live stream has no last batch";
  rows = 9;  // what it has when it is to end is sealed, too
  stream.finish_early();
  pumped = stream.next();
  ASSERT_TRUE(pumped && pumped->batch);
  EXPECT_EQ(pumped->batch->samples, 2U);
  EXPECT_FALSE(pumped->batch->last);
  EXPECT_TRUE(stream.next()->finished);
  EXPECT_FALSE(stream.finished());
}

TEST(BatchBuilder, ReturnsABatchWhenItIsFullAndKeepsValues) {
  batch_builder builder({{"events", 2}, 3, 2, 1'000});
  event first;
  first.label = 1.0F;
  first.keys = {1, 2};
  first.values = {1.0F, 0.5F};
  first.row_number = 41;
  EXPECT_TRUE(builder.empty());
  EXPECT_EQ(builder.due_at_ns(), std::nullopt);
  EXPECT_FALSE(builder.due(UINT64_MAX));
  EXPECT_EQ(builder.add(first, 42, 100, 7), std::nullopt);
  EXPECT_EQ(builder.due_at_ns(), 1'100U);
  EXPECT_FALSE(builder.due(1'099));
  EXPECT_TRUE(builder.due(1'100));
  const auto full = builder.add(first, 43, 500, 8);
  ASSERT_TRUE(full.has_value());
  EXPECT_EQ(full->source, (schemas::source_id{"events", 2}));
  EXPECT_EQ(full->schema_version, 3U);
  EXPECT_EQ(full->values, (std::vector<float>{1.0F, 0.5F, 1.0F, 0.5F}));
  EXPECT_EQ(full->accepted_ms, 7U);
  EXPECT_EQ(full->accepted_through_ms(), 8U) << "when the newest came";
  EXPECT_EQ(full->offset_end, 43U);
  EXPECT_TRUE(builder.empty());
  EXPECT_EQ(builder.flush(), std::nullopt);
}

}  // namespace
}  // namespace headrace::worker
