#include "cli/pass_figures.hpp"

#include <gtest/gtest.h>

namespace headrace::cli {
namespace {

std::vector<pass_figures> with_ndcg(std::initializer_list<double> values) {
  std::vector<pass_figures> passes;
  for (const double value : values) {
    pass_figures each;
    each.pass = 2 * passes.size() + 2;
    each.ndcg = value;
    passes.push_back(each);
  }
  return passes;
}

TEST(PassFigures, TheBestPassIsTheFirstOfTheHighestNdcg) {
  EXPECT_FALSE(best_of({}).has_value());
  EXPECT_EQ(best_of(with_ndcg({0.1, 0.3, 0.3, 0.2}))->pass, 4U);
}

TEST(PassFigures, AreEnoughWhenSoManyInARowAreNotTheBest) {
  EXPECT_FALSE(is_enough({}, 1));
  EXPECT_FALSE(is_enough(with_ndcg({0.1}), 1));
  EXPECT_TRUE(is_enough(with_ndcg({0.2, 0.1}), 1));
  EXPECT_TRUE(is_enough(with_ndcg({0.2, 0.2}), 1));
  EXPECT_FALSE(is_enough(with_ndcg({0.3, 0.1, 0.2}), 3));
  EXPECT_TRUE(is_enough(with_ndcg({0.3, 0.1, 0.2, 0.1}), 3));
  EXPECT_FALSE(is_enough(with_ndcg({0.3, 0.1, 0.2, 0.4}), 3));
  EXPECT_FALSE(is_enough(with_ndcg({0.3, 0.1, 0.1, 0.1}), 0));
}

TEST(PassFigures, AreReadBackFromTheirLineButNotFromAPartOfIt) {
  const pass_figures written{7, 22'363, 0.0605, 1.0 / 3.0, 0.02, 1'764'263'000'123};
  const std::string line = to_line(written);
  const auto read = pass_from_line(line);
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->pass, written.pass);
  EXPECT_EQ(read->cases, written.cases);
  EXPECT_EQ(read->hit_rate, written.hit_rate);
  EXPECT_EQ(read->ndcg, written.ndcg);
  EXPECT_EQ(read->mrr, written.mrr);
  EXPECT_EQ(read->at_ms, written.at_ms);
  for (std::size_t cut = 0; cut < line.size(); ++cut)
    EXPECT_FALSE(pass_from_line(line.substr(0, cut)).has_value()) << cut;
}

TEST(PassFigures, OfABuildWithoutTimesAreRead) {
  const auto read = pass_from_line(R"({"pass":7,"cases":3,"hr":0.5,"ndcg":0.25,"mrr":0.125})");
  ASSERT_TRUE(read.has_value());
  EXPECT_EQ(read->mrr, 0.125);
  EXPECT_EQ(read->at_ms, 0U);
}

}  // namespace
}  // namespace headrace::cli
