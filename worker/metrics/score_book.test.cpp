#include "worker/metrics/score_book.hpp"

#include <gtest/gtest.h>

namespace headrace::worker {
namespace {

schemas::sample_batch batch_of(std::uint64_t number,
                               std::uint64_t first_row,
                               std::vector<float> labels) {
  schemas::sample_batch made;
  made.batch = batch_number{number};
  made.prev = batch_number{number - 1};
  made.samples = static_cast<std::uint32_t>(labels.size());
  for (std::size_t i = 0; i < labels.size(); ++i) made.row_numbers.push_back(first_row + i);
  made.labels = std::move(labels);
  return made;
}

const std::vector<float> two_guesses{0.7F, 0.2F};

TEST(ScoreBook, ScoresABatchOnce) {
  score_book book(10);
  EXPECT_TRUE(book.add(batch_of(1, 0, {1, 0}), two_guesses, {}));
  EXPECT_FALSE(book.add(batch_of(1, 0, {1, 0}), two_guesses, {}));
  EXPECT_EQ(book.all().samples(), 2U);
  EXPECT_EQ(book.batches_missed(), 0U);
}

TEST(ScoreBook, CountsBatchesThatWereNeverScored) {
  score_book book(10);
  book.add(batch_of(1, 0, {1, 0}), two_guesses, {});
  book.add(batch_of(4, 6, {1, 0}), two_guesses, {});
  EXPECT_EQ(book.batches_missed(), 2U);
  EXPECT_EQ(book.through(), batch_number{4});
}

TEST(ScoreBook, SplitsAtTheHalfRow) {
  score_book book(1);
  book.add(batch_of(1, 0, {1, 0}), two_guesses, {});
  EXPECT_EQ(book.second_half().samples(), 1U);
  EXPECT_EQ(book.since_freeze().samples(), 0U);
  book.add(batch_of(2, 2, {1, 0}), two_guesses, two_guesses);
  EXPECT_EQ(book.frozen_second_half().samples(), 2U);
  EXPECT_EQ(book.since_freeze().samples(), 2U);
}

TEST(ScoreBook, LoadsWhatItSavedAndGoesOn) {
  score_book book(1);
  book.add(batch_of(1, 0, {1, 0}), two_guesses, two_guesses);
  score_book other(1);
  ASSERT_TRUE(other.load(book.save()).ok());
  EXPECT_EQ(other.save(), book.save());
  EXPECT_FALSE(other.add(batch_of(1, 0, {1, 0}), two_guesses, {}));
  EXPECT_TRUE(other.add(batch_of(2, 2, {1, 0}), two_guesses, {}));
}

TEST(ScoreBook, RefusesDamagedBytesAndKeepsWhatItHas) {
  score_book book(1);
  book.add(batch_of(1, 0, {1, 0}), two_guesses, {});
  auto bytes = book.save();
  bytes.pop_back();
  score_book other(1);
  EXPECT_FALSE(other.load(bytes).ok());
  EXPECT_EQ(other.all().samples(), 0U);
}

}  // namespace
}  // namespace headrace::worker
