#include "kernels/init_rows/init_rows.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <bit>
#include <cmath>

namespace headrace::kernels {
namespace {

std::vector<std::uint64_t> some_keys(std::size_t n) {
  std::vector<std::uint64_t> keys = {0, 1, ~std::uint64_t{0}};
  for (std::uint64_t i = keys.size(); i < n; ++i) keys.push_back(mix64(i));
  keys.resize(n);
  return keys;
}

std::vector<float> made(const std::vector<std::uint64_t>& keys,
                        std::size_t dim,
                        float scale,
                        std::size_t first) {
  misaligned<float> values(keys.size() * dim, 9.0F);
  init_rows_cpu({.keys = keys,
                 .seed = 7,
                 .scale = scale,
                 .first_order_columns = first,
                 .dim = dim,
                 .values = values.span()});
  return {values.span().begin(), values.span().end()};
}

TEST(InitRows, GivesTheBitsOfTheReferenceForEveryWidth) {
  for (const std::size_t n : test_counts()) {
    const auto keys = some_keys(n);
    for (const std::size_t dim : test_dims()) {
      for (const std::size_t first : {std::size_t{0}, std::size_t{1}, std::size_t{300}}) {
        for (const float scale : {0.05F, 0.0F, -1.0F, 3e38F, 1e-40F}) {
          std::vector<float> wanted(n * dim);
          init_rows_ref({.keys = keys,
                         .seed = 7,
                         .scale = scale,
                         .first_order_columns = first,
                         .dim = dim,
                         .values = wanted});
          std::vector<float> got = made(keys, dim, scale, first);
          ASSERT_TRUE(same_bits(std::span(got), std::span(wanted)))
              << "dim " << dim << " scale " << scale;
        }
      }
    }
  }
}

/// Frozen: a table written by one release is read by the next, absent rows included.
TEST(InitRows, KeepsTheBitsOfTheFirstRelease) {
  const std::vector<float> row = made({0x0123456789ABCDEFULL}, 4, 0.5F, 1);
  EXPECT_EQ(row[0], 0.0F);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(row[1]), 0xBEE4BEE8U);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(row[2]), 0x3DC44328U);
  EXPECT_EQ(std::bit_cast<std::uint32_t>(row[3]), 0x3EF5E1C0U);
}

TEST(InitRows, WritesThroughRowPointersWhatItWritesInABlock) {
  const auto keys = some_keys(5);
  std::vector<float> block = made(keys, 6, 0.1F, 1);
  std::array<std::array<float, 6>, 5> scattered{};
  std::array<float*, 5> rows{};
  for (std::size_t i = 0; i < 5; ++i) rows[i] = scattered[4 - i].data();
  init_rows_cpu(
      {.keys = keys, .seed = 7, .scale = 0.1F, .first_order_columns = 1, .dim = 6, .rows = rows});
  for (std::size_t i = 0; i < 5; ++i) {
    EXPECT_TRUE(same_bits(std::span<float>(rows[i], 6), std::span(block).subspan(i * 6, 6)));
  }
}

TEST(InitRows, DependsOnKeySeedAndColumnNotOnPlace) {
  const std::vector<float> pair = made({11, 12}, 8, 1.0F, 0);
  const std::vector<float> alone = made({12}, 8, 1.0F, 0);
  EXPECT_TRUE(std::equal(alone.begin(), alone.end(), pair.begin() + 8));
  EXPECT_NE(pair[0], pair[8]);
  EXPECT_NE(pair[0], pair[1]);
  std::vector<float> other_seed(8);
  const std::vector<std::uint64_t> key = {12};
  init_rows_cpu({.keys = key, .seed = 8, .scale = 1.0F, .dim = 8, .values = other_seed});
  EXPECT_NE(other_seed, alone);
}

/// 10^5 uniform draws on [-1, 1): mean within 5 standard errors of 0 (5 / sqrt(3n)), mean square
/// within 5 of 1/3 (standard deviation of the square sqrt(4/45)).
TEST(InitRows, IsUniformInTheScale) {
  const std::vector<float> values = made(some_keys(1000), 100, 1.0F, 0);
  double sum = 0.0;
  double squares = 0.0;
  for (const float value : values) {
    ASSERT_GE(value, -1.0F);
    ASSERT_LT(value, 1.0F);
    sum += static_cast<double>(value);
    squares += static_cast<double>(value) * static_cast<double>(value);
  }
  const double n = static_cast<double>(values.size());
  EXPECT_LT(std::abs(sum / n), 5.0 / std::sqrt(3.0 * n));
  EXPECT_LT(std::abs(squares / n - 1.0 / 3.0), 5.0 * std::sqrt(4.0 / 45.0 / n));
}

}  // namespace
}  // namespace headrace::kernels
