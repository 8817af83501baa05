#include "worker/ingest/planted_source.hpp"

#include <gtest/gtest.h>

#include <cmath>

namespace headrace::worker {
namespace {

struct facts {
  double click_rate = 0.0;
  double constant_logloss = 0.0;
  double bayes_logloss = 0.0;
};

facts facts_of(generator kind) {
  constexpr std::uint64_t rows = 1'000'000;
  planted_source source(rows, 20'240'601, kind);
  event each;
  double positives = 0.0;
  double loss = 0.0;
  while (*source.next(each)) {
    positives += static_cast<double>(each.label);
    loss -= each.label > 0.5F ? std::log(source.truth()) : std::log1p(-source.truth());
  }
  const double p = positives / rows;
  return {p, -(p * std::log(p) + (1 - p) * std::log1p(-p)), loss / rows};
}

// notes/baselines.md §3a: to the digits it gives.
TEST(PlantedSource, HasTheKnownFacts) {
  const facts stationary = facts_of(generator::planted);
  EXPECT_NEAR(stationary.click_rate, 0.3034, 0.00005);
  EXPECT_NEAR(stationary.constant_logloss, 0.61371, 0.000005);
  EXPECT_NEAR(stationary.bayes_logloss, 0.43885, 0.000005);
}

TEST(PlantedSource, HasTheKnownFactsOfTheDriftVariant) {
  const facts drift = facts_of(generator::planted_drift);
  EXPECT_NEAR(drift.click_rate, 0.3057, 0.00005);
  EXPECT_NEAR(drift.constant_logloss, 0.61563, 0.000005);
  EXPECT_NEAR(drift.bayes_logloss, 0.43758, 0.000005);
}

TEST(PlantedSource, GivesEachFieldItsOwnRowsAndDenseValuesTheirRowTimesTheValue) {
  planted_source source(3, 1, generator::planted);
  event each;
  while (*source.next(each)) {
    ASSERT_EQ(each.keys.size(), 39U);
    ASSERT_EQ(each.values.size(), 39U);
    for (std::size_t f = 0; f < 39; ++f) EXPECT_EQ(each.keys[f] >> 40, f + 1);
    for (std::size_t f = 0; f < 26; ++f) EXPECT_EQ(each.values[f], 1.0F);
    for (std::size_t f = 26; f < 39; ++f) {
      EXPECT_EQ(each.keys[f] & 0xFFFFFFFFFFULL, 0U);
      EXPECT_TRUE(each.values[f] >= 0.0F && each.values[f] < 1.0F);
    }
  }
  EXPECT_EQ(source.position(), 3U);
}

// Its features and clicks are those of the first variant, so what is known of these holds.
TEST(PlantedSource, AddsConversionsOfClicksToTheSameRows) {
  constexpr std::uint64_t rows = 200'000;
  planted_source plain(rows, 20'240'601, generator::planted);
  planted_source source(rows, 20'240'601, generator::planted_conversion);
  event expected;
  event each;
  double conversions = 0.0;
  double truths = 0.0;
  double loss = 0.0;
  while (*plain.next(expected)) {
    ASSERT_TRUE(*source.next(each));
    ASSERT_EQ(each.keys, expected.keys);
    ASSERT_EQ(each.values, expected.values);
    ASSERT_EQ(each.label, expected.label);
    ASSERT_TRUE(expected.more_labels.empty());
    ASSERT_EQ(each.more_labels.size(), 1U);
    ASSERT_LE(each.more_labels[0], each.label);
    ASSERT_LT(source.conversion_truth(), source.truth());
    const bool converted = each.more_labels[0] > 0.5F;
    conversions += converted ? 1.0 : 0.0;
    truths += source.conversion_truth();
    loss -=
        converted ? std::log(source.conversion_truth()) : std::log1p(-source.conversion_truth());
  }
  EXPECT_FALSE(*source.next(each));
  EXPECT_NEAR(conversions, truths, 5 * std::sqrt(truths));
  EXPECT_NEAR(conversions / rows, 0.09456, 0.00005);
  EXPECT_NEAR(loss / rows, 0.206279, 0.000005);
}

TEST(PlantedSource, GoesOnExactlyWhereItWas) {
  for (const generator kind : {generator::planted_drift, generator::planted_conversion}) {
    planted_source whole(1'000, 7, kind);
    planted_source again(1'000, 7, kind);
    event expected;
    event got;
    for (int i = 0; i < 600; ++i) ASSERT_TRUE(*whole.next(expected));
    ASSERT_TRUE(again.skip(600).ok());
    while (*whole.next(expected)) {
      ASSERT_TRUE(*again.next(got));
      EXPECT_EQ(got.keys, expected.keys);
      EXPECT_EQ(got.values, expected.values);
      EXPECT_EQ(got.label, expected.label);
      EXPECT_EQ(got.more_labels, expected.more_labels);
      EXPECT_EQ(got.row_number, expected.row_number);
    }
    EXPECT_FALSE(*again.next(got));
    EXPECT_FALSE(again.skip(1'001).ok());
  }
}

TEST(Zipf, DrawsRanksAsOftenAsTheirPowerSays) {
  for (const double exponent : {0.5, 0.99, 1.0, 1.05, 2.0}) {
    constexpr std::uint64_t n = 50;
    constexpr int draws = 200'000;
    random_stream random(9);
    const zipf_rejection_inversion zipf(exponent, n);
    std::vector<double> seen(n + 1);
    for (int i = 0; i < draws; ++i) {
      const std::uint64_t rank = zipf(random);
      ASSERT_TRUE(rank >= 1 && rank <= n);
      ++seen[rank];
    }
    double total = 0.0;
    for (std::uint64_t k = 1; k <= n; ++k) total += std::pow(static_cast<double>(k), -exponent);
    for (std::uint64_t k = 1; k <= n; ++k) {
      const double expected = draws * std::pow(static_cast<double>(k), -exponent) / total;
      EXPECT_NEAR(seen[k], expected, 5 * std::sqrt(expected) + 1)
          << "exponent " << exponent << " rank " << k << " seed 9";
    }
  }
  random_stream random(1);
  EXPECT_EQ(zipf_rejection_inversion(1.05, 1)(random), 1U);
}

}  // namespace
}  // namespace headrace::worker
