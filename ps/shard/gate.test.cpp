#include "ps/shard/gate.hpp"

#include "base/random.hpp"
#include "ps/shard/finite.hpp"
#include "ps/shard/test_push.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace headrace::ps {
namespace {

using schemas::optimizer_kind;
using schemas::value_codec;
using testing::HasSubstr;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
const schemas::source_id clicks{"clicks", 2};

/// Two tables, of 3 and of 1 floats, on shard 1 of 2 at epoch 4 and schema version 9.
struct two_tables {
  two_tables() {
    schema.tables.push_back(schema.tables[0]);
    schema.tables[0].dim = 3;
    schema.tables[1].id = table_id{1};
    schema.tables[1].name = "users";
    schema.version = 9;
    for (std::uint64_t key = 0; keys.size() < 4; ++key) {
      (schemas::shard_of(row_key{key}, 2) == shard_id{1} ? keys : foreign).push_back(key);
    }
    items = {.table = table_id{0}, .dim = 3, .keys = keys, .values = std::vector<float>(12, 0.5F)};
    users = {.table = table_id{1}, .dim = 1, .keys = keys, .values = std::vector<float>(4, 0.5F)};
  }
  schemas::push_section section() const {
    auto made = section_of(clicks, 5, 4, {});
    made.blocks = {items.view(), users.view()};
    made.epoch = headrace::epoch{4};
    made.schema_version = 9;
    made.shard = shard_id{1};
    return made;
  }
  gate make(shard_limits limits = {}) const {
    return gate(shard_id{1}, schema, limits, headrace::epoch{4});
  }

  schemas::job_schema schema = one_table(optimizer_kind::add, 1, 2);
  std::vector<std::uint64_t> keys;     // of shard 1
  std::vector<std::uint64_t> foreign;  // of shard 0
  block_data items;
  block_data users;
};

/// The refusal has this code and its text holds `words`.
template <class Value>
void expect_refused(const result<Value>& answer, errc code, const std::string& words) {
  ASSERT_FALSE(answer.ok()) << "should hold " << words;
  EXPECT_EQ(name(answer.error().code), name(code));
  EXPECT_THAT(answer.error().detail, HasSubstr(words));
}

TEST(Gate, PassesAGoodPushAndTellsItsNorm) {
  const two_tables given;
  const gate at = given.make();
  EXPECT_TRUE(at.check_request(given.section()).ok());
  EXPECT_TRUE(at.check_blocks(given.section()).ok());
  const auto norm = at.check_values(given.section());
  ASSERT_TRUE(norm.ok());
  EXPECT_DOUBLE_EQ(*norm, 2.0);  // sqrt(16 * 0.25)
}

TEST(Gate, RefusesAPushAboveTheBytesAndRowsAllowed) {
  const two_tables given;
  auto section = received(given.section());
  expect_refused(given.make({.section_bytes_max = 64}).check_request(section),
                 errc::too_large,
                 "the limit is 64");
  expect_refused(given.make({.rows_per_push_max = 7}).check_request(section),
                 errc::too_large,
                 "batch 5 of clicks#2 has 8 rows for one shard, the limit is 7");
  EXPECT_TRUE(given.make({.rows_per_push_max = 8}).check_request(section).ok());
}

TEST(Gate, RefusesAnotherShardsSection) {
  const two_tables given;
  auto section = given.section();
  section.shard = shard_id{0};
  expect_refused(given.make().check_request(section), errc::malformed, "sent to shard 1");
}

TEST(Gate, RefusesGenerationZeroWhichThePushRuleKeepsForItself) {
  const two_tables given;
  auto section = given.section();
  section.source.generation = 0;
  expect_refused(
      given.make().check_request(section), errc::malformed, "clicks#0: generations begin at 1");
}

TEST(Gate, RefusesAnotherEpochEitherWay) {
  const two_tables given;
  auto section = given.section();
  for (const std::uint64_t epoch : {3U, 5U}) {
    section.epoch = headrace::epoch{epoch};
    expect_refused(given.make().check_request(section), errc::stale_epoch, "is in epoch 4");
  }
}

TEST(Gate, RefusesAnotherSchemaVersion) {
  const two_tables given;
  auto section = given.section();
  section.schema_version = 8;
  expect_refused(given.make().check_request(section), errc::stale_schema, "schema version 9");
}

TEST(Gate, SizeIsCheckedBeforeEpochAndEpochBeforeSchema) {
  const two_tables given;
  auto section = given.section();
  section.schema_version = 8;
  section.epoch = headrace::epoch{1};
  expect_refused(given.make({.rows_per_push_max = 1}).check_request(section), errc::too_large, "");
  expect_refused(given.make().check_request(section), errc::stale_epoch, "");
}

TEST(Gate, RefusesATableThatTheJobDoesNotHave) {
  two_tables given;
  given.users.table = table_id{7};
  expect_refused(given.make().check_blocks(given.section()),
                 errc::unknown_table,
                 "table 7 is not one of the job's 2");
}

TEST(Gate, RefusesATableTwiceOrOutOfOrder) {
  two_tables given;
  auto section = given.section();
  std::swap(section.blocks[0], section.blocks[1]);
  expect_refused(given.make().check_blocks(section), errc::bad_keys, "out of order");
  section.blocks = {given.items.view(), given.items.view()};
  expect_refused(given.make().check_blocks(section), errc::bad_keys, "table items comes twice");
}

TEST(Gate, RefusesAnotherDim) {
  two_tables given;
  given.items.dim = 2;
  given.items.values.resize(8);
  expect_refused(given.make().check_blocks(given.section()),
                 errc::bad_dims,
                 "table items has rows of 3 floats, the push brings 2");
}

TEST(Gate, RefusesSizesThatDoNotFitTheKeys) {
  const two_tables given;
  auto shorter = given;
  shorter.items.values.pop_back();
  expect_refused(given.make().check_blocks(shorter.section()), errc::bad_dims, "fit its 4 keys");
  auto counted = given;
  counted.items.counts = {1, 2, 3};
  expect_refused(given.make().check_blocks(counted.section()), errc::bad_dims, "fit its 4 keys");
  auto scaled = given;
  scaled.items.scales = {1, 1, 1, 1};
  expect_refused(given.make().check_blocks(scaled.section()), errc::bad_dims, "fit its 4 keys");
  auto unscaled = given;
  unscaled.items.codes.assign(12, 1);
  expect_refused(given.make().check_blocks(unscaled.section()), errc::bad_dims, "fit its 4 keys");
}

TEST(Gate, RefusesUnknownCodecsByNumber) {
  const two_tables given;
  auto section = given.section();
  section.blocks[0].codec = static_cast<value_codec>(6);
  expect_refused(given.make().check_blocks(section), errc::bad_dims, "codec number 6");
  expect_refused(given.make().check_block({table_id{0}, value_codec::topk, given.keys}),
                 errc::bad_dims,
                 "codec number 4");
  expect_refused(given.make().check_block({table_id{0}, static_cast<value_codec>(9), given.keys}),
                 errc::bad_dims,
                 "codec number 9");
}

TEST(Gate, TakesRowsOf16BitsAndTellsTheirNorm) {
  two_tables given;
  const gate at = given.make();
  for (const value_codec codec : {value_codec::fp16, value_codec::bf16}) {
    given.items.words.assign(12, codec == value_codec::fp16 ? 0x3800 : 0x3F00);  // 0.5
    given.items.word_codec = codec;
    given.items.values.clear();
    EXPECT_TRUE(at.check_blocks(given.section()).ok());
    EXPECT_TRUE(at.check_block({table_id{0}, codec, given.keys}).ok());
    const auto norm = at.check_values(given.section());
    ASSERT_TRUE(norm.ok());
    EXPECT_DOUBLE_EQ(*norm, 2.0);
    given.items.words.pop_back();
    expect_refused(at.check_blocks(given.section()), errc::bad_dims, "fit its 4 keys");
  }
}

TEST(Gate, TakesBlocksAndTellsTheirNorm) {
  SCOPED_TRACE("seed " + std::to_string(test_seed()));
  random_stream random(test_seed());
  two_tables given;
  given.schema.tables[0].dim = 200;  // 800 values: several scales
  given.items = {.table = table_id{0}, .dim = 200, .keys = given.keys};
  given.users.values.assign(4, 0.0F);
  const gate at = given.make();
  for (const value_codec codec : {value_codec::topk, value_codec::int4}) {
    for (const std::size_t k : {1, 255, 256, 257, 512, 800}) {
      draw_coded(given.items, codec, codec == value_codec::topk ? k : 0, random);
      EXPECT_TRUE(at.check_blocks(given.section()).ok());
      const auto norm = at.check_values(received(given.section()));
      ASSERT_TRUE(norm.ok());
      double squares = 0.0;
      for (const float value : plain_values(given.items.view()))
        squares += static_cast<double>(value) * static_cast<double>(value);
      EXPECT_NEAR(*norm, std::sqrt(squares), 1e-4 * std::sqrt(squares));
      auto infinite = given;
      infinite.items.scales.back() = 0x7C00;
      expect_refused(at.check_values(infinite.section()),
                     errc::not_finite,
                     "scale " + std::to_string(given.items.scales.size() - 1) + " of table items");
    }
    auto shorter = given;
    shorter.items.coded.pop_back();
    expect_refused(at.check_blocks(shorter.section()), errc::bad_dims, "fit its 4 keys");
    auto unscaled = given;
    unscaled.items.scales.pop_back();
    expect_refused(at.check_blocks(unscaled.section()), errc::bad_dims, "fit its 4 keys");
  }
}

TEST(Gate, FindsTheOneValueOf16BitsThatIsNotFiniteWhereverItIs) {
  two_tables given;
  const gate at = given.make();
  given.items.values.clear();
  for (const value_codec codec : {value_codec::fp16, value_codec::bf16}) {
    given.items.word_codec = codec;
    const unsigned infinite = codec == value_codec::fp16 ? 0x7C00 : 0x7F80;
    for (std::size_t i = 0; i < 12; ++i) {
      for (const unsigned bad : {infinite, infinite | 0x8000U, infinite + 1}) {
        given.items.words.assign(12, static_cast<std::uint16_t>(infinite - 1));  // the largest
        EXPECT_TRUE(at.check_values(given.section()).ok());
        given.items.words[i] = static_cast<std::uint16_t>(bad);
        expect_refused(at.check_values(given.section()),
                       errc::not_finite,
                       "gradient of row " + std::to_string(given.keys[i / 3]) + " of table items");
      }
    }
  }
}

TEST(Gate, RefusesKeysThatDoNotAscend) {
  two_tables given;
  given.items.keys[2] = given.items.keys[1];
  expect_refused(
      given.make().check_blocks(given.section()), errc::bad_keys, "is not above the key before it");
}

TEST(Gate, RefusesKeysOfAnotherShard) {
  two_tables given;
  given.users.keys = {given.foreign[0]};
  given.users.values.resize(1);
  expect_refused(
      given.make().check_blocks(given.section()),
      errc::bad_keys,
      "key " + std::to_string(given.foreign[0]) + " of table 1 does not live on this shard");
  expect_refused(given.make().check_block({table_id{1}, value_codec::fp32, given.users.keys}),
                 errc::bad_keys,
                 "does not live on this shard");
}

TEST(Gate, TakesPullsOfKnownTablesOnly) {
  const two_tables given;
  EXPECT_TRUE(given.make().check_block({table_id{1}, value_codec::int8, given.keys}).ok());
  expect_refused(given.make().check_block({table_id{2}, value_codec::fp32, given.keys}),
                 errc::unknown_table,
                 "table 2");
}

TEST(Gate, FindsTheOneValueThatIsNotFiniteWhereverItIs) {
  two_tables given;
  const gate at = given.make();
  for (std::size_t i = 0; i < given.items.values.size(); ++i) {
    for (const float bad : {infinity, -infinity, not_a_number}) {
      auto spoiled = given;
      spoiled.items.values[i] = bad;
      expect_refused(at.check_values(spoiled.section()),
                     errc::not_finite,
                     "gradient of row " + std::to_string(given.keys[i / 3]) + " of table items");
    }
  }
}

TEST(Gate, TakesTheLargestFiniteGradients) {
  two_tables given;
  given.items.values.assign(12, std::numeric_limits<float>::max());
  const auto norm = given.make().check_values(given.section());
  ASSERT_TRUE(norm.ok());
  EXPECT_NEAR(*norm / (std::sqrt(12.0) * std::numeric_limits<float>::max()), 1.0, 1e-6);
}

TEST(Gate, RefusesAScaleThatIsNotFinite) {
  two_tables given;
  given.items.codes.assign(12, 1);
  for (const std::uint16_t bad : {0x7C00, 0xFC00, 0x7E01}) {
    given.items.scales = {0x3C00, 0x3C00, bad, 0x3C00};
    expect_refused(given.make().check_values(given.section()),
                   errc::not_finite,
                   "scale of row " + std::to_string(given.keys[2]));
  }
  given.items.scales = {0x3C00, 0, 0x7BFF, 1};
  EXPECT_TRUE(given.make().check_values(given.section()).ok());
}

TEST(Gate, RefusesANormFarAboveTheSourcesMedianOnceItKnowsOne) {
  two_tables given;
  gate at = given.make({.norm_factor_max = 100.0});
  auto huge = given;
  huge.items.values.assign(12, 1'000.0F);
  EXPECT_TRUE(at.check_values(huge.section()).ok());  // nothing is known yet
  for (std::size_t i = 0; i < norm_median::norms_min; ++i) at.learn_norm(given.section(), 2.0);
  expect_refused(
      at.check_values(huge.section()),
      errc::norm_exceeded,
      "of batch 5 of clicks#2 is more than 100.000000 times the source's median 2.000000");
  huge.items.values.assign(12, 50.0F);
  EXPECT_TRUE(at.check_values(huge.section()).ok());
  auto other = huge.section();
  other.source.name = "views";
  EXPECT_TRUE(at.check_values(other).ok());
  other = huge.section();
  other.lane = schemas::lane::dense;
  EXPECT_TRUE(at.check_values(other).ok());
}

TEST(Gate, ChecksNoNormWhenTheFactorIsZero) {
  two_tables given;
  gate at = given.make({.norm_factor_max = 0.0});
  for (std::size_t i = 0; i < norm_median::norms_min; ++i) at.learn_norm(given.section(), 1e-30);
  EXPECT_TRUE(at.check_values(given.section()).ok());
}

TEST(NormMedian, FollowsTheLastNormsAndIgnoresZeros) {
  norm_median norms;
  for (int i = 0; i < 100; ++i) norms.learn(clicks, schemas::lane::rows, 0.0);
  EXPECT_EQ(norms.of(clicks, schemas::lane::rows), 0.0);
  for (int i = 1; i <= 9; ++i) norms.learn(clicks, schemas::lane::rows, i);
  EXPECT_EQ(norms.of(clicks, schemas::lane::rows), 5.0);
  for (std::size_t i = 0; i < norm_median::window; ++i)
    norms.learn(clicks, schemas::lane::rows, 70.0);
  EXPECT_EQ(norms.of(clicks, schemas::lane::rows), 70.0);
}

TEST(Finite, SumsSquaresOfEveryLengthCloseToExactly) {
  random_stream random(test_seed());
  for (std::size_t n = 0; n < 9'000; n = n < 40 ? n + 1 : n * 3 / 2) {
    std::vector<float> values(n);
    double exact = 0.0;
    for (float& value : values) {
      value = static_cast<float>(random.next_unit() - 0.5);
      exact += static_cast<double>(value) * value;
    }
    EXPECT_NEAR(sum_of_squares(values), exact, exact * 1e-4);
    EXPECT_EQ(first_not_finite(values), n);
  }
}

TEST(Finite, SeesABadValueAtEveryPlace) {
  for (const std::size_t n : {1U, 15U, 16U, 17U, 4'096U, 4'100U}) {
    for (std::size_t at = 0; at<n; at += n> 100 ? 97 : 1) {
      std::vector<float> values(n, 1.0F);
      values[at] = at % 2 == 0 ? not_a_number : infinity;
      EXPECT_TRUE(std::isinf(sum_of_squares(values)));
      EXPECT_EQ(first_not_finite(values), at);
    }
  }
}

TEST(Finite, SumsCodesExactly) {
  for (const std::size_t dim : {1U, 15U, 16U, 33U, 1'024U}) {
    std::vector<std::int8_t> codes(2 * dim, -128);
    for (std::size_t i = dim; i < codes.size(); ++i) codes[i] = 3;
    const std::vector<std::uint16_t> scales = {0x3C00, 0x4000};  // 1 and 2
    EXPECT_EQ(sum_of_squares(codes, scales, dim), static_cast<double>(dim) * (128 * 128 + 36));
  }
}

TEST(Finite, SumsSquaresOf16BitValuesOfEveryLength) {
  for (const value_codec codec : {value_codec::fp16, value_codec::bf16}) {
    for (const std::size_t n : {0U, 1U, 17U, 4'096U, 4'097U, 9'000U}) {
      std::vector<std::uint16_t> words(n, 0x4000);  // 2 in either
      EXPECT_EQ(sum_of_squares(codec, words), 4.0 * static_cast<double>(n));
      EXPECT_EQ(first_not_finite(codec, words), n);
      if (n == 0) continue;
      words[n - 1] = codec == value_codec::fp16 ? 0xFC00 : 0xFF80;
      EXPECT_TRUE(std::isinf(sum_of_squares(codec, words)));
      EXPECT_EQ(first_not_finite(codec, words), n - 1);
    }
  }
}

}  // namespace
}  // namespace headrace::ps
