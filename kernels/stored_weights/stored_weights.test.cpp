#include "kernels/stored_weights/stored_weights.hpp"

#include "kernels/quantize_rows/quantize_rows.hpp"
#include "kernels/runtime/half.hpp"
#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstring>

namespace headrace::kernels {
namespace {

constexpr std::array formats = {
    value_format::fp32, value_format::int8, value_format::fp16, value_format::bf16};
constexpr std::array compact = {value_format::int8, value_format::fp16, value_format::bf16};

std::string describe(value_format format, std::size_t dim) {
  return "format " + std::to_string(static_cast<int>(format)) + ", dim " + std::to_string(dim);
}

/// Stored rows, 4-byte aligned and no more, with bytes between them that must stay.
class stored_rows {
 public:
  stored_rows(value_format format, std::size_t n, std::size_t dim)
      : stride_(stored_bytes(format, dim) / 4 + 1), memory_(1 + n * stride_, 0xABABABABU), n_(n) {}
  std::vector<std::byte*> places() {
    std::vector<std::byte*> places;
    for (std::size_t r = n_; r > 0; --r) {
      places.push_back(reinterpret_cast<std::byte*>(&memory_[1 + (r - 1) * stride_]));
    }
    return places;
  }
  std::vector<const std::byte*> const_places() {
    const auto places_now = places();
    return {places_now.begin(), places_now.end()};
  }
  std::span<std::uint32_t> words() { return memory_; }

 private:
  std::size_t stride_;
  std::vector<std::uint32_t> memory_;
  std::size_t n_;
};

std::vector<float> hard_values(std::size_t n, std::uint64_t seed) {
  random_stream random(seed);
  std::vector<float> values(n);
  for (float& value : values) {
    value = next_hard(random, 3);
    if (random.next_below(4) == 0) value *= 0x1p-14F;  // where halves become subnormal
  }
  return values;
}

std::vector<std::uint64_t> draws_of(std::size_t n, bool any) {
  std::vector<std::uint64_t> draws(any ? n : 0);
  for (std::size_t i = 0; i < draws.size(); ++i) draws[i] = rounding_draw(test_seed(), i, 1);
  return draws;
}

void expect_same_bits_as_reference(value_format format, std::size_t n, std::size_t dim, bool draw) {
  SCOPED_TRACE(describe(format, dim) + (draw ? ", by draw" : ", to nearest"));
  const auto values = hard_values(n * dim, test_seed() + dim);
  const auto draws = draws_of(n, draw);
  stored_rows wanted(format, n, dim);
  stored_rows got(format, n, dim);
  round_weights_ref(
      {.format = format, .values = values, .dim = dim, .draws = draws, .rows = wanted.places()});
  round_weights_cpu(
      {.format = format, .values = values, .dim = dim, .draws = draws, .rows = got.places()});
  ASSERT_TRUE(same_bits(got.words(), wanted.words()));
  misaligned<float> back(n * dim, -9.0F);
  misaligned<float> back_wanted(n * dim, -9.0F);
  widen_weights_ref(
      {.format = format, .rows = wanted.const_places(), .dim = dim, .values = back_wanted.span()});
  widen_weights_cpu(
      {.format = format, .rows = got.const_places(), .dim = dim, .values = back.span()});
  ASSERT_TRUE(same_bits(back.span(), back_wanted.span()));
  for (const float value : back.span()) ASSERT_TRUE(std::isfinite(value));
}

TEST(StoredWeights, GiveTheBitsOfTheReferenceForEveryWidthAndFormat) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for (const value_format format : formats) {
        for (const bool draw : {false, true}) {
          for (const std::size_t dim : test_dims()) {
            expect_same_bits_as_reference(format, 19, dim, draw);
          }
          for (const std::size_t n : test_counts()) {
            expect_same_bits_as_reference(format, n, 33, draw);
          }
        }
      }
    });
  });
}

TEST(StoredWeights, WidenEveryPatternOf16Bits) {
  std::vector<std::uint16_t> words(65'536);
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = static_cast<std::uint16_t>(i);
  const std::array<const std::byte*, 1> row = {reinterpret_cast<const std::byte*>(words.data())};
  std::vector<float> values(words.size());
  for_each_cpu_target([&] {
    for (const value_format format : {value_format::fp16, value_format::bf16}) {
      widen_weights_cpu({.format = format, .rows = row, .dim = words.size(), .values = values});
      for (std::size_t i = 0; i < words.size(); ++i) {
        const float wanted =
            format == value_format::fp16 ? half_to_float(words[i]) : brain_to_float(words[i]);
        ASSERT_EQ(std::isfinite(values[i]), std::isfinite(wanted)) << i;
        if (!std::isfinite(wanted)) continue;
        ASSERT_EQ(std::bit_cast<std::uint32_t>(values[i]), std::bit_cast<std::uint32_t>(wanted))
            << i;
      }
    }
  });
}

/// The values a row takes at rest.
std::vector<float> rounded(value_format format,
                           const std::vector<float>& values,
                           std::vector<std::uint64_t> draw) {
  stored_rows row(format, 1, values.size());
  round_weights_cpu({.format = format,
                     .values = values,
                     .dim = values.size(),
                     .draws = draw,
                     .rows = row.places()});
  std::vector<float> back(values.size());
  widen_weights_cpu(
      {.format = format, .rows = row.const_places(), .dim = values.size(), .values = back});
  return back;
}

TEST(StoredWeights, KeepEveryFiniteValueOf16BitsWhateverTheDraw) {
  for (const value_format format : {value_format::fp16, value_format::bf16}) {
    std::vector<float> values;
    for (std::uint32_t i = 0; i < 65'536; ++i) {
      const auto word = static_cast<std::uint16_t>(i);
      const float value = format == value_format::fp16 ? half_to_float(word) : brain_to_float(word);
      if (std::isfinite(value)) values.push_back(value);
    }
    for_each_cpu_target([&] {
      std::vector<float> nearest = rounded(format, values, {});
      EXPECT_TRUE(same_bits(std::span(nearest), std::span(values)));
      for (std::uint64_t count = 0; count < 10; ++count) {
        std::vector<float> drawn = rounded(format, values, {rounding_draw(test_seed(), 5, count)});
        EXPECT_TRUE(same_bits(std::span(drawn), std::span(values)));
      }
    });
  }
}

TEST(StoredWeights, KeepInt8RowsWhoseLargestCodeIs127WhateverTheDraw) {
  random_stream random(test_seed());
  for (std::uint32_t half = 1; half < 0x7C00; half += 7) {
    std::vector<float> values(20);
    const float scale = half_to_float(static_cast<std::uint16_t>(half));
    for (float& value : values) {
      value = static_cast<float>(static_cast<int>(random.next_below(255)) - 127) * scale;
    }
    values[half % 20] = half % 2 == 0 ? 127.0F * scale : -127.0F * scale;
    std::vector<float> nearest = rounded(value_format::int8, values, {});
    ASSERT_EQ(nearest, values) << "scale " << half;
    ASSERT_EQ(rounded(value_format::int8, values, {random.next()}), values) << "scale " << half;
  }
}

/// Mean of roundings of one row over many counts: within 6 standard errors of each value. A
/// rounding is one of two neighbours a step apart, so its deviation is at most half a step.
TEST(StoredWeights, RoundWithoutBias) {
  constexpr int counts = 40'000;
  const std::vector<float> values = {1.0F,
                                     -0.37F,
                                     0.123456F,
                                     2e-3F,
                                     -7.7e-6F,
                                     3.3e-8F,
                                     0.999F,
                                     -0.015F,
                                     1.0F / 3.0F,
                                     0x1.000002p-1F,
                                     0x1.fffffep-2F};
  for (const value_format format : compact) {
    std::vector<double> sums(values.size());
    std::vector<double> lowest(values.size(), 1e9);
    std::vector<double> highest(values.size(), -1e9);
    for (int count = 0; count < counts; ++count) {
      const auto once = rounded(
          format, values, {rounding_draw(test_seed(), 99, static_cast<std::uint64_t>(count))});
      for (std::size_t c = 0; c < values.size(); ++c) {
        const double value = static_cast<double>(once[c]);
        sums[c] += value;
        lowest[c] = std::min(lowest[c], value);
        highest[c] = std::max(highest[c], value);
      }
    }
    for (std::size_t c = 0; c < values.size(); ++c) {
      const double step = highest[c] - lowest[c];
      const double wanted = static_cast<double>(values[c]);
      // What a draw of 13, 16 or 24 bits cannot see, and the rare neighbour never drawn.
      const double resolution = std::abs(wanted) * 1e-6 + 1e-10;
      EXPECT_NEAR(sums[c] / counts, wanted, 3.0 * step / std::sqrt(counts) + resolution)
          << describe(format, values.size()) << ", value " << values[c]
          << ", HEADRACE_SEED=" << test_seed();
      EXPECT_LE(lowest[c], wanted);
      EXPECT_LE(step, std::abs(wanted) * 0x1p-7 + (format == value_format::int8 ? 0.008 : 6e-8));
    }
  }
}

TEST(StoredWeights, DrawColumnsAndRowsApart) {
  std::array<int, 3> agree{};
  constexpr std::uint64_t n = 2'000;
  for (std::uint64_t i = 0; i < n; ++i) {
    const auto bit = [](std::uint64_t key, std::uint64_t count, std::uint32_t column) {
      return column_draw(rounding_draw(1, key, count), column) >> 31;
    };
    agree[0] += bit(i, 1, 0) == bit(i, 1, 1) ? 1 : 0;
    agree[1] += bit(i, 1, 0) == bit(i, 2, 0) ? 1 : 0;
    agree[2] += bit(i, 1, 0) == bit(i + 1, 1, 0) ? 1 : 0;
  }
  for (const int same : agree) EXPECT_NEAR(same, n / 2, 5 * std::sqrt(n / 4.0));
}

/// Frozen: what is at rest must come out of a replay again.
TEST(StoredWeights, KeepTheDrawsOfTheFirstRelease) {
  EXPECT_EQ(rounding_draw(1, 2, 3), 3973269680749717540U);
  EXPECT_EQ(column_draw(0x0123456789ABCDEFULL, 0), 3166161658U);
  EXPECT_EQ(column_draw(0x0123456789ABCDEFULL, 1'023), 371367938U);
}

TEST(StoredWeights, StayFiniteBeyondTheEnds) {
  const float largest = std::numeric_limits<float>::max();
  const std::vector<float> values = {largest, -largest, 1e30F, -1e30F};
  for_each_cpu_target([&] {
    for (const auto& draw : {std::vector<std::uint64_t>{}, std::vector<std::uint64_t>{~0ULL}}) {
      EXPECT_EQ(rounded(value_format::fp16, values, draw),
                (std::vector{65504.0F, -65504.0F, 65504.0F, -65504.0F}));
      EXPECT_EQ(rounded(value_format::bf16, values, draw)[0], brain_to_float(0x7F7F));
      EXPECT_EQ(rounded(value_format::int8, values, draw),
                (std::vector{127 * 65504.0F, -127 * 65504.0F, 127 * 65504.0F, -127 * 65504.0F}));
    }
  });
}

TEST(StoredWeights, HaveTheScaleOfQuantizeRows) {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const auto values = hard_values(9, test_seed() + seed);
    stored_rows row(value_format::int8, 1, 9);
    round_weights_cpu(
        {.format = value_format::int8, .values = values, .dim = 9, .rows = row.places()});
    std::array<std::int8_t, 9> codes{};
    std::array<std::uint16_t, 1> scale{};
    quantize_rows_ref({.values = values, .codes = codes, .scales = scale, .dim = 9});
    EXPECT_EQ(row.words()[1], scale[0]);  // and two zero bytes
  }
}

TEST(StoredBytes, AreWholeWords) {
  EXPECT_EQ(stored_bytes(value_format::fp32, 3), 12U);
  EXPECT_EQ(stored_bytes(value_format::bf16, 3), 8U);
  EXPECT_EQ(stored_bytes(value_format::fp16, 4), 8U);
  EXPECT_EQ(stored_bytes(value_format::int8, 1), 8U);
  EXPECT_EQ(stored_bytes(value_format::int8, 8), 12U);
  EXPECT_EQ(stored_bytes(value_format::int8, 9), 16U);
}

}  // namespace
}  // namespace headrace::kernels
