#include "kernels/block_int4/block_int4.hpp"

#include "kernels/block_int4/block_scale.hpp"
#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr float saturated_above = 7.0F * half_max;

struct encoded {
  /// `before`: residuals, or empty for none.
  template <class Encode>
  encoded(const misaligned<float>& values, const misaligned<float>& before, const Encode& op)
      : residuals(before),
        codes(int4_bytes(values.span().size()), std::uint8_t{0xCC}),
        scales(int4_scales(values.span().size()), 99) {
    op({.values = values.span(),
        .residuals = residuals.span(),
        .codes = codes.span(),
        .scales = scales.span()});
  }
  template <class Decode>
  misaligned<float> decoded(std::size_t n, const Decode& op) const {
    misaligned<float> values(n, std::numeric_limits<float>::quiet_NaN());
    op({.codes = codes.span(), .scales = scales.span(), .values = values.span()});
    return values;
  }
  misaligned<float> residuals;
  misaligned<std::uint8_t> codes;
  misaligned<std::uint16_t> scales;
};

/// Blocks of every magnitude up to 2^exponent_max, a hard value up to `limit` here and there.
misaligned<float> drawn(std::size_t n, std::uint64_t seed, int exponent_max, float limit) {
  random_stream random(seed);
  misaligned<float> values(n);
  int exponent = 0;
  for (std::size_t i = 0; i < n; ++i) {
    if (i % 32 == 0) {
      exponent =
          exponent_max -
          static_cast<int>(random.next_below(static_cast<std::uint64_t>(exponent_max + 149)));
    }
    values.span()[i] = std::ldexp(next_signed(random), exponent);
    if (random.next_below(64) == 0) values.span()[i] = next_hard(random, 1, limit);
  }
  return values;
}

std::vector<std::size_t> test_sizes() {
  std::vector<std::size_t> sizes = test_dims();
  sizes.insert(sizes.end(), {0, 6400, 6431});
  return sizes;
}

TEST(BlockInt4, GivesTheBitsOfTheReference) {
  in_both_float_modes([] {
    for (const std::size_t n : test_sizes()) {
      for (const bool feedback : {false, true}) {
        SCOPED_TRACE(std::to_string(n) + " values" + (feedback ? ", feedback" : ""));
        const misaligned<float> values = drawn(n, test_seed() + n, 126, 1e38F);
        const misaligned<float> before = drawn(feedback ? n : 0, test_seed() + n + 1, 126, 1e38F);
        encoded wanted(values, before, encode_int4_ref);
        misaligned<float> wanted_values = wanted.decoded(n, decode_int4_ref);
        for_each_cpu_target([&] {
          encoded got(values, before, encode_int4_cpu);
          ASSERT_TRUE(same_bits(got.scales.span(), wanted.scales.span()));
          ASSERT_TRUE(same_bits(got.codes.span(), wanted.codes.span()));
          ASSERT_TRUE(same_bits(got.residuals.span(), wanted.residuals.span()));
          ASSERT_TRUE(same_bits(got.decoded(n, decode_int4_cpu).span(), wanted_values.span()));
        });
      }
    }
  });
}

/// With f = fl(1 / s), q = fl(v f) and |v / s| <= 7: f is off by 2^-24 of itself and q by 2^-24
/// more, so |q - v / s| <= 7 * 2^-23 (1 + 2^-25), and rounding q to a whole number adds at most 1/2
/// of a step: |v - code * s| <= s (1/2 + 7 * 2^-23 (1 + 2^-25)) < s/2 (1 + 2^-19). Scale 0 means
/// |v| <= 2^-25.
TEST(BlockInt4, StaysWithinHalfAStepExactly) {
  constexpr std::size_t n = 32 * 2000 + 5;
  const misaligned<float> values = drawn(n, test_seed(), 18, saturated_above);
  for_each_cpu_target([&values] {
    const encoded got(values, misaligned<float>(0), encode_int4_cpu);
    const misaligned<float> decoded = got.decoded(n, decode_int4_cpu);
    for (std::size_t i = 0; i < n; ++i) {
      const double scale = static_cast<double>(half_to_float(got.scales.span()[i / int4_block]));
      const double value = static_cast<double>(values.span()[i]);
      ASSERT_LE(std::abs(value - static_cast<double>(decoded.span()[i])),
                std::max(scale, 0x1p-24) / 2.0 * (1.0 + 0x1p-19))
          << "at " << i << ", value " << value << ", scale " << scale;
    }
  });
}

TEST(BlockInt4, WithFeedbackLosesNothing) {
  constexpr std::size_t n = 32 * 2000 + 5;
  const misaligned<float> values = drawn(n, test_seed(), 17, 65504.0F);
  const misaligned<float> before = drawn(n, test_seed() + 1, 17, 65504.0F);
  for_each_cpu_target([&] {
    const encoded got(values, before, encode_int4_cpu);
    const misaligned<float> decoded = got.decoded(n, decode_int4_cpu);
    for (std::size_t i = 0; i < n; ++i) {
      const float sum = values.span()[i] + before.span()[i];
      ASSERT_EQ(
          static_cast<double>(got.residuals.span()[i]) + static_cast<double>(decoded.span()[i]),
          static_cast<double>(sum))
          << "at " << i;
    }
  });
}

/// Every threshold of the scale: 7 h still fits h, one float more does not.
TEST(BlockInt4, TakesTheSmallestScaleThatClipsNothing) {
  for (std::uint16_t half = 1; half < half_max_bits; ++half) {
    const float most = 7.0F * half_to_float(half);
    ASSERT_EQ(block_scale(most), half);
    ASSERT_EQ(block_scale(std::nextafter(most, std::numeric_limits<float>::max())), half + 1);
  }
}

TEST(BlockInt4, SaturatesBeyondTheLargestScale) {
  misaligned<float> values(2, 1e30F);
  values.span()[1] = -1e30F;
  for_each_cpu_target([&values] {
    const encoded got(values, misaligned<float>(0), encode_int4_cpu);
    EXPECT_EQ(got.scales.span()[0], half_max_bits);
    EXPECT_EQ(got.codes.span()[0], 0x07);
    EXPECT_EQ(got.codes.span()[1], 0x09);
  });
}

TEST(BlockInt4, RoundsHalvesToEvenAndPutsValuesFrom16OnIntoTheHighHalves) {
  misaligned<float> values(18, 7.0F);
  const std::array<float, 7> first = {-7.0F, 0.5F, 1.5F, -2.5F, -1.0F, 3.0F, -0.5F};
  std::copy(first.begin(), first.end(), values.span().begin());
  values.span()[16] = -6.0F;
  values.span()[17] = 4.5F;
  for_each_cpu_target([&values] {
    const encoded got(values, misaligned<float>(0), encode_int4_cpu);
    EXPECT_EQ(half_to_float(got.scales.span()[0]), 1.0F);
    const std::array<std::uint8_t, 8> wanted = {0xA9, 0x40, 0x02, 0x0E, 0x0F, 0x03, 0x00, 0x07};
    ASSERT_EQ(got.codes.span().size(), 16U);
    EXPECT_TRUE(std::equal(wanted.begin(), wanted.end(), got.codes.span().begin()));
  });
}

TEST(BlockInt4, DecodesEveryByteThereIs) {
  constexpr std::size_t n = 512;
  encoded all(misaligned<float>(n), misaligned<float>(0), encode_int4_ref);
  for (std::size_t i = 0; i < 256; ++i) all.codes.span()[i] = static_cast<std::uint8_t>(i);
  std::fill(all.scales.span().begin(), all.scales.span().end(), std::uint16_t{0x3C00});  // 1
  for_each_cpu_target([&all] {
    const misaligned<float> values = all.decoded(n, decode_int4_cpu);
    for (int byte = 0; byte < 256; ++byte) {
      const std::size_t at = static_cast<std::size_t>(byte / 16 * 32 + byte % 16);
      const auto code = [](int half) { return static_cast<float>(half < 8 ? half : half - 16); };
      ASSERT_EQ(values.span()[at], code(byte % 16)) << "byte " << byte;
      ASSERT_EQ(values.span()[at + 16], code(byte / 16)) << "byte " << byte;
    }
  });
}

TEST(BlockInt4, RefusesTooFewCodes) {
  const encoded one(misaligned<float>(4), misaligned<float>(0), encode_int4_cpu);
  EXPECT_DEATH(one.decoded(6, decode_int4_cpu), "codes");
}

}  // namespace
}  // namespace headrace::kernels
