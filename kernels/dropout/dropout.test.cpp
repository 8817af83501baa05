#include "kernels/dropout/dropout.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <algorithm>
#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();
constexpr std::array<std::size_t, 14> sizes = {0, 1, 2, 3, 4, 5, 7, 8, 9, 255, 256, 257, 259, 1003};

void reference(const dropout_args& args) { dropout_ref(args); }

template <class Op>
misaligned<float> run(const Op& op,
                      std::span<const float> values,
                      float rate,
                      const dropout_key& key) {
  misaligned<float> results(values.size(), nan_value);
  op({.values = values, .results = results.span(), .rate = rate, .key = key});
  return results;
}

/// Which of n elements are kept.
std::vector<bool> mask(std::size_t n, float rate, const dropout_key& key) {
  const std::vector<float> ones(n, 1.0F);
  const misaligned<float> results = run(dropout_cpu, ones, rate, key);
  std::vector<bool> kept;
  for (const float value : results.span()) kept.push_back(value != 0.0F);
  return kept;
}

TEST(Dropout, StaysWithinItsBoundOfTheReferenceAndKeepsTheSame) {
  in_both_float_modes([] {
    for (const std::size_t n : sizes) {
      for (const float rate : {0.0F, 0.1F, 0.5F, 0.9F, 0x1.fffffep-1F}) {
        SCOPED_TRACE(std::to_string(n) + " values, rate " + std::to_string(rate));
        const dropout_key key = {.seed = test_seed(), .step = n, .layer = 3};
        random_stream random(test_seed() + n);
        misaligned<float> values(n);
        for (float& value : values.span()) value = next_signed(random);
        const std::vector<double> wide(values.span().begin(), values.span().end());
        std::vector<double> exact(n);
        dropout_ref(
            basic_dropout_args<double>{.values = wide, .results = exact, .rate = rate, .key = key});
        misaligned<float> first =
            on_plain_code([&] { return run(dropout_cpu, values.span(), rate, key); });
        const misaligned<float> rounded = run(reference, values.span(), rate, key);
        for_each_cpu_target([&] {
          misaligned<float> got = run(dropout_cpu, values.span(), rate, key);
          ASSERT_TRUE(same_bits(got.span(), first.span()));
          for (std::size_t i = 0; i < n; ++i) {
            ASSERT_EQ(got.span()[i] == 0.0F, exact[i] == 0.0) << "at " << i;
            ASSERT_LE(std::abs(static_cast<double>(got.span()[i]) - exact[i]),
                      0x1p-23 * std::abs(exact[i]))
                << "at " << i;
            ASSERT_LE(std::abs(static_cast<double>(rounded.span()[i]) - exact[i]),
                      0x1p-23 * std::abs(exact[i]));
          }
        });
      }
    }
  });
}

/// The maths by itself: draws as the header says.
TEST(Dropout, KeepsWhatTheDrawsOfItsKeySay) {
  const dropout_key key = {.seed = 5, .step = 6, .layer = 7};
  const std::vector<bool> kept = mask(400'000, 0.25F, key);  // some at the threshold itself
  for (std::size_t i = 0; i < kept.size(); ++i) {
    const std::uint64_t draw = counter_draw(counter_draw(5, 7, 6), 0, i / 4);
    ASSERT_EQ(kept[i], (draw >> (16 * (i % 4)) & 0xFFFF) >= 16'384) << "at " << i;
  }
}

/// Five standard deviations: one run in two million errs.
void expect_share(std::size_t count, std::size_t n, double probability) {
  const double spread = std::sqrt(static_cast<double>(n) * probability * (1.0 - probability));
  EXPECT_NEAR(static_cast<double>(count), static_cast<double>(n) * probability, 5.0 * spread);
}

std::size_t both(const std::vector<bool>& a, const std::vector<bool>& b, std::size_t shift = 0) {
  std::size_t count = 0;
  for (std::size_t i = 0; i + shift < a.size(); ++i) count += a[i] && b[i + shift] ? 1 : 0;
  return count;
}

TEST(Dropout, KeepsItsShareAndNeighboursStepsAndLayersDoNotDependOnEachOther) {
  constexpr std::size_t n = 200'000;
  const dropout_key key = {.seed = test_seed(), .step = 1, .layer = 1};
  for (const float rate : {0.1F, 0.5F}) {
    const double keep = 1.0 - static_cast<double>(rate);
    const std::vector<bool> kept = mask(n, rate, key);
    expect_share(both(kept, kept), n, keep);
    for (const std::size_t shift : {1U, 2U, 3U, 4U, 256U}) {
      expect_share(both(kept, kept, shift), n - shift, keep * keep);
    }
    const auto expect_independent = [&](const dropout_key& other) {
      expect_share(both(kept, mask(n, rate, other)), n, keep * keep);
    };
    expect_independent({.seed = key.seed, .step = 2, .layer = 1});
    expect_independent({.seed = key.seed, .step = 1, .layer = 2});
    expect_independent({.seed = key.seed + 1, .step = 1, .layer = 1});
  }
}

TEST(Dropout, KeepsTheMean) {
  constexpr std::size_t n = 400'000;
  const std::vector<float> ones(n, 1.0F);
  const misaligned<float> results = run(dropout_cpu, ones, 0.3F, {.seed = test_seed()});
  double sum = 0.0;
  for (const float value : results.span()) sum += static_cast<double>(value);
  EXPECT_NEAR(sum / n, 1.0, 5.0 * std::sqrt(0.3 / 0.7 / n));
}

TEST(Dropout, BackwardReplaysTheMaskAndIsTheSlopeOfForward) {
  constexpr std::size_t n = 777;
  constexpr double step = 1e-6;
  const dropout_key key = {.seed = test_seed(), .step = 9, .layer = 2};
  random_stream random(test_seed());
  std::vector<double> x(n);
  for (double& value : x) value = static_cast<double>(next_signed(random));
  std::vector<float> dy(n);
  for (float& value : dy) value = next_signed(random) + 2.0F;
  const auto shifted = [&](double by) {
    std::vector<double> values = x;
    for (double& value : values) value += by;
    dropout_ref(
        basic_dropout_args<double>{.values = values, .results = values, .rate = 0.4F, .key = key});
    return values;
  };
  const std::vector<double> above = shifted(step);
  const std::vector<double> below = shifted(-step);
  for_each_cpu_target([&] {
    std::vector<float> dx(n, nan_value);
    dropout_backward({.values = dy, .results = dx, .rate = 0.4F, .key = key});
    for (std::size_t i = 0; i < n; ++i) {
      const double slope = (above[i] - below[i]) / (2.0 * step);
      ASSERT_NEAR(static_cast<double>(dx[i]), slope * static_cast<double>(dy[i]), 1e-6) << i;
    }
  });
}

TEST(Dropout, WorksInPlaceAndDropsWhatIsNotFinite) {
  for_each_cpu_target([] {
    const dropout_key key = {.seed = 1};
    std::vector<float> values(1000, std::numeric_limits<float>::infinity());
    const std::vector<bool> kept = mask(values.size(), 0.5F, key);
    dropout_cpu({.values = values, .results = values, .rate = 0.5F, .key = key});
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(values[i], kept[i] ? std::numeric_limits<float>::infinity() : 0.0F);
    }
  });
}

TEST(Dropout, AtRateZeroIsACopy) {
  const std::vector<float>& hard = hard_floats();
  misaligned<float> results = run(dropout_cpu, hard, 0.0F, {.seed = 3});
  const std::vector<float> got(results.span().begin(), results.span().end());
  EXPECT_EQ(got, hard);
}

TEST(Dropout, RefusesARateOfOne) {
  std::array<float, 2> values{};
  EXPECT_DEATH(dropout_cpu({.values = values, .results = values, .rate = 1.0F, .key = {}}), "rate");
}

}  // namespace
}  // namespace headrace::kernels
