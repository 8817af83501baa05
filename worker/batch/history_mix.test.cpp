#include "worker/batch/history_mix.hpp"

#include "base/random.hpp"
#include "storage/memory_log.hpp"
#include "worker/batch/sample_digest.hpp"
#include "worker/batch/sealed_stream.hpp"
#include "worker/metrics/score_book.hpp"

#include <gtest/gtest.h>

#include <array>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

namespace headrace::worker {
namespace {

using storage::memory_log;

/// Samples of two labels, three features and two lists; all of a sample follows from its number.
class numbered_source final : public event_source {
 public:
  numbered_source(std::uint64_t rows, bool with_values) : rows_(rows), with_values_(with_values) {}

  static event sample(std::uint64_t number, bool with_values) {
    event made;
    random_stream draw(number);
    made.label = static_cast<float>(draw.next_below(2));
    made.more_labels = {static_cast<float>(draw.next_below(2))};
    made.keys = {draw.next(), draw.next(), number};
    if (with_values) made.values = {1.0F, static_cast<float>(draw.next_unit()), 1.0F};
    for (int list = 0; list < 2; ++list) {
      made.lengths.push_back(static_cast<std::uint16_t>(draw.next_below(4)));
      for (int k = 0; k < made.lengths.back(); ++k) made.sequence_keys.push_back(draw.next());
    }
    made.event_time_ms = 5'000 + number;
    made.row_number = number;
    return made;
  }

  result<bool> next(event& into) override {
    if (position_ == rows_) return false;
    into = sample(position_, with_values_);
    ++position_;
    return true;
  }
  result<void> skip(std::uint64_t through) override {
    position_ = through;
    return {};
  }
  std::uint64_t position() const override { return position_; }
  result<std::uint64_t> count_records() const override { return rows_; }
  const bad_rows& bad() const override { return bad_; }
  std::size_t features() const override { return 3; }

 private:
  std::uint64_t rows_;
  bool with_values_;
  std::uint64_t position_ = 0;
  bad_rows bad_{0};
};

struct setting {
  std::uint64_t rows = 2'000;
  std::uint32_t samples_max = 32;
  std::optional<history_mix::settings> history = history_mix::settings{};
  bool with_values = true;
};

class HistoryMix : public testing::Test {
 protected:
  // A stream over what the disk holds, as after a start of the process.
  std::unique_ptr<sealed_stream> open(const setting& with) {
    auto log = std::make_unique<memory_log>(disk_);
    log_ = log.get();
    sealed_stream::parts parts{
        std::make_unique<numbered_source>(with.rows, with.with_values),
        std::move(log),
        batch_builder({{"events", 1}, 1, with.samples_max, 20'000'000}),
        std::nullopt,
    };
    if (with.history) parts.history.emplace(*with.history);
    auto made = std::make_unique<sealed_stream>(std::move(parts), time_);
    EXPECT_TRUE(made->open(batch_number{made_before() + 1}));
    return made;
  }
  std::uint64_t made_before() const { return disk_->first.value - 1 + disk_->records.size(); }

  void run(const setting& with, std::uint64_t batches = UINT64_MAX) {
    const auto stream = open(with);
    while (batches-- > 0) {
      const auto pumped = stream->next();
      ASSERT_TRUE(pumped.ok()) << describe(pumped.error());
      if (pumped->finished) return;
      ASSERT_TRUE(pumped->batch);
    }
  }

  std::vector<schemas::sample_batch> logged() const {
    std::vector<schemas::sample_batch> all;
    for (const auto& record : disk_->records) {
      auto batch = schemas::decode_sample_batch(record.payload);
      EXPECT_TRUE(batch.ok());
      if (batch) all.push_back(std::move(*batch));
    }
    return all;
  }

  manual_clock time_;
  std::shared_ptr<memory_log::contents> disk_ = std::make_shared<memory_log::contents>();
  memory_log* log_ = nullptr;
};

// Each sample of a batch, fresh or not, is the one that its number says.
void expect_whole(const schemas::sample_batch& batch, bool with_values) {
  batch_builder again({{"events", 1}, 1, 65'536, 0});
  for (const std::uint64_t number : batch.row_numbers)
    again.add(numbered_source::sample(number, with_values), number, 0, 0);
  const auto expected = again.flush();
  ASSERT_TRUE(expected);
  EXPECT_EQ(batch.labels, expected->labels);
  EXPECT_EQ(batch.keys, expected->keys);
  EXPECT_EQ(batch.values, expected->values);
  EXPECT_EQ(batch.lengths, expected->lengths);
  EXPECT_EQ(batch.sequence_keys, expected->sequence_keys);
}

TEST_F(HistoryMix, IsOfOlderBatchesWithAllThatASampleHad) {
  for (const bool with_values : {false, true}) {
    disk_ = std::make_shared<memory_log::contents>();
    run({.history = history_mix::settings{.share = 0.3}, .with_values = with_values});
    std::uint64_t fresh = 0;
    std::uint64_t history = 0;
    for (const auto& batch : logged()) {
      SCOPED_TRACE("batch " + std::to_string(batch.batch.value));
      expect_whole(batch, with_values);
      for (std::uint32_t i = 0; i < batch.samples; ++i) {
        if (i < batch.fresh()) {
          ASSERT_EQ(batch.row_numbers[i], fresh + i);
        } else {
          ASSERT_LT(batch.row_numbers[i], fresh) << "never from its own batch or a later one";
        }
      }
      if (fresh == 0) {
        EXPECT_EQ(batch.history, 0U) << "nothing was there yet";
      }
      EXPECT_EQ(batch.offset_end, fresh + batch.fresh());
      EXPECT_EQ(batch.event_time_min_ms, 5'000 + fresh);
      EXPECT_EQ(batch.event_time_max_ms, 5'000 + fresh + batch.fresh() - 1);
      fresh += batch.fresh();
      history += batch.history;
    }
    EXPECT_EQ(fresh, 2'000U);
    EXPECT_GT(history, 0U);
  }
}

TEST_F(HistoryMix, HasTheShareInTheLongRun) {
  random_stream draw(7);
  for (const double share : {0.001, 0.1, 0.37, 0.5, 0.9}) {
    const history_mix mix({.share = share, .seed = draw.next()});
    for (const std::uint32_t fresh : {1U, 3U, 100U, 512U}) {
      double history = 0;
      constexpr std::uint64_t batches = 10'000;
      for (std::uint64_t b = 1; b <= batches; ++b) history += mix.wanted(batch_number{b}, fresh);
      const double due = share / (1.0 - share) * fresh * batches;
      EXPECT_NEAR(history, due, 8.0) << share << " of batches of " << fresh;
    }
    double history = 0;
    double due = 0;
    for (std::uint64_t b = 1; b <= 10'000; ++b) {
      const auto fresh = static_cast<std::uint32_t>(1 + draw.next_below(40));
      history += mix.wanted(batch_number{b}, fresh);
      due += share / (1.0 - share) * fresh;
    }
    EXPECT_NEAR(history, due, 200.0) << share << ": four standard deviations";
  }
}

// 4,000 batches of 5: the whole past alike, but for what 64 numbers lag behind, and every place of
// a batch alike, within what chance does.
TEST_F(HistoryMix, IsDrawnEvenly) {
  run({.rows = 20'000, .samples_max = 5, .history = history_mix::settings{.share = 0.5}});
  std::array<double, 5> of_place{};
  double age = 0;
  double count = 0;
  for (const auto& batch : logged()) {
    for (std::uint32_t i = batch.fresh(); i < batch.samples; ++i) {
      ++of_place[batch.row_numbers[i] % of_place.size()];
      const auto first = static_cast<double>(batch.row_numbers[0]);
      age += (first - static_cast<double>(batch.row_numbers[i])) / first;
      ++count;
    }
  }
  EXPECT_NEAR(count, 20'000.0, 20.0);
  EXPECT_NEAR(age / count, 0.52, 0.025);
  for (const double part : of_place) EXPECT_NEAR(part / count, 0.2, 0.02);
}

TEST_F(HistoryMix, IsTheSameWhereverTheRunWasKilled) {
  setting with{.rows = 3'000, .samples_max = 16};
  with.history = history_mix::settings{.share = 0.4, .cache_bytes = 20'000};
  run(with);
  const auto whole = logged();
  const std::uint64_t seed = 20'261'128;
  random_stream draw(seed);
  for (int round = 0; round < 20; ++round) {
    disk_ = std::make_shared<memory_log::contents>();
    while (disk_->records.size() < whole.size()) {
      run(with, 1 + draw.next_below(40));
      // Killed with some batches not in the log yet, as without durability.
      if (disk_->records.size() < whole.size() && draw.next_below(2) == 0)
        disk_->records.resize(disk_->records.size() - draw.next_below(2));
    }
    ASSERT_EQ(logged(), whole) << "seed " << seed << ", round " << round;
  }
}

TEST_F(HistoryMix, IsOfTheNewestBatchesWhereOnlyThoseAreWanted) {
  run({.history = history_mix::settings{.share = 0.5, .batches = 3}});
  std::set<std::uint64_t> ages;
  for (const auto& batch : logged()) {
    for (std::uint32_t i = batch.fresh(); i < batch.samples; ++i)
      ages.insert(batch.batch.value - 1 - batch.row_numbers[i] / 32);
  }
  // What 64 numbers have drawn, of three batches each.
  EXPECT_EQ(*ages.begin(), 1U);
  EXPECT_LE(*ages.rbegin(), history_mix::draws_max + 2);
}

TEST_F(HistoryMix, IsOfWhatTheLogStillHolds) {
  const setting with{.rows = 4'000, .samples_max = 10};
  const auto stream = open(with);
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(stream->next()->batch);
  ASSERT_TRUE(log_->truncate_before(lsn{250}));
  for (int i = 300; i < 400; ++i) {
    const auto batch = stream->next()->batch;
    ASSERT_TRUE(batch);
    for (std::uint32_t s = batch->fresh(); s < batch->samples; ++s)
      EXPECT_GE(batch->row_numbers[s], 2'490U);
  }
}

// A job whose features were changed goes on beside samples that have another form.
TEST_F(HistoryMix, PassesOverSamplesOfAnotherForm) {
  run({}, 20);
  schemas::sample_batch other = logged().back();
  for (const auto change : {0, 1, 2}) {
    schemas::sample_batch next;
    next.batch = batch_number{21};
    next.features = other.features + (change == 0 ? 1 : 0);
    next.label_count = other.label_count + (change == 1 ? 1 : 0);
    next.sequences = other.sequences - (change == 2 ? 1 : 0);
    next.samples = 50;
    history_mix mix({.share = 0.5});
    memory_log log(disk_);
    ASSERT_TRUE(mix.mix(log, next));
    EXPECT_EQ(next.history, 0U);
  }
}

TEST_F(HistoryMix, ChangesNothingOfWhatIsToldOfTheFreshSamples) {
  run({.history = std::nullopt});
  const auto plain = logged();
  disk_ = std::make_shared<memory_log::contents>();
  run({.history = history_mix::settings{.share = 0.5}});
  const auto mixed = logged();
  ASSERT_EQ(mixed.size(), plain.size());
  score_book plain_book(1'000, {{"a", 0}, {"b", 1}});
  score_book mixed_book(1'000, {{"a", 0}, {"b", 1}});
  sample_digest plain_digest(2);
  sample_digest mixed_digest(2);
  // What is predicted follows from the sample, so that only which are scored makes a difference.
  const auto predicted = [](const schemas::sample_batch& batch) {
    std::vector<float> made;
    for (const std::uint64_t row : batch.row_numbers) {
      for (std::uint64_t head = 0; head < 2; ++head)
        made.push_back(unit_float(counter_draw(1, row, head)));
    }
    return made;
  };
  for (std::size_t b = 0; b < plain.size(); ++b) {
    const auto frozen = b < 30 ? std::vector<float>{} : predicted(plain[b]);
    plain_book.add(plain[b], predicted(plain[b]), frozen);
    mixed_book.add(mixed[b], predicted(mixed[b]), b < 30 ? frozen : predicted(mixed[b]));
    plain_digest.add(plain[b]);
    mixed_digest.add(mixed[b]);
  }
  EXPECT_EQ(mixed_book.save(), plain_book.save());
  EXPECT_EQ(mixed_digest.samples(), 2'000U);
  EXPECT_EQ(mixed_digest.set(), plain_digest.set());
  EXPECT_EQ(mixed_digest.order(), plain_digest.order());
}

}  // namespace
}  // namespace headrace::worker
