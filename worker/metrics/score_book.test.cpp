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

const std::vector<scored_head> two_heads = {{"buy", 2}, {"click", 0}};

// Three labels a sample, of which the first and the last are predicted, the last first.
schemas::sample_batch batch_of_three_labels(std::uint64_t number) {
  schemas::sample_batch made = batch_of(number, 0, {1, 0});
  made.label_count = 3;
  made.labels = {1, 0, 0, 1, 0, 1};
  return made;
}

TEST(ScoreBook, ScoresEachHeadAgainstItsOwnLabel) {
  score_book book(10, two_heads);
  const std::vector<float> online{0.1F, 0.6F, 0.9F, 0.7F};
  const std::vector<float> frozen{0.9F, 0.6F, 0.1F, 0.7F};
  EXPECT_TRUE(book.add(batch_of_three_labels(1), online, frozen));
  EXPECT_EQ(book.of(0).all.auc(), 1.0);
  EXPECT_EQ(book.of(0).frozen.auc(), 0.0);
  EXPECT_EQ(book.of(0).all.positive_share(), 0.5);
  EXPECT_EQ(book.of(1).all.positive_share(), 1.0);
  EXPECT_NEAR(book.of(1).all.calibration(), 0.65, 1e-6);
  EXPECT_EQ(book.all().auc(), book.of(0).all.auc());  // the first is the main one
  EXPECT_EQ(book.heads()[1].name, "click");
}

TEST(ScoreBook, LoadsFiguresOfAsManyHeadsOnly) {
  score_book book(10, two_heads);
  book.add(batch_of_three_labels(1), std::vector<float>{0.1F, 0.6F, 0.9F, 0.7F}, {});
  score_book again(10, two_heads);
  ASSERT_TRUE(again.load(book.save()).ok());
  EXPECT_EQ(again.save(), book.save());
  EXPECT_EQ(again.of(1).all.samples(), 2U);
  score_book one(10);
  const auto refused = one.load(book.save());
  ASSERT_FALSE(refused.ok());
  EXPECT_NE(refused.error().detail.find("2 predicted labels; this one has 1"), std::string::npos)
      << refused.error().detail;
  EXPECT_FALSE(again.load(one.save()).ok());
  EXPECT_EQ(again.save(), book.save());
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
