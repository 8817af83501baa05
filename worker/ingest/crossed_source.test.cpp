#include "worker/ingest/crossed_source.hpp"

#include "schemas/hash.hpp"

#include <gtest/gtest.h>

#include <array>
#include <set>

namespace headrace::worker {
namespace {

source_spec planted_with_crosses() {
  source_spec spec;
  spec.uri = "generate:planted";
  spec.generate = generator::planted;
  spec.rows = 50;
  spec.crosses = {{"first", "", {0, 3}}, {"second", "other", {5, 4, 3}}};
  return spec;
}

TEST(CrossedSource, PutsKeysThatFollowFromOthersBehindThem) {
  const source_spec spec = planted_with_crosses();
  source_spec plain = spec;
  plain.crosses.clear();
  const auto crossed = make_source(spec);
  const auto inner = make_source(plain);
  ASSERT_TRUE(crossed.ok() && inner.ok());
  EXPECT_EQ((*crossed)->features(), 41U);
  event with;
  event without;
  while (*(*inner)->next(without)) {
    ASSERT_TRUE(*(*crossed)->next(with));
    ASSERT_EQ(with.keys.size(), 41U);
    ASSERT_EQ(with.values.size(), 41U);
    EXPECT_TRUE(std::equal(without.keys.begin(), without.keys.end(), with.keys.begin()));
    EXPECT_TRUE(std::equal(without.values.begin(), without.values.end(), with.values.begin()));
    EXPECT_EQ(with.label, without.label);
    const std::array pair{without.keys[0], without.keys[3]};
    const std::array three{without.keys[5], without.keys[4], without.keys[3]};
    EXPECT_EQ(with.keys[39], schemas::cross_key("first", pair).value);
    EXPECT_EQ(with.keys[40], schemas::cross_key("other", three).value);
    EXPECT_EQ(with.values[39], 1.0F);
    EXPECT_EQ(with.values[40], 1.0F);
  }
  EXPECT_FALSE(*(*crossed)->next(with));
}

TEST(CrossedSource, GoesOnWhereItWas) {
  const auto whole = make_source(planted_with_crosses());
  const auto again = make_source(planted_with_crosses());
  event expected;
  event got;
  for (int i = 0; i < 20; ++i) ASSERT_TRUE(*(*whole)->next(expected));
  ASSERT_TRUE((*again)->skip(20).ok());
  EXPECT_EQ((*again)->position(), 20U);
  while (*(*whole)->next(expected)) {
    ASSERT_TRUE(*(*again)->next(got));
    EXPECT_EQ(got.keys, expected.keys);
  }
}

TEST(CrossedSource, WritesKeysAnewAfterOneWasExchanged) {
  const auto source = make_source(planted_with_crosses());
  event one;
  event two;
  ASSERT_TRUE(*(*source)->next(one));
  ASSERT_TRUE(*(*source)->next(two));
  auto keys = one.keys;
  std::copy(two.keys.begin(), two.keys.end() - 2, keys.begin());
  write_crosses(planted_with_crosses().crosses, keys);
  EXPECT_EQ(keys, two.keys);
}

}  // namespace
}  // namespace headrace::worker
