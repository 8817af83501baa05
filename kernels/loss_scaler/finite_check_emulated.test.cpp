#include "kernels/loss_scaler/finite_check.hpp"
#include "kernels/loss_scaler/finite_check_launch.hpp"
#include "kernels/loss_scaler/loss_scaler.hpp"
#include "kernels/runtime/emulated_cases.hpp"

namespace headrace::kernels {
namespace {

constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();
constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr device::scaler_rule rule = {3, 1.0F, 0x1p+24F};

device::gradient_verdict scan(std::vector<float> gradients,
                              const emulated_launch& launch,
                              device::scaler_words* scaler = nullptr,
                              bool with_squares = true) {
  const std::uint32_t blocks = sum_blocks(gradients.size());
  std::vector<std::uint32_t> largest(blocks, 77777);
  std::vector<double> squares(blocks, std::nan(""));
  device::gradient_verdict verdict{};
  launch_gradient_scan({.gradients = gradients.data(),
                        .largest = largest.data(),
                        .squares = with_squares ? squares.data() : nullptr,
                        .n = gradients.size(),
                        .aligned = gradients.size() % 2 == 1},
                       rule,
                       scaler,
                       &verdict,
                       launch);
  return verdict;
}

std::vector<float> drawn(std::size_t n, float limit = std::numeric_limits<float>::max()) {
  random_stream random(test_seed() + n);
  std::vector<float> values(n);
  for (float& value : values) value = next_hard(random, 4, limit);
  return values;
}

TEST(GradientScanKernel, FindsTheReferencesLargest) {
  for_each_order([](const emulated_launch& launch) {
    for (const std::size_t n : {0U, 1U, 31U, 257U, 1025U, 5000U}) {
      const std::vector<float> values = drawn(n);
      const device::gradient_verdict got = scan(values, launch);
      EXPECT_EQ(std::bit_cast<float>(got.largest), abs_max_ref(values)) << n;
      EXPECT_EQ(got.finite, 1U) << n;
    }
  });
}

TEST(GradientScanKernel, FindsOneBadValueAtAnyPlace) {
  for (const std::size_t at : {0U, 31U, 256U, 1024U, 2999U}) {
    for (const float bad : {nan_value, -nan_value, infinity, -infinity}) {
      std::vector<float> values = drawn(3000);
      values[at] = bad;
      const device::gradient_verdict got = scan(values, {test_seed()});
      EXPECT_EQ(got.finite, 0U) << at;
      EXPECT_EQ(std::isnan(std::bit_cast<float>(got.largest)), std::isnan(bad));
    }
  }
}

TEST(GradientScanKernel, SumsSquaresOfUnscaledGradientsTheSameInEveryOrder) {
  const std::vector<float> values = drawn(5001, 1e10F);
  double exact = 0.0;
  for (const float g : values) exact += static_cast<double>(g) * static_cast<double>(g);
  device::scaler_words scaler = {1024.0F, 0, 0};
  device::scaler_words again = scaler;
  const double got = scan(values, {1}, &scaler).squares;
  EXPECT_NEAR(got, exact / (1024.0 * 1024.0), 1e-12 * got);
  EXPECT_EQ(got, scan(values, {2}, &again).squares);
  EXPECT_EQ(scan(values, {1}, nullptr, false).squares, 0.0);
}

TEST(GradientScanKernel, MovesTheLossScaleAsTheHostDoes) {
  random_stream random(test_seed());
  const loss_scaler_options options = {.initial_scale = 4.0F,
                                       .growth_interval = rule.growth_interval,
                                       .scale_min = rule.scale_min,
                                       .scale_max = 16.0F};
  loss_scaler host(options);
  device::scaler_words words = {4.0F, 0, 0};
  for (int step = 0; step < 400; ++step) {
    const bool finite = random.next_below(step < 200 ? 3 : 12) != 0;
    EXPECT_EQ(host.take(finite), finite);
    words = device::after_step(words, {rule.growth_interval, rule.scale_min, 16.0F}, finite);
    ASSERT_EQ(words.scale, host.scale()) << "step " << step;
    ASSERT_EQ(words.clean_steps, host.state().clean_steps) << "step " << step;
    ASSERT_EQ(words.skipped_total, host.state().skipped_total) << "step " << step;
  }
}

TEST(GradientScanKernel, SaysTheInverseOfTheScaleBeforeItsStep) {
  device::scaler_words scaler = {1024.0F, 0, 5};
  const device::gradient_verdict got = scan({1.0F, infinity}, {test_seed()}, &scaler);
  EXPECT_EQ(got.inverse, 1.0F / 1024.0F);
  EXPECT_EQ(scaler.scale, 512.0F);
  EXPECT_EQ(scaler.skipped_total, 6U);
}

}  // namespace
}  // namespace headrace::kernels
