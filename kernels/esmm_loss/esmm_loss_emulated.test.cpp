#include "kernels/esmm_loss/esmm_loss.hpp"
#include "kernels/esmm_loss/esmm_loss_launch.hpp"
#include "kernels/runtime/emulated_cases.hpp"

#include <array>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;

struct emulated_esmm {
  explicit emulated_esmm(std::size_t n) : a(n), b(n), clicks(n), conversions(n) {
    random_stream random(test_seed() + n);
    for (auto* logits : {&a, &b}) {
      for (float& z : *logits) z = next_signed(random, random.next_below(2) == 0 ? 4.0F : 120.0F);
    }
    for (std::size_t i = 0; i < n; ++i) {
      clicks[i] = static_cast<float>(random.next_below(2));
      conversions[i] = static_cast<float>(random.next_unit());
    }
    for (auto& out : outs) out.assign(n, std::nanf(""));
  }
  esmm_losses run(const emulated_launch& launch) {
    std::vector<double> partials(2 * sum_blocks(a.size()), std::nan(""));
    std::array<double, 2> losses{};
    launch_esmm_loss({.ctr_logits = a.data(),
                      .cvr_logits = b.data(),
                      .clicks = clicks.data(),
                      .conversions = conversions.data(),
                      .p_ctr = outs[0].data(),
                      .p_cvr = outs[1].data(),
                      .p_ctcvr = outs[2].data(),
                      .ctr_gradients = outs[3].data(),
                      .cvr_gradients = outs[4].data(),
                      .partials = partials.data(),
                      .n = a.size(),
                      .click_weight = 0.75F,
                      .conversion_weight = 1.5F},
                     losses.data(),
                     launch);
    return {losses[0], losses[1]};
  }
  esmm_losses run_ref() {
    return esmm_loss_ref(esmm_loss_args{.ctr_logits = a,
                                        .cvr_logits = b,
                                        .clicks = clicks,
                                        .conversions = conversions,
                                        .click_weight = 0.75F,
                                        .conversion_weight = 1.5F,
                                        .p_ctr = outs[0],
                                        .p_cvr = outs[1],
                                        .p_ctcvr = outs[2],
                                        .ctr_gradients = outs[3],
                                        .cvr_gradients = outs[4]});
  }
  std::vector<float> a, b, clicks, conversions;
  std::array<std::vector<float>, 5> outs;
};

/// The bounds of the header, one rounding of the reference's added.
void expect_within_bounds(emulated_esmm one, const emulated_launch& launch) {
  emulated_esmm wanted = one;
  const esmm_losses exact = wanted.run_ref();
  const esmm_losses sums = one.run(launch);
  double click_bound = 0.0;
  double conversion_bound = 0.0;
  for (std::size_t i = 0; i < one.a.size(); ++i) {
    for (std::size_t out = 0; out < 3; ++out) {
      const double p = static_cast<double>(wanted.outs[out][i]);
      const double steps = out == 2 ? 11.0 : 5.0;
      ASSERT_NEAR(one.outs[out][i], p, steps * unit_roundoff * p + 0x1p-126) << out;
    }
    const double gradient_bound = unit_roundoff * (8.0 * 0.75 + 48.0 * 1.5);
    ASSERT_NEAR(one.outs[3][i], wanted.outs[3][i], gradient_bound);
    ASSERT_NEAR(one.outs[4][i], wanted.outs[4][i], gradient_bound);
    const double a = std::abs(static_cast<double>(one.a[i]));
    const double b = std::abs(static_cast<double>(one.b[i]));
    click_bound += 8.0 * unit_roundoff * (a + std::log(2.0));
    conversion_bound += unit_roundoff * (12.0 * (a + b + 2.0) + 24.0);
  }
  ASSERT_NEAR(sums.click, exact.click, click_bound);
  ASSERT_NEAR(sums.conversion, exact.conversion, conversion_bound);
}

TEST(EsmmLossKernel, StaysWithinTheBoundsOfTheCpu) {
  for_each_order([](const emulated_launch& launch) {
    for (const std::size_t n : {0U, 1U, 33U, 257U, 2100U}) {
      SCOPED_TRACE(std::to_string(n) + " samples");
      expect_within_bounds(emulated_esmm(n), launch);
    }
  });
}

TEST(EsmmLossKernel, StaysWithinThemWhereLogitsAreEqualOrZero) {
  emulated_esmm one(9);
  one.a = {0.0F, -0.0F, 5.0F, -5.0F, 90.0F, -90.0F, 1e20F, -1e20F, 0.0F};
  one.b = {0.0F, 3.0F, 5.0F, -5.0F, 90.0F, -90.0F, 1e20F, -1e20F, -1e20F};
  expect_within_bounds(one, {test_seed()});
}

}  // namespace
}  // namespace headrace::kernels
