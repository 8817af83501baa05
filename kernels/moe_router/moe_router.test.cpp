#include "kernels/moe_router/moe_router.hpp"

#include "kernels/moe_router/router_cases.hpp"

#include <array>
#include <cmath>
#include <set>

namespace headrace::kernels {
namespace {

void expect_softmax_within_bounds(const router_case<float>& one) {
  router_case<double> exact = widened(one);
  exact.forward(forward_ref);
  const auto experts = static_cast<double>(one.shape.experts);
  double z = 0.0;
  for (const float logit : one.logits.span()) z = std::max(z, std::abs(double{logit}));
  const double relative = (experts + 16.0) * unit_roundoff + 0x1p-22 * z;
  for (std::size_t i = 0; i < one.p.span().size(); ++i) {
    const double wanted = exact.p.span()[i];
    ASSERT_LE(std::abs(at(one.p, i) - wanted), relative * wanted + 0x1p-126) << "p at " << i;
  }
  for (std::size_t t = 0; t < one.shape.tokens; ++t) {
    ASSERT_LE(std::abs(at(one.lse, t) - exact.lse.span()[t]), 0x1p-22 * (z + 8.0 + experts / 4.0));
  }
  const double summing = (256.0 + static_cast<double>(one.shape.tokens) / 256.0) * unit_roundoff;
  for (std::size_t e = 0; e < one.shape.experts; ++e) {
    const double wanted = exact.mean.span()[e];
    ASSERT_LE(std::abs(at(one.mean, e) - wanted), (relative + summing) * wanted + 0x1p-126);
  }
  // Gates belong to the experts that this version chose.
  for (std::size_t t = 0; t < one.shape.tokens; ++t) {
    const std::size_t begin = t * one.shape.per_token;
    double sum = 0.0;
    const auto exact_p = [&](std::size_t i) {
      return exact.p.span()[t * one.shape.experts + one.chosen.span()[i]];
    };
    for (std::size_t i = begin; i < begin + one.shape.per_token; ++i) sum += exact_p(i);
    if (!one.shape.renormalised) sum = 1.0;
    for (std::size_t i = begin; i < begin + one.shape.per_token; ++i) {
      const double wanted = exact_p(i) / sum;
      ASSERT_LE(std::abs(at(one.gates, i) - wanted), relative * wanted + 0x1p-126) << "gate " << i;
    }
  }
}

/// chosen, loads and routes are what the definition makes of p and gates as they were written.
void expect_exact_selection(const router_case<float>& one) {
  const auto& [tokens, experts, k, capacity, renormalised, biased, scale] = one.shape;
  std::vector<std::uint32_t> loads(experts);
  for (std::size_t t = 0; t < tokens; ++t) {
    std::vector<std::pair<float, std::uint32_t>> order;  // (−score, expert): best first
    for (std::uint32_t e = 0; e < experts; ++e) {
      const float p = one.p.span()[t * experts + e];
      order.emplace_back(biased ? -(p + one.bias.span()[e]) : -p, e);
    }
    std::sort(order.begin(), order.end());
    for (std::size_t s = 0; s < k; ++s) {
      ASSERT_EQ(one.chosen.span()[t * k + s], order[s].second) << "token " << t << ", slot " << s;
      ++loads[order[s].second];
    }
  }
  ASSERT_TRUE(std::equal(loads.begin(), loads.end(), one.loads.span().begin()));
  std::vector<std::set<std::pair<float, std::size_t>>> queues(experts);  // (−gate, assignment)
  for (std::size_t i = 0; i < tokens * k; ++i) {
    queues[one.chosen.span()[i]].emplace(-one.gates.span()[i], i);
  }
  std::vector<std::uint32_t> routes(tokens * k, no_expert);
  std::size_t dropped = tokens * k;
  for (std::uint32_t e = 0; e < experts; ++e) {
    std::size_t place = 0;
    for (const auto& [gate, i] : queues[e]) {
      if (capacity != 0 && place++ >= capacity) break;
      routes[i] = e;
      --dropped;
    }
  }
  ASSERT_TRUE(std::equal(routes.begin(), routes.end(), one.routes.span().begin()));
  ASSERT_EQ(one.report.dropped, dropped);
}

TEST(MoeRouter, StaysWithinItsBoundsOfTheExactSoftmax) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for_each_case([](router_case<float>& one) {
        one.forward(forward_cpu);
        expect_softmax_within_bounds(one);
      });
    });
  });
}

TEST(MoeRouter, ChoosesAndDropsExactlyByWhatItWrote) {
  for_each_case([](router_case<float>& one) {
    one.forward(forward_ref);
    expect_exact_selection(one);
  });
  for_each_cpu_target([] {
    for_each_case([](router_case<float>& one) {
      one.forward(forward_cpu);
      expect_exact_selection(one);
    });
  });
}

TEST(MoeRouter, GivesTheSameBitsTwice) {
  for_each_cpu_target([] {
    for_each_case([](router_case<float>& one) {
      one.forward(forward_cpu);
      router_case<float> first = one;
      misaligned<float> first_gradients = one.backward(backward_cpu);
      one.forward(forward_cpu);
      ASSERT_TRUE(same_bits(one.p.span(), first.p.span()));
      ASSERT_TRUE(same_bits(one.gates.span(), first.gates.span()));
      ASSERT_TRUE(same_bits(one.routes.span(), first.routes.span()));
      ASSERT_TRUE(same_bits(one.backward(backward_cpu).span(), first_gradients.span()));
    });
  });
}

TEST(MoeRouter, ComputesASmallCaseByHand) {
  const auto log = [](double x) { return static_cast<float>(std::log(x)); };
  for_each_cpu_target([&log] {
    router_case<float> one({.tokens = 3, .experts = 4, .per_token = 2, .capacity = 1}, 0);
    // Tokens 0 and 2 alike: p = 1/2, 1/4, 1/8, 1/8; token 1 with all experts equal.
    const std::array<float, 12> logits = {
        log(4), log(2), 0.0F, 0.0F, 1.0F, 1.0F, 1.0F, 1.0F, log(4), log(2), 0.0F, 0.0F};
    std::copy(logits.begin(), logits.end(), one.logits.span().begin());
    one.forward(forward_cpu);
    EXPECT_NEAR(one.p.span()[0], 0.5F, 1e-6F);
    EXPECT_NEAR(one.lse.span()[0], std::log(8.0F), 1e-6F);
    EXPECT_NEAR(one.gates.span()[0], 2.0F / 3.0F, 1e-6F);
    EXPECT_NEAR(one.mean.span()[0], 1.25F / 3.0F, 1e-6F);
    const std::vector<std::uint32_t> chosen = {0, 1, 0, 1, 0, 1};
    const std::vector<std::uint32_t> routes = {0, no_expert, no_expert, 1, no_expert, no_expert};
    const std::vector<std::uint32_t> loads = {3, 3, 0, 0};
    const auto equal = [](const std::vector<std::uint32_t>& wanted,
                          const misaligned<std::uint32_t>& got) {
      return std::equal(wanted.begin(), wanted.end(), got.span().begin(), got.span().end());
    };
    EXPECT_TRUE(equal(chosen, one.chosen));
    EXPECT_TRUE(equal(loads, one.loads));
    EXPECT_TRUE(equal(routes, one.routes));
    EXPECT_EQ(one.report.dropped, 4U);
    EXPECT_EQ(one.report.utilisation, 0.5);  // two of four experts, one place each
    const std::array<double, 4> mean = {1.25 / 3, 0.75 / 3, 0.5 / 3, 0.5 / 3};
    EXPECT_NEAR(one.report.balance_loss, 0.3 * 4 * 0.5 * (mean[0] + mean[1]), 1e-6);
    double entropy = 0.0;
    for (const double p : mean) entropy += p * std::log(p);
    EXPECT_NEAR(one.report.entropy_loss, 0.2 * entropy, 1e-6);
    const double squares = 2.0 * std::pow(std::log(8.0), 2) + std::pow(1.0 + std::log(4.0), 2);
    EXPECT_NEAR(one.report.z_loss, 0.05 * squares / 3.0, 1e-6);
  });
}

TEST(MoeRouter, MovesTheSelectionButNotTheGatesByBias) {
  for_each_cpu_target([] {
    router_case<float> one(
        {.tokens = 1, .experts = 3, .per_token = 1, .renormalised = false, .biased = true}, 0);
    const std::array<float, 3> logits = {1.0F, 0.0F, 0.0F};
    const std::array<float, 3> bias = {0.0F, 0.0F, 0.9F};
    std::copy(logits.begin(), logits.end(), one.logits.span().begin());
    std::copy(bias.begin(), bias.end(), one.bias.span().begin());
    one.forward(forward_cpu);
    EXPECT_EQ(one.chosen.span()[0], 2U);
    EXPECT_EQ(one.gates.span()[0], one.p.span()[2]);
  });
}

TEST(MoeRouter, ShowsNanInTheProbabilitiesAndStillRoutesToExpertsThatExist) {
  for_each_cpu_target([] {
    for (const std::size_t experts : {3U, 8U, 33U}) {
      router_case<float> one({.tokens = 9, .experts = experts, .per_token = 3, .capacity = 1},
                             test_seed());
      one.logits.span()[4 * experts + experts / 2] = std::numeric_limits<float>::quiet_NaN();
      one.forward(forward_cpu);
      ASSERT_TRUE(std::isnan(one.p.span()[4 * experts]));
      for (std::size_t t = 0; t < 9; ++t) {
        const auto chosen = one.chosen.span().subspan(t * 3, 3);
        ASSERT_EQ(std::set<std::uint32_t>(chosen.begin(), chosen.end()).size(), 3U);
        for (const std::uint32_t e : chosen) ASSERT_LT(e, experts);
      }
    }
  });
}

TEST(MoeRouter, RefusesMoreChoicesThanExperts) {
  router_case<float> one({.tokens = 2, .experts = 3, .per_token = 4}, 0);
  EXPECT_DEATH(one.forward(forward_cpu), "per_token <= args.experts");
}

}  // namespace
}  // namespace headrace::kernels
