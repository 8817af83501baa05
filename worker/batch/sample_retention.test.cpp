#include "worker/batch/sample_retention.hpp"

#include "base/check.hpp"
#include "base/random.hpp"
#include "storage/segment_log.hpp"
#include "storage/temporary_folder.hpp"
#include "worker/batch/sealed_stream.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <utility>

namespace headrace::worker {
namespace {

using settings = sample_retention::settings;

/// Seals batches 1 … of 10 bytes, one each 100 ms, and remembers what may go.
struct trial {
  explicit trial(settings how) : retention(with(std::move(how), covered)) {}
  static settings with(settings how, const batch_number& covered) {
    how.stretch_bytes = 20;
    how.covered = [&covered] { return covered; };
    return how;
  }
  void seal(std::uint64_t count) {
    for (; count > 0; --count) {
      ++last;
      if (const auto keep = retention.sealed(batch_number{last}, last * 100, 10))
        keep_from = keep->value;
    }
  }
  batch_number covered;
  sample_retention retention;
  std::uint64_t last = 0;
  std::uint64_t keep_from = 1;
};

TEST(SampleRetention, KeepsAllWithoutABound) {
  trial log({});
  log.covered = batch_number{1'000};
  log.seal(1'000);
  EXPECT_EQ(log.keep_from, 1U);
}

TEST(SampleRetention, KeepsSoManyBytesAndNoMore) {
  trial log({.keep_bytes = 100});
  log.covered = batch_number{1'000};
  log.seal(10);
  EXPECT_EQ(log.keep_from, 1U);
  log.seal(90);
  EXPECT_EQ(log.keep_from, 91U);
}

TEST(SampleRetention, KeepsWhatIsYoungEnough) {
  trial log({.keep_ms = 1'000});
  log.covered = batch_number{1'000};
  log.seal(100);
  EXPECT_EQ(log.keep_from, 89U) << "of the stretch that ends with batch 90, 1000 ms old";
}

TEST(SampleRetention, KeepsWhatARestartMayAskFor) {
  trial log({.keep_ms = 100, .keep_bytes = 10});
  log.seal(100);
  EXPECT_EQ(log.keep_from, 1U) << "nobody knows what rows hold";
  log.covered = batch_number{51};
  log.seal(2);
  EXPECT_EQ(log.keep_from, 51U) << "the stretch 51 … 52 is not covered whole";
  log.covered = batch_number{60};
  log.seal(2);
  EXPECT_EQ(log.keep_from, 61U);
}

TEST(SampleRetention, CountsWhatEarlierRunsSealed) {
  trial log({.keep_bytes = 100});
  log.covered = batch_number{1'000};
  log.retention.earlier(batch_number{40}, 5, 80);
  log.retention.earlier(batch_number{50}, 6, 80);
  log.last = 50;
  log.seal(1);
  EXPECT_EQ(log.keep_from, 1U);
  log.seal(1);
  EXPECT_EQ(log.keep_from, 41U);
  log.seal(2);
  EXPECT_EQ(log.keep_from, 51U);
}

/// Events without an end, each told by its number.
class endless_source final : public event_source {
 public:
  result<bool> next(event& into) override {
    into = {};
    into.keys = {position_ * 7};
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

 private:
  std::uint64_t position_ = 0;
  bad_rows bad_{0};
};

class RetainedStream : public testing::Test {
 protected:
  static constexpr std::uint64_t keep_bytes = 32'768;

  // As after a start: from the batch behind `first − 1`, which is what shards have.
  void open(std::uint64_t first) {
    stream_.reset();
    storage::segment_log::options how;
    how.folder = folder_.path() / "samples";
    how.mode = schemas::log_mode::os;
    how.segment_bytes = 4'096;
    auto log = storage::segment_log::open(std::move(how));
    CHECK(log.ok());
    log_ = log->get();
    sample_retention retention({.keep_bytes = keep_bytes,
                                .stretch_bytes = 1'024,
                                .covered = [this] { return batch_number{covered_}; }});
    // Nothing is told of earlier runs: their batches stay until ours outweigh them.
    sealed_stream::parts parts{std::make_unique<endless_source>(),
                               std::move(*log),
                               batch_builder({{"events", 1}, 1, 4, 20'000'000}),
                               std::nullopt,
                               0,
                               std::move(retention)};
    stream_.emplace(std::move(parts), time_);
    const auto opened = stream_->open(batch_number{first});
    ASSERT_TRUE(opened.ok()) << describe(opened.error());
    next_ = first;
  }
  // The next batch, which is what it was the first time.
  void take() {
    auto pumped = stream_->next();
    ASSERT_TRUE(pumped.ok()) << describe(pumped.error());
    ASSERT_TRUE(pumped->batch);
    ASSERT_EQ(pumped->batch->batch, batch_number{next_});
    const auto [was, is_new] = seen_.emplace(next_, *pumped->batch);
    ASSERT_TRUE(is_new || was->second == *pumped->batch) << "batch " << next_;
    ++next_;
  }

  storage::temporary_folder folder_;
  manual_clock time_;
  storage::segment_log* log_ = nullptr;
  std::optional<sealed_stream> stream_;
  std::map<std::uint64_t, schemas::sample_batch> seen_;
  std::uint64_t next_ = 1;
  std::uint64_t covered_ = 0;  // what rows hold
};

// However far behind the rows are, and wherever between them and the end shards come back.
TEST_F(RetainedStream, ARestartFindsEveryBatchThatShardsMayLack) {
  const auto seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  random_stream random(seed);
  open(1);
  for (int kill = 0; kill < 60; ++kill) {
    for (auto batches = random.next_below(300); batches > 0; --batches) {
      ASSERT_NO_FATAL_FAILURE(take());
      if (random.next_below(40) == 0)
        covered_ = std::max(covered_, covered_ + random.next_below(next_ - covered_));
    }
    const std::uint64_t acknowledged = covered_ + random.next_below(next_ - covered_);
    ASSERT_NO_FATAL_FAILURE(open(acknowledged + 1)) << "rows hold " << covered_;
  }
  EXPECT_GT(log_->last().first, lsn{1}) << "nothing was given up";
}

TEST_F(RetainedStream, TheLogStaysWithinItsBound) {
  open(1);
  std::uint64_t most = 0;
  for (int i = 0; i < 3'000; ++i) {
    ASSERT_NO_FATAL_FAILURE(take());
    covered_ = next_ - 1;
    most = std::max(most, log_->bytes());
  }
  EXPECT_LT(most, keep_bytes + keep_bytes / 2) << "a file and a stretch more at most";
}

}  // namespace
}  // namespace headrace::worker
