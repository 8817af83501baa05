#include "kernels/half_gemm/half_gemm.hpp"

#include "kernels/half_gemm/half_word.hpp"
#include "kernels/half_gemm/onednn_product.hpp"
#include "kernels/loss_scaler/precision_guard.hpp"
#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

namespace headrace::kernels {
namespace {

constexpr half_format formats[] = {half_format::bf16, half_format::fp16};
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float poison = std::numeric_limits<float>::quiet_NaN();

std::string name_of(half_format format) { return format == half_format::bf16 ? "bf16" : "fp16"; }

std::vector<float> drawn(random_stream& random, std::size_t n, float scale = 1.0F) {
  std::vector<float> values(n);
  for (float& value : values) value = next_signed(random, scale);
  return values;
}

std::vector<std::uint16_t> rounded(half_format format, std::span<const float> values) {
  std::vector<std::uint16_t> words(values.size());
  round_halves_ref({.format = format, .values = values, .words = words});
  return words;
}

TEST(HalfWord, IsTheNearestAndOfTwoTheEven) {
  for (const half_format format : formats) {
    SCOPED_TRACE(name_of(format));
    const std::uint16_t last = format == half_format::bf16 ? 0x7F7F : 0x7BFF;
    for (std::uint16_t word = 0; word < last; ++word) {
      const auto next = static_cast<std::uint16_t>(word + 1);
      const float low = half_value(format, word);
      const float high = half_value(format, next);
      const auto middle =
          static_cast<float>((static_cast<double>(low) + static_cast<double>(high)) / 2);  // exact
      const std::uint16_t even = word % 2 == 0 ? word : next;
      ASSERT_EQ(half_word(format, low), word);
      ASSERT_EQ(half_word(format, middle), even);
      ASSERT_EQ(half_word(format, std::nextafter(middle, 0.0F)), word);
      ASSERT_EQ(half_word(format, std::nextafter(middle, infinity)), next);
      ASSERT_EQ(half_word(format, -high), next | 0x8000);
    }
  }
}

TEST(HalfWord, IsInfiniteBeyondTheLargestAndNanOfNan) {
  EXPECT_EQ(half_word(half_format::fp16, 65'519.996F), 0x7BFF);
  EXPECT_EQ(half_word(half_format::fp16, 65'520.0F), 0x7C00);
  EXPECT_EQ(half_word(half_format::fp16, -1e30F), 0xFC00);
  EXPECT_EQ(half_word(half_format::bf16, 0x1.fefffep127F), 0x7F7F);
  EXPECT_EQ(half_word(half_format::bf16, 0x1.ffp127F), 0x7F80);
  for (const half_format format : formats) {
    EXPECT_EQ(half_value(format, half_word(format, -infinity)), -infinity);
    const float hidden = std::bit_cast<float>(0x7F800001U);  // NaN only in its lowest bit
    EXPECT_TRUE(std::isnan(half_value(format, half_word(format, hidden))));
  }
}

TEST(RoundHalves, GivesTheBitsOfTheDefinitionOnEveryTarget) {
  random_stream random(test_seed());
  std::vector<float> values = hard_floats();
  values.insert(values.end(), {infinity, -infinity, poison, -poison, 65'519.996F, 65'520.0F});
  for (int i = 0; i < 20'000; ++i)
    values.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(random.next())));
  for (std::uint32_t word = 0; word < 2'000; ++word) {  // halfway between two of bf16, of fp16
    values.push_back(std::bit_cast<float>(word << 20 | 0x8000U | (word & 1U) << 16));
    values.push_back(std::bit_cast<float>((112U << 23) + (word << 16) + 0x1000U));
    values.push_back(std::bit_cast<float>((112U << 23) + (word << 16) + 0x3000U));
  }
  for (const half_format format : formats) {
    SCOPED_TRACE(name_of(format));
    const auto wanted = rounded(format, values);
    for_each_cpu_target([&] {
      in_both_float_modes([&] {
        misaligned<std::uint16_t> words(values.size());
        round_halves({.format = format, .values = values, .words = words.span()});
        EXPECT_TRUE(same_bits<const std::uint16_t>(words.span(), wanted));
      });
    });
  }
}

struct sizes {
  std::size_t m, n, k;
};
constexpr sizes shapes[] = {{1, 1, 1},
                            {2, 3, 5},
                            {1, 64, 32},
                            {3, 65, 33},
                            {7, 63, 31},
                            {5, 1, 100},
                            {64, 16, 64},
                            {17, 130, 2},
                            {0, 5, 4},
                            {4, 0, 3},
                            {4, 5, 0},
                            {33, 70, 45},
                            {65, 128, 97}};

TEST(PackHalves, PutsEachWordInItsPlaceOnEveryTarget) {
  random_stream random(test_seed());
  for (const sizes& s : shapes) {
    const auto values = drawn(random, s.k * s.n);
    for (const half_format format : formats) {
      for (const bool transposed : {false, true}) {
        SCOPED_TRACE(name_of(format) + " " + std::to_string(s.k) + " x " + std::to_string(s.n));
        pack_halves_args args = {format, values, transposed, s.k, s.n, {}};
        std::vector<std::uint16_t> wanted(packed_words(s.k, s.n));
        args.packed = wanted;
        pack_halves_ref(args);
        for_each_cpu_target([&] {
          misaligned<std::uint16_t> packed(wanted.size(), 0xABCD);
          args.packed = packed.span();
          pack_halves(args);
          EXPECT_TRUE(same_bits<const std::uint16_t>(packed.span(), wanted));
        });
      }
    }
  }
}

/// A drawn product, its operands rounded and packed.
struct product_case {
  product_case(const sizes& s, half_format chosen, bool a_turned, bool added, float scale = 1.0F)
      : shape(s), format(chosen), turned(a_turned), accumulate(added) {
    random_stream random(test_seed() + s.m * 1'000'003 + s.n * 1009 + s.k);
    a = drawn(random, s.m * s.k, scale);
    b = drawn(random, s.k * s.n);
    before = drawn(random, s.m * s.n);
    a_words = rounded(format, a);
    packed.resize(packed_words(s.k, s.n));
    pack_halves_ref({format, b, false, s.k, s.n, packed});
  }

  /// C by `op`, from NaN where it is to be overwritten, in a workspace full of NaN.
  template <class Op>
  std::vector<float> run(const Op& op) const {
    std::vector<float> c(before.size(), poison);
    if (accumulate) c = before;
    misaligned<float> workspace(half_gemm_workspace(shape.m, shape.n, shape.k), poison);
    op({.format = format,
        .a = a_words,
        .a_transposed = turned,
        .b = packed,
        .c = c,
        .m = shape.m,
        .n = shape.n,
        .k = shape.k,
        .accumulate = accumulate,
        .workspace = workspace.span()});
    return c;
  }

  float a_at(std::size_t i, std::size_t p) const {
    return a[turned ? p * shape.m + i : i * shape.k + p];
  }

  /// Σ|a b| + |c| of an element of the rounded operands.
  double terms(std::size_t i, std::size_t j) const {
    double sum = accumulate ? std::abs(static_cast<double>(before[i * shape.n + j])) : 0.0;
    for (std::size_t p = 0; p < shape.k; ++p) {
      const float left = half_value(format, half_word(format, a_at(i, p)));
      const float right = half_value(format, half_word(format, b[p * shape.n + j]));
      sum += std::abs(static_cast<double>(left) * static_cast<double>(right));
    }
    return sum;
  }

  /// The product of the operands as they were before rounding.
  std::vector<float> unrounded() const {
    std::vector<float> c(before.size());
    for (std::size_t i = 0; i < shape.m; ++i) {
      for (std::size_t j = 0; j < shape.n; ++j) {
        double sum = accumulate ? static_cast<double>(before[i * shape.n + j]) : 0.0;
        for (std::size_t p = 0; p < shape.k; ++p)
          sum += static_cast<double>(a_at(i, p)) * static_cast<double>(b[p * shape.n + j]);
        c[i * shape.n + j] = static_cast<float>(sum);
      }
    }
    return c;
  }

  void check(std::span<const float> got) const {
    const auto exact = run(half_gemm_ref);
    for (std::size_t i = 0; i < shape.m; ++i) {
      for (std::size_t j = 0; j < shape.n; ++j) {
        const std::size_t at = i * shape.n + j;
        const double bound = static_cast<double>(shape.k + 2) * 0x1p-24 * terms(i, j);
        const double wanted = static_cast<double>(exact[at]);
        ASSERT_LE(std::abs(static_cast<double>(got[at]) - wanted),
                  bound + std::abs(wanted) * 0x1p-24)
            << "at " << i << ", " << j;
      }
    }
  }

  sizes shape;
  half_format format;
  bool turned;
  bool accumulate;
  std::vector<float> a;
  std::vector<float> b;
  std::vector<float> before;
  std::vector<std::uint16_t> a_words;
  std::vector<std::uint16_t> packed;
};

template <class Check>
void for_each_product(const Check& check) {
  for (const sizes& s : shapes) {
    for (const half_format format : formats) {
      for (const bool turned : {false, true}) {
        SCOPED_TRACE(name_of(format) + " " + std::to_string(s.m) + " x " + std::to_string(s.n) +
                     " x " + std::to_string(s.k) + (turned ? ", turned and added" : ""));
        check(product_case(s, format, turned, turned));
      }
    }
  }
}

TEST(HalfGemm, IsWithinItsBoundOnEveryTarget) {
  for_each_product([](const product_case& one) {
    for_each_cpu_target([&] { one.check(one.run(half_gemm_cpu)); });
  });
}

// Whatever this machine has: on one without bf16 instructions that is half_gemm_cpu.
TEST(HalfGemm, IsWithinItsBoundByWhatThisMachineHas) {
  for_each_product([](const product_case& one) { one.check(one.run(half_gemm)); });
}

TEST(HalfGemm, IsAsCloseToTheUnroundedProductAsItsFormatAllows) {
  for (const bool turned : {false, true}) {
    const product_case brain({64, 96, 128}, half_format::bf16, turned, turned);
    EXPECT_LE(relative_error(brain.run(half_gemm), brain.unrounded()), 4e-3);
    EXPECT_GT(relative_error(brain.run(half_gemm), brain.unrounded()), 4e-4);  // it does round
    const product_case half({64, 96, 128}, half_format::fp16, turned, turned);
    EXPECT_LE(relative_error(half.run(half_gemm), half.unrounded()), 5e-4);
  }
}

TEST(HalfGemm, ShowsThatAnOperandOverflowed) {
  const product_case half({4, 8, 16}, half_format::fp16, false, false, 1e6F);
  const auto c = half.run(half_gemm);
  EXPECT_TRUE(std::ranges::any_of(c, [](float value) { return !std::isfinite(value); }));
  const product_case brain({4, 8, 16}, half_format::bf16, false, false, 1e6F);
  const auto d = brain.run(half_gemm);
  EXPECT_TRUE(std::ranges::all_of(d, [](float value) { return std::isfinite(value); }));
}

TEST(HalfGemm, GivesTheSameBitsAgain) {
  const product_case one({70, 130, 61}, half_format::bf16, true, true);
  EXPECT_EQ(one.run(half_gemm), one.run(half_gemm));
}

// oneDNN has bf16 on few machines, but floats in the same places everywhere.
TEST(OnednnProduct, ReadsThePackedFormatTransposesAndAdds) {
  for (const sizes& s : shapes) {
    if (s.m * s.n * s.k == 0) continue;
    for (const bool turned : {false, true}) {
      SCOPED_TRACE(std::to_string(s.m) + " x " + std::to_string(s.n) + " x " + std::to_string(s.k) +
                   (turned ? ", turned and added" : ""));
      const product_case one(s, half_format::bf16, turned, turned);
      std::vector<float> packed(packed_words(s.k, s.n));
      for (std::size_t p = 0; p < s.k; ++p) {
        for (std::size_t j = 0; j < s.n; ++j) packed[packed_place(s.k, p, j)] = one.b[p * s.n + j];
      }
      std::vector<float> c(one.before.size(), poison);
      if (turned) c = one.before;
      if (!multiply_floats_by_onednn({one.a, turned, packed, c, s.m, s.n, s.k, turned}))
        GTEST_SKIP() << "oneDNN was not there to build with";
      EXPECT_LE(relative_error(c, one.unrounded()), 1e-6);
    }
  }
}

TEST(OnednnProduct, RefusesWhatItHasNoCodeFor) {
  const product_case half({4, 8, 16}, half_format::fp16, false, false);
  half.run([](const half_gemm_args& args) { EXPECT_FALSE(multiply_by_onednn(args)); });
  if (onednn_machine() != half_machine::plain) return;
  const product_case brain({4, 8, 16}, half_format::bf16, false, false);
  brain.run([](const half_gemm_args& args) { EXPECT_FALSE(multiply_by_onednn(args)); });
  EXPECT_EQ(fastest_half_machine(), half_machine::plain);
}

}  // namespace
}  // namespace headrace::kernels
