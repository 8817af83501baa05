#include "kernels/quantize_rows/quantize_rows.hpp"

#include "kernels/quantize_rows/row_scale.hpp"
#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>
#include <limits>

namespace headrace::kernels {
namespace {

constexpr float float_max = std::numeric_limits<float>::max();
constexpr float saturated_above = 127.0F * half_max;

struct quantized {
  quantized(std::size_t rows, std::size_t dim)
      : codes(rows * dim, std::int8_t{99}), scales(rows, 99) {}
  misaligned<std::int8_t> codes;
  misaligned<std::uint16_t> scales;
};

template <class Quantize>
quantized quantize(const misaligned<float>& values,
                   std::size_t rows,
                   std::size_t dim,
                   const Quantize& op) {
  quantized result(rows, dim);
  op({.values = values.span(),
      .codes = result.codes.span(),
      .scales = result.scales.span(),
      .dim = dim});
  return result;
}

/// Rows of every magnitude a float can have, a hard value here and there.
misaligned<float> drawn_rows(std::size_t rows, std::size_t dim, std::uint64_t seed) {
  random_stream random(seed);
  misaligned<float> values(rows * dim);
  for (std::size_t r = 0; r < rows; ++r) {
    const int exponent = static_cast<int>(random.next_below(277)) - 149;
    for (float& value : values.span().subspan(r * dim, dim)) {
      value = std::ldexp(next_signed(random), exponent);
      if (random.next_below(64) == 0) value = next_hard(random, 1);
    }
  }
  return values;
}

float magnitude_of(std::span<const float> row) {
  float magnitude = 0.0F;
  for (const float value : row) magnitude = std::max(magnitude, std::abs(value));
  return magnitude;
}

TEST(QuantizeRows, GivesTheBitsOfTheReferenceForEveryWidth) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for (const std::size_t dim : test_dims()) {
        for (const std::size_t rows :
             {std::size_t{1}, std::size_t{15}, std::size_t{16}, std::size_t{17}, std::size_t{60}}) {
          SCOPED_TRACE(std::to_string(rows) + " rows of dim " + std::to_string(dim));
          const misaligned<float> values = drawn_rows(rows, dim, test_seed() + dim);
          quantized wanted = quantize(values, rows, dim, quantize_rows_ref);
          quantized got = quantize(values, rows, dim, quantize_rows_cpu);
          ASSERT_TRUE(same_bits(got.scales.span(), wanted.scales.span()));
          ASSERT_TRUE(same_bits(got.codes.span(), wanted.codes.span()));
        }
      }
    });
  });
}

TEST(QuantizeRows, TakesNoRows) {
  for_each_cpu_target([] { quantize(misaligned<float>(0), 0, 5, quantize_rows_cpu); });
}

/// With f = fl(1 / s), q = fl(v f) and |v / s| <= 127: f is off by 2^-24 of itself and q by 2^-24
/// more, so |q - v/s| <= 127 * 2^-23 (1 + 2^-25), and rounding q to a whole number adds at most 1/2
/// of a step: |v - code * s| <= s (1/2 + 127 * 2^-23 (1 + 2^-25)) < s/2 (1 + 2^-15). Scale 0 means
/// |v| <= 2^-25.
TEST(QuantizeRows, StaysWithinHalfAStepExactly) {
  for_each_cpu_target([] {
    for (const std::size_t dim : {std::size_t{1}, std::size_t{33}, std::size_t{64}}) {
      const misaligned<float> values = drawn_rows(500, dim, test_seed());
      quantized got = quantize(values, 500, dim, quantize_rows_cpu);
      for (std::size_t r = 0; r < 500; ++r) {
        const auto row = values.span().subspan(r * dim, dim);
        if (magnitude_of(row) > saturated_above) continue;
        const double scale = static_cast<double>(half_to_float(got.scales.span()[r]));
        const double bound = std::max(scale, 0x1p-24) / 2.0 * (1.0 + 0x1p-15);
        for (std::size_t c = 0; c < dim; ++c) {
          const double back = static_cast<double>(got.codes.span()[r * dim + c]) * scale;
          ASSERT_LE(std::abs(static_cast<double>(row[c]) - back), bound)
              << "value " << row[c] << ", scale " << scale;
        }
      }
    }
  });
}

TEST(QuantizeRows, NeverUsesTheCodeMinus128) {
  for_each_cpu_target([] {
    const misaligned<float> values = drawn_rows(2000, 17, test_seed() + 1);
    quantized got = quantize(values, 2000, 17, quantize_rows_cpu);
    for (const std::int8_t code : got.codes.span()) ASSERT_GE(code, -127);
  });
}

/// Every threshold of the scale: 127 * h still fits h, one float more does not.
TEST(QuantizeRows, TakesTheSmallestScaleThatClipsNothing) {
  misaligned<float> rows(2 * half_max_bits - 2);
  std::vector<std::uint16_t> wanted;
  for (std::uint32_t bits = 1; bits < half_max_bits; ++bits) {
    const float largest = 127.0F * half_to_float(static_cast<std::uint16_t>(bits));
    rows.span()[wanted.size()] = largest;
    wanted.push_back(static_cast<std::uint16_t>(bits));
    rows.span()[wanted.size()] = -std::nextafterf(largest, float_max);
    wanted.push_back(static_cast<std::uint16_t>(bits + 1));
  }
  in_both_float_modes([&] {
    for (std::size_t r = 0; r < wanted.size(); ++r)
      ASSERT_EQ(row_scale(std::abs(rows.span()[r])), wanted[r]);
    for_each_cpu_target([&] {
      quantized got = quantize(rows, wanted.size(), 1, quantize_rows_cpu);
      ASSERT_TRUE(same_bits(got.scales.span(), std::span(wanted)));
    });
  });
  EXPECT_EQ(row_scale(saturated_above), half_max_bits);
  EXPECT_EQ(row_scale(float_max), half_max_bits);
}

TEST(QuantizeRows, GivesScaleZeroUpToHalfTheSmallestScale) {
  in_both_float_modes([] {
    EXPECT_EQ(row_scale(0.0F), 0);
    EXPECT_EQ(row_scale(std::numeric_limits<float>::denorm_min()), 0);
    EXPECT_EQ(row_scale(0x1p-25F), 0);
    EXPECT_EQ(row_scale(0x1.000002p-25F), 1);
  });
}

/// One row, on every target.
void expect_codes(const std::vector<float>& row,
                  std::uint16_t scale,
                  const std::vector<std::int8_t>& codes) {
  for_each_cpu_target([&] {
    misaligned<float> values(row.size());
    std::copy(row.begin(), row.end(), values.span().begin());
    quantized got = quantize(values, 1, row.size(), quantize_rows_cpu);
    EXPECT_EQ(got.scales.span()[0], scale);
    EXPECT_TRUE(same_bits(std::span<const std::int8_t>(got.codes.span()), std::span(codes)));
  });
}

TEST(QuantizeRows, RoundsTiesToEven) {
  const std::uint16_t one = 0x3C00;
  expect_codes({127.0F, 0.5F, 1.5F, 2.5F, -0.5F, -1.5F, -2.5F, 125.5F, 126.5F},
               one,
               {127, 0, 2, 2, 0, -2, -2, 126, 126});
}

TEST(QuantizeRows, LimitsCodesWhereTheScaleSaturates) {
  expect_codes({float_max, -float_max, 65504.0F, 0.0F}, half_max_bits, {127, -127, 1, 0});
}

TEST(QuantizeRows, GivesZeroCodesForRowsOfZerosAndSubnormals) {
  const float tiny = std::numeric_limits<float>::denorm_min();
  expect_codes({0.0F, -0.0F, tiny, -tiny, 0x1p-25F}, 0, {0, 0, 0, 0, 0});
}

TEST(DequantizeRows, IsExactForEveryCodeAndEveryFiniteScale) {
  std::vector<std::int8_t> codes(256);
  for (int code = -128; code < 128; ++code)
    codes[static_cast<std::size_t>(code + 128)] = static_cast<std::int8_t>(code);
  for_each_cpu_target([&codes] {
    std::vector<float> values(256);
    for (std::uint32_t bits = 0; bits < 0x7C00U; ++bits) {
      const std::uint16_t scale = static_cast<std::uint16_t>(bits);
      dequantize_rows_cpu({.codes = codes, .scales = {&scale, 1}, .dim = 256, .values = values});
      const double factor = static_cast<double>(half_to_float(scale));
      for (std::size_t i = 0; i < 256; ++i) {
        ASSERT_EQ(static_cast<double>(values[i]), static_cast<double>(codes[i]) * factor)
            << "scale " << bits;
      }
    }
  });
}

TEST(DequantizeRows, GivesTheBitsOfTheReferenceForEveryWidth) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      random_stream random(test_seed());
      for (const std::size_t dim : test_dims()) {
        SCOPED_TRACE("dim " + std::to_string(dim));
        misaligned<std::int8_t> codes(9 * dim);
        misaligned<std::uint16_t> scales(9);
        for (std::int8_t& code : codes.span()) code = static_cast<std::int8_t>(random.next());
        for (std::uint16_t& scale : scales.span())
          scale = static_cast<std::uint16_t>(random.next_below(0x7C01));
        misaligned<float> got(9 * dim, -7.0F);
        misaligned<float> wanted(9 * dim, -8.0F);
        dequantize_rows_cpu(
            {.codes = codes.span(), .scales = scales.span(), .dim = dim, .values = got.span()});
        dequantize_rows_ref(
            {.codes = codes.span(), .scales = scales.span(), .dim = dim, .values = wanted.span()});
        for (float& value : wanted.span())
          value = std::isnan(value) ? 0.0F : value;  // 0 * infinity: any NaN
        for (float& value : got.span()) value = std::isnan(value) ? 0.0F : value;
        ASSERT_TRUE(same_bits(got.span(), wanted.span()));
      }
    });
  });
}

TEST(QuantizeRows, RefusesBuffersOfTheWrongSize) {
  std::array<float, 4> values{};
  std::array<std::int8_t, 4> codes{};
  std::array<std::uint16_t, 1> scales{};
  EXPECT_DEATH(quantize_rows_cpu({.values = values, .codes = codes, .scales = scales, .dim = 2}),
               "scales");
}

}  // namespace
}  // namespace headrace::kernels
