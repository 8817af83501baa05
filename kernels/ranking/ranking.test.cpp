#include "kernels/ranking/ranking.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

struct ranking_shape {
  std::size_t users = 1;
  std::size_t items = 1;
  std::size_t dim = 1;
  bool whole_numbers = true;  // small ones: scores are exact, and many tie
  bool excluding = true;
};

struct ranking_case {
  ranking_case(const ranking_shape& s, std::uint64_t seed)
      : shape(s), x(s.users * s.dim), items(s.items * s.dim), ranks(s.users) {
    random_stream random(seed);
    const auto next = [&random, &s] {
      return s.whole_numbers ? static_cast<float>(random.next_below(5)) - 2.0F
                             : next_signed(random);
    };
    for (float& value : x.span()) value = next();
    for (float& value : items.span()) value = next();
    if (s.excluding) offsets.push_back(0);
    for (std::size_t u = 0; u < s.users; ++u) {
      positives.push_back(static_cast<std::uint32_t>(random.next_below(s.items)));
      if (s.excluding) exclude(random);
    }
  }

  /// Some ascending ids, now and then the positive among them, or one twice.
  void exclude(random_stream& random) {
    std::vector<std::uint32_t> ids(random.next_below(20));
    for (std::uint32_t& id : ids) id = static_cast<std::uint32_t>(random.next_below(shape.items));
    if (random.next_below(2) == 0) ids.push_back(positives.back());
    std::sort(ids.begin(), ids.end());
    excluded.insert(excluded.end(), ids.begin(), ids.end());
    offsets.push_back(static_cast<std::uint32_t>(excluded.size()));
  }

  std::vector<double> run(void (*op)(const ranking_args&)) {
    misaligned<float> workspace(ranking_workspace(shape.dim), nan_value);
    std::fill(ranks.span().begin(), ranks.span().end(), static_cast<double>(nan_value));
    op({.x = x.span(),
        .items = items.span(),
        .dim = shape.dim,
        .positives = positives,
        .excluded = excluded,
        .excluded_offsets = offsets,
        .ranks = ranks.span(),
        .workspace = workspace.span()});
    return {ranks.span().begin(), ranks.span().end()};
  }

  ranking_shape shape;
  misaligned<float> x;
  misaligned<float> items;
  std::vector<std::uint32_t> positives;
  std::vector<std::uint32_t> excluded;
  std::vector<std::uint32_t> offsets;
  misaligned<double> ranks;
};

std::string describe(const ranking_shape& s) {
  return std::to_string(s.users) + " users, " + std::to_string(s.items) + " items, dim " +
         std::to_string(s.dim);
}

TEST(Ranking, EqualsTheReferenceWhereScoresAreExactAndManyTie) {
  for (const std::size_t users : {0U, 1U, 7U, 8U, 17U, 33U, 257U}) {
    for (const std::size_t items : {1U, 2U, 5U, 6U, 7U, 13U, 239U, 241U, 487U}) {
      const ranking_shape shape = {
          users, items, 1 + (users * 3 + items) % 19, true, (users + items) % 3 != 0};
      SCOPED_TRACE(describe(shape));
      ranking_case one(shape, test_seed() + users + items);
      const std::vector<double> wanted = one.run(ranking_ref);
      in_both_float_modes(
          [&] { for_each_cpu_target([&] { ASSERT_EQ(one.run(ranking_cpu), wanted); }); });
    }
  }
}

/// Scores within `slack` of the positive's may fall on either side of it.
TEST(Ranking, DiffersFromTheExactRankOnlyByScoresWithinTheirBounds) {
  ranking_case one({40, 700, 64, false, false}, test_seed());
  const auto exact = [&one](std::size_t u, std::size_t v, bool sizes) {
    double sum = 0.0;
    for (std::size_t k = 0; k < 64; ++k) {
      const double term = static_cast<double>(one.x.span()[u * 64 + k]) *
                          static_cast<double>(one.items.span()[v * 64 + k]);
      sum += sizes ? std::abs(term) : term;
    }
    return sum;
  };
  for_each_cpu_target([&] {
    const std::vector<double> ranks = one.run(ranking_cpu);
    for (std::size_t u = 0; u < 40; ++u) {
      const std::size_t positive = one.positives[u];
      double least = 1.0;
      double most = 1.0;
      for (std::size_t v = 0; v < 700; ++v) {
        if (v == positive) continue;
        const double slack = 65.0 * 0x1p-24 * (exact(u, v, true) + exact(u, positive, true));
        const double ahead = exact(u, v, false) - exact(u, positive, false);
        least += ahead > slack ? 1.0 : 0.0;
        most += ahead >= -slack ? 1.0 : 0.0;
      }
      ASSERT_GE(ranks[u], least) << "user " << u;
      ASSERT_LE(ranks[u], most) << "user " << u;
      ASSERT_LE(most - least, 3.0);  // else the check would say little
    }
  });
}

TEST(Ranking, TiesEqualItemsExactlyWhereverTheyLie) {
  for_each_cpu_target([] {
    ranking_case one({19, 251, 37, false, false}, test_seed());
    for (std::size_t v = 1; v < 251; ++v) {
      std::copy_n(one.items.span().begin(), 37, one.items.span().begin() + v * 37);
    }
    for (const double rank : one.run(ranking_cpu)) ASSERT_EQ(rank, 126.0);
  });
}

TEST(Ranking, ComputesASmallCaseByHand) {
  for_each_cpu_target([] {
    ranking_case one({1, 5, 1, true, false}, test_seed());
    one.x.span()[0] = 1.0F;
    const std::array<float, 5> scores = {3.0F, 1.0F, 2.0F, 2.0F, 0.0F};
    std::copy(scores.begin(), scores.end(), one.items.span().begin());
    one.positives = {2};
    EXPECT_EQ(one.run(ranking_cpu), std::vector<double>{2.5});
    one.excluded = {0, 0, 2, 4};
    one.offsets = {0, 4};
    EXPECT_EQ(one.run(ranking_cpu), std::vector<double>{1.5});
  });
}

TEST(Ranking, PutsABrokenModelLast) {
  for_each_cpu_target([] {
    ranking_case one({3, 20, 4, true, false}, test_seed());
    std::fill_n(one.x.span().begin() + 4, 4, nan_value);
    EXPECT_EQ(one.run(ranking_cpu)[1], 20.0);
    EXPECT_EQ(one.run(ranking_ref)[1], 20.0);
    ranking_case other({1, 20, 4, true, false}, test_seed());
    for (std::size_t v = 0; v < 20; ++v) {
      if (v != other.positives[0]) other.items.span()[v * 4] = nan_value;
    }
    EXPECT_EQ(other.run(ranking_cpu)[0], 20.0);
    EXPECT_EQ(other.run(ranking_ref)[0], 20.0);
  });
}

TEST(Ranking, RefusesExcludedIdsOutOfOrder) {
  ranking_case one({1, 9, 2, true, false}, test_seed());
  one.excluded = {5, 3};
  one.offsets = {0, 2};
  EXPECT_DEATH(one.run(ranking_cpu), "excluded");
}

TEST(Ranking, RefusesAPositiveThatIsNoItem) {
  ranking_case one({1, 9, 2, true, false}, test_seed());
  one.positives = {9};
  EXPECT_DEATH(one.run(ranking_cpu), "positive");
}

}  // namespace
}  // namespace headrace::kernels
