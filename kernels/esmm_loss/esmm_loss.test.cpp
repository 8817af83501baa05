#include "kernels/esmm_loss/esmm_loss.hpp"

#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr double unit_roundoff = 0x1p-24;
constexpr float nan_value = std::numeric_limits<float>::quiet_NaN();

template <class Value>
struct esmm_case {
  esmm_case(const std::vector<Value>& a, const std::vector<Value>& b)
      : ctr_logits(a.size()), cvr_logits(a.size()), clicks(a.size()), conversions(a.size()) {
    std::copy(a.begin(), a.end(), ctr_logits.span().begin());
    std::copy(b.begin(), b.end(), cvr_logits.span().begin());
    random_stream random(test_seed());
    for (std::size_t i = 0; i < a.size(); ++i) {
      const std::uint64_t kind = random.next_below(4);
      clicks.span()[i] = kind == 3 ? static_cast<Value>(random.next_unit()) : Value(kind > 0);
      conversions.span()[i] = kind == 3 ? static_cast<Value>(random.next_unit()) : Value(kind > 1);
    }
  }

  template <class Op>
  esmm_losses run(const Op& op) {
    for (misaligned<Value>& out : outs) {
      out = misaligned<Value>(ctr_logits.span().size(), static_cast<Value>(nan_value));
    }
    return op(basic_esmm_loss_args<Value>{.ctr_logits = ctr_logits.span(),
                                          .cvr_logits = cvr_logits.span(),
                                          .clicks = clicks.span(),
                                          .conversions = conversions.span(),
                                          .click_weight = Value(0.75),
                                          .conversion_weight = Value(1.5),
                                          .p_ctr = outs[0].span(),
                                          .p_cvr = outs[1].span(),
                                          .p_ctcvr = outs[2].span(),
                                          .ctr_gradients = outs[3].span(),
                                          .cvr_gradients = outs[4].span()});
  }
  static double weighted(const esmm_losses& sums) {
    return 0.75 * sums.click + 1.5 * sums.conversion;
  }

  misaligned<Value> ctr_logits;
  misaligned<Value> cvr_logits;
  misaligned<Value> clicks;
  misaligned<Value> conversions;
  /// p_ctr, p_cvr, p_ctcvr, ctr_gradients, cvr_gradients.
  std::vector<misaligned<Value>> outs = std::vector<misaligned<Value>>(5, misaligned<Value>(0));
};

esmm_losses on_reference(esmm_case<double>& one) {
  return one.run([](const auto& args) { return esmm_loss_ref(args); });
}

esmm_case<double> in_double(const esmm_case<float>& one) {
  const auto doubles = [](const misaligned<float>& from) {
    return std::vector<double>(from.span().begin(), from.span().end());
  };
  esmm_case<double> exact(doubles(one.ctr_logits), doubles(one.cvr_logits));
  std::copy(one.clicks.span().begin(), one.clicks.span().end(), exact.clicks.span().begin());
  std::copy(one.conversions.span().begin(),
            one.conversions.span().end(),
            exact.conversions.span().begin());
  return exact;
}

/// Logit of σ(a) σ(b), without the reference.
double joint_logit(double a, double b) {
  const double m = std::min(a, b);
  const double top = std::max(a, b);
  if (top >= 0.0) return m - std::log1p(std::exp(m - top) + std::exp(-top));
  return a + b - std::log1p(std::exp(a) + std::exp(b));
}

void expect_within_bounds(esmm_case<float>& one, const esmm_losses& sums) {
  esmm_case<double> exact = in_double(one);
  const esmm_losses wanted = on_reference(exact);
  double click_bound = 0.0;
  double conversion_bound = 0.0;
  for (std::size_t i = 0; i < one.clicks.span().size(); ++i) {
    SCOPED_TRACE("logits " + std::to_string(one.ctr_logits.span()[i]) + ", " +
                 std::to_string(one.cvr_logits.span()[i]));
    const auto off = [&one, &exact, i](std::size_t out) {
      return std::abs(static_cast<double>(one.outs[out].span()[i]) - exact.outs[out].span()[i]);
    };
    for (std::size_t out = 0; out < 3; ++out) {
      const double steps = out == 2 ? 10.0 : 4.0;
      ASSERT_LE(off(out), steps * unit_roundoff * exact.outs[out].span()[i] + 0x1p-126);
    }
    const double gradient_bound = unit_roundoff * (8.0 * 0.75 + 48.0 * 1.5);
    ASSERT_LE(off(3), gradient_bound);
    ASSERT_LE(off(4), gradient_bound);
    const double a = exact.ctr_logits.span()[i];
    const double zeta = joint_logit(a, exact.cvr_logits.span()[i]);
    click_bound += 8.0 * unit_roundoff * (std::abs(a) + std::log(2.0));
    conversion_bound += unit_roundoff * (12.0 * std::abs(zeta) + 24.0);
  }
  ASSERT_LE(std::abs(sums.click - wanted.click), click_bound);
  ASSERT_LE(std::abs(sums.conversion - wanted.conversion), conversion_bound);
}

std::vector<float> drawn_logits(std::size_t n, std::uint64_t seed) {
  random_stream random(seed);
  std::vector<float> z(n);
  for (float& value : z) value = next_signed(random, random.next_below(2) == 0 ? 4.0F : 120.0F);
  return z;
}

TEST(EsmmLoss, StaysWithinItsBoundsForSizesAtEveryEdge) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for (const std::size_t n : {0U, 1U, 3U, 4U, 5U, 8U, 9U, 17U, 255U, 256U, 257U, 3001U}) {
        SCOPED_TRACE(std::to_string(n) + " samples");
        esmm_case<float> one(drawn_logits(n, test_seed() + n),
                             drawn_logits(n, test_seed() + n + 1));
        const esmm_losses sums = one.run(esmm_loss_cpu);
        expect_within_bounds(one, sums);
      }
    });
  });
}

/// Every pair of the ends: where a probability is 0 or 1, its logarithm would be infinite.
TEST(EsmmLoss, StaysWithinItsBoundsAtTheEndsOfTheRange) {
  const std::vector<float> ends = {0.0F,
                                   -0.0F,
                                   1e-30F,
                                   0.7F,
                                   -0.7F,
                                   17.0F,
                                   -17.0F,
                                   88.0F,
                                   -88.0F,
                                   89.0F,
                                   -89.0F,
                                   104.0F,
                                   -104.0F,
                                   200.0F,
                                   -200.0F,
                                   1e10F,
                                   -1e10F,
                                   1e30F,
                                   -1e30F};
  std::vector<float> a;
  std::vector<float> b;
  for (const float x : ends) {
    for (const float y : ends) {
      a.push_back(x);
      b.push_back(y);
    }
  }
  in_both_float_modes([&] {
    for_each_cpu_target([&] {
      esmm_case<float> one(a, b);
      expect_within_bounds(one, one.run(esmm_loss_cpu));
      // Sample by sample: a sum is as loose as its largest term.
      for (std::size_t i = 0; i < a.size(); ++i) {
        esmm_case<float> single({a[i]}, {b[i]});
        for (const float conversion : {0.0F, 1.0F}) {
          single.conversions.span()[0] = conversion;
          const esmm_losses sums = single.run(esmm_loss_cpu);
          ASSERT_TRUE(std::isfinite(sums.conversion)) << a[i] << ", " << b[i];
          ASSERT_GE(sums.conversion, 0.0);
          expect_within_bounds(single, sums);
        }
      }
    });
  });
}

/// Truncation step^2 / 6 times a third derivative (below 1): 2e-11; rounding of the sum (some 300)
/// over the step: 4e-9.
TEST(EsmmLoss, GradientsEqualCentralDifferencesOfTheReference) {
  constexpr double step = 1e-5;
  std::vector<double> a;
  std::vector<double> b;
  random_stream random(test_seed());
  for (std::size_t i = 0; i < 60; ++i) {
    a.push_back(12.0 * random.next_unit() - 6.0);
    b.push_back(12.0 * random.next_unit() - 6.0);
  }
  esmm_case<double> one(a, b);
  on_reference(one);
  const std::vector<misaligned<double>> outs = one.outs;
  const auto check = [&one](std::span<double> logits, std::span<const double> gradients) {
    for (std::size_t i = 0; i < logits.size(); ++i) {
      const double value = logits[i];
      logits[i] = value + step;
      const double above = esmm_case<double>::weighted(on_reference(one));
      logits[i] = value - step;
      const double below = esmm_case<double>::weighted(on_reference(one));
      logits[i] = value;
      const double wanted = (above - below) / (2.0 * step);
      ASSERT_NEAR(gradients[i], wanted, 1e-6 * std::abs(wanted) + 2e-8) << "at " << i;
    }
  };
  check(one.ctr_logits.span(), outs[3].span());
  check(one.cvr_logits.span(), outs[4].span());
}

TEST(EsmmLoss, ComputesWhatIsKnownByHand) {
  for_each_cpu_target([] {
    esmm_case<float> one({0.0F}, {0.0F});
    one.clicks.span()[0] = 1.0F;
    one.conversions.span()[0] = 0.0F;
    const esmm_losses sums = one.run(esmm_loss_cpu);
    EXPECT_NEAR(sums.click, std::log(2.0), 1e-6);
    EXPECT_NEAR(sums.conversion, -std::log(0.75), 2e-6);
    EXPECT_EQ(one.outs[2].span()[0], 0.25F);
    // 0.75 (1/2 − 1) + 1.5 (1/4) (2/3), and the second part alone.
    EXPECT_NEAR(one.outs[3].span()[0], -0.125F, 1e-6F);
    EXPECT_NEAR(one.outs[4].span()[0], 0.25F, 1e-6F);
  });
}

TEST(EsmmLoss, GivesTheSameBitsTwice) {
  for_each_cpu_target([] {
    esmm_case<float> one(drawn_logits(300, test_seed()), drawn_logits(300, test_seed() + 1));
    const esmm_losses sums = one.run(esmm_loss_cpu);
    std::vector<misaligned<float>> outs = one.outs;
    EXPECT_EQ(one.run(esmm_loss_cpu).conversion, sums.conversion);
    for (std::size_t out = 0; out < outs.size(); ++out) {
      EXPECT_TRUE(same_bits(one.outs[out].span(), outs[out].span()));
    }
  });
}

TEST(EsmmLoss, RefusesClicksOfTheWrongSize) {
  esmm_case<float> one({0.0F, 1.0F}, {0.0F, 1.0F});
  one.clicks = misaligned<float>(1);
  EXPECT_DEATH(one.run(esmm_loss_cpu), "clicks");
}

}  // namespace
}  // namespace headrace::kernels
