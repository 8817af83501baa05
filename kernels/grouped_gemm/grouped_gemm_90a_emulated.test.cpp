#include "base/random.hpp"
#include "kernels/grouped_gemm/grouped_gemm_90a_launch.hpp"
#include "kernels/runtime/emulated_cases.hpp"
#include "kernels/runtime/half.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace headrace::kernels {
namespace {

constexpr std::uint16_t not_a_number = 0x7FC0;
constexpr double half_ulp = 1.0 / 256;  // of a bfloat16, relative

/// Values for the copy engine: aligned to 16 bytes, as operator new aligns them.
std::vector<std::uint16_t> drawn(std::size_t count, random_stream& random) {
  std::vector<std::uint16_t> values(count);
  for (auto& x : values) x = brain_nearest(next_signed(random, 1.0F));
  return values;
}

double value(std::uint16_t bits) { return static_cast<double>(brain_to_float(bits)); }

struct gemm_case {
  std::vector<std::uint32_t> sizes;
  std::uint32_t depth = 64;
  std::uint32_t columns = 128;
  std::uint32_t blocks = 3;

  std::vector<std::uint32_t> offsets() const {
    std::vector<std::uint32_t> all{0};
    for (const std::uint32_t n : sizes) all.push_back(all.back() + n);
    return all;
  }
  std::uint32_t groups() const { return static_cast<std::uint32_t>(sizes.size()); }
};

/// Uneven, empty, of just a tile, one row short and over; results of both tile widths.
const std::vector<gemm_case> cases = {
    {{0, 5, 130, 0, 128, 1}, 72, 136, 3},
    {{129, 0, 63}, 200, 48, 2},
    {{0, 0, 7}, 8, 8, 5},
    {{64, 65}, 320, 384, 4},
};

std::string text_of(const gemm_case& of) {
  std::string text = "depth " + std::to_string(of.depth) + " columns " + std::to_string(of.columns);
  for (const std::uint32_t n : of.sizes) text += " " + std::to_string(n);
  return text;
}

void check_product(const gemm_case& of, weight_order order, const emulated_launch& start) {
  random_stream random(start.seed);
  const std::vector<std::uint32_t> offsets = of.offsets();
  const std::uint32_t rows = offsets.back();
  const std::vector<std::uint16_t> left = drawn(std::size_t{rows} * of.depth, random);
  const std::size_t matrix = std::size_t{of.depth} * of.columns;
  const std::vector<std::uint16_t> weights = drawn(of.groups() * matrix, random);
  std::vector<std::uint16_t> out(std::size_t{rows} * of.columns, not_a_number);
  launch_grouped_product({left.data(),
                          weights.data(),
                          order,
                          out.data(),
                          offsets.data(),
                          of.groups(),
                          rows,
                          of.depth,
                          of.columns},
                         of.blocks,
                         emulated_map,
                         start);
  const bool by_columns = order == weight_order::columns_by_depth;
  for (std::uint32_t g = 0; g < of.groups(); ++g) {
    for (std::uint32_t r = offsets[g]; r < offsets[g + 1]; ++r) {
      for (std::uint32_t c = 0; c < of.columns; ++c) {
        double sum = 0;
        double size = 0;
        for (std::uint32_t k = 0; k < of.depth; ++k) {
          const std::size_t at =
              by_columns ? std::size_t{c} * of.depth + k : std::size_t{k} * of.columns + c;
          const double term =
              value(left[std::size_t{r} * of.depth + k]) * value(weights[g * matrix + at]);
          sum += term;
          size += std::abs(term);
        }
        const double bound = half_ulp * std::abs(sum) + 1e-5 * size;
        ASSERT_NEAR(value(out[std::size_t{r} * of.columns + c]), sum, bound) << r << " " << c;
      }
    }
  }
}

TEST(GroupedGemm90a, ProductsOfUnevenGroupsAreTheReferences) {
  for (const gemm_case& of : cases) {
    SCOPED_TRACE(text_of(of));
    for_each_order([&](const emulated_launch& start) {
      check_product(of, weight_order::depth_by_columns, start);
      check_product(of, weight_order::columns_by_depth, start);
    });
  }
}

void check_sums(const gemm_case& of, const emulated_launch& start) {
  random_stream random(start.seed);
  const std::vector<std::uint32_t> offsets = of.offsets();
  const std::uint32_t rows = offsets.back();
  const std::vector<std::uint16_t> left = drawn(std::size_t{rows} * of.depth, random);
  const std::vector<std::uint16_t> right = drawn(std::size_t{rows} * of.columns, random);
  const std::size_t matrix = std::size_t{of.depth} * of.columns;
  std::vector<float> before(of.groups() * matrix);
  fill_signed(std::span(before), random);
  std::vector<float> out = before;
  launch_grouped_sums({left.data(),
                       right.data(),
                       out.data(),
                       offsets.data(),
                       of.groups(),
                       rows,
                       of.depth,
                       of.columns},
                      of.blocks,
                      emulated_map,
                      start);
  for (std::uint32_t g = 0; g < of.groups(); ++g) {
    for (std::uint32_t d = 0; d < of.depth; ++d) {
      for (std::uint32_t c = 0; c < of.columns; ++c) {
        const std::size_t at = g * matrix + std::size_t{d} * of.columns + c;
        double sum = static_cast<double>(before[at]);
        double size = std::abs(sum);
        for (std::uint32_t r = offsets[g]; r < offsets[g + 1]; ++r) {
          const double term = value(left[std::size_t{r} * of.depth + d]) *
                              value(right[std::size_t{r} * of.columns + c]);
          sum += term;
          size += std::abs(term);
        }
        ASSERT_NEAR(static_cast<double>(out[at]), sum, 1e-5 * size) << g << " " << d << " " << c;
        ASSERT_TRUE(of.sizes[g] != 0 || out[at] == before[at]) << g << " " << at;
      }
    }
  }
}

TEST(GroupedGemm90a, SumsOverUnevenGroupsAreTheReferences) {
  for (const gemm_case& of : cases) {
    SCOPED_TRACE(text_of(of));
    for_each_order([&](const emulated_launch& start) { check_sums(of, start); });
  }
}

TEST(GroupedGemm90a, OneGroupsBadNumbersStayInIt) {
  const gemm_case of{{70, 3, 70}, 72, 72, 2};
  const std::vector<std::uint32_t> offsets = of.offsets();
  const std::uint32_t rows = offsets.back();
  const std::size_t matrix = std::size_t{of.depth} * of.columns;
  random_stream random(test_seed());
  std::vector<std::uint16_t> left = drawn(std::size_t{rows} * of.depth, random);
  std::vector<std::uint16_t> right = drawn(std::size_t{rows} * of.columns, random);
  std::vector<std::uint16_t> weights = drawn(3 * matrix, random);
  std::fill_n(left.begin() + offsets[1] * of.depth, 3 * of.depth, not_a_number);
  std::fill_n(right.begin() + offsets[1] * of.columns, 3 * of.columns, not_a_number);
  std::fill_n(weights.begin() + static_cast<std::ptrdiff_t>(matrix), matrix, not_a_number);
  for_each_order([&](const emulated_launch& start) {
    std::vector<std::uint16_t> out(std::size_t{rows} * of.columns);
    std::vector<float> sums(3 * matrix);
    launch_grouped_product({left.data(),
                            weights.data(),
                            weight_order::depth_by_columns,
                            out.data(),
                            offsets.data(),
                            3,
                            rows,
                            of.depth,
                            of.columns},
                           of.blocks,
                           emulated_map,
                           start);
    launch_grouped_sums(
        {left.data(), right.data(), sums.data(), offsets.data(), 3, rows, of.depth, of.columns},
        of.blocks,
        emulated_map,
        start);
    for (std::uint32_t r = 0; r < rows; ++r) {
      const bool bad = r >= offsets[1] && r < offsets[2];
      for (std::uint32_t c = 0; c < of.columns; ++c) {
        ASSERT_EQ(std::isnan(value(out[std::size_t{r} * of.columns + c])), bad) << r << " " << c;
      }
    }
    for (std::size_t i = 0; i < sums.size(); ++i) {
      ASSERT_EQ(std::isnan(sums[i]), i / matrix == 1) << i;
    }
  });
}

TEST(GroupedGemm90a, TheSameCallGivesTheSameBits) {
  const gemm_case of{{40, 90}, 136, 136, 2};
  const std::vector<std::uint32_t> offsets = of.offsets();
  const std::size_t matrix = std::size_t{of.depth} * of.columns;
  random_stream random(test_seed());
  const std::vector<std::uint16_t> left = drawn(std::size_t{130} * of.depth, random);
  const std::vector<std::uint16_t> right = drawn(std::size_t{130} * of.columns, random);
  std::vector<std::vector<float>> results;
  for_each_order([&](const emulated_launch& start) {
    for (const std::uint32_t blocks : {1U, 4U}) {
      std::vector<float>& out = results.emplace_back(2 * matrix);
      launch_grouped_sums(
          {left.data(), right.data(), out.data(), offsets.data(), 2, 130, of.depth, of.columns},
          blocks,
          emulated_map,
          start);
      EXPECT_EQ(out, results.front());
    }
  });
}

TEST(GroupedGemm90a, TilesAreWideWhereNoColumnsAreWasted) {
  EXPECT_FALSE(suits_wide_tiles(128));
  EXPECT_TRUE(suits_wide_tiles(129));
  EXPECT_TRUE(suits_wide_tiles(256));
  EXPECT_FALSE(suits_wide_tiles(257));
  EXPECT_TRUE(suits_wide_tiles(4'096));
}

}  // namespace
}  // namespace headrace::kernels
