#include "kernels/moe_router/router_cases.hpp"

#include <algorithm>
#include <cmath>

namespace headrace::kernels {
namespace {

TEST(MoeRouterBackward, StaysWithinItsBoundOfTheExactGradient) {
  in_both_float_modes([] {
    for_each_cpu_target([] {
      for_each_case([](router_case<float>& one) {
        one.forward(forward_cpu);
        const misaligned<float> got = one.backward(backward_cpu);
        const misaligned<double> exact = widened(one).backward(backward_ref);
        const auto& shape = one.shape;
        const auto experts = static_cast<double>(shape.experts);
        const double tokens = static_cast<double>(shape.tokens);
        std::vector<double> costs(shape.experts);  // |a_e|
        for (std::size_t e = 0; e < shape.experts; ++e) {
          const double f = one.loads.span()[e] / (tokens * static_cast<double>(shape.per_token));
          const double log = std::log(std::max(at(one.mean, e), 0x1p-126));
          costs[e] = std::abs(
              (all_losses.balance * experts * f + all_losses.entropy * (log + 1.0)) / tokens);
        }
        for (std::size_t t = 0; t < shape.tokens; ++t) {
          const std::size_t begin = t * shape.per_token;
          const auto dg = [&](std::size_t i) {
            return one.routes.span()[i] == no_expert ? 0.0 : at(one.gate_gradients, i);
          };
          double gates = 0.0;    // G
          double average = 0.0;  // A
          std::vector<double> bounds(shape.experts);
          for (std::size_t i = begin; i < begin + shape.per_token; ++i) {
            gates += std::abs(dg(i) * at(one.gates, i));
          }
          for (std::size_t e = 0; e < shape.experts; ++e) {
            average += at(one.p, t * shape.experts + e) * costs[e];
          }
          for (std::size_t i = begin; i < begin + shape.per_token; ++i) {
            bounds[one.chosen.span()[i]] = at(one.gates, i) * (std::abs(dg(i)) + gates);
          }
          const double z = std::abs(2.0 * all_losses.z * at(one.lse, t) / tokens);
          for (std::size_t e = 0; e < shape.experts; ++e) {
            const std::size_t place = t * shape.experts + e;
            bounds[e] += at(one.p, place) * (average + costs[e] + z + gates);
            const double steps = 2.0 * experts + 2.0 * static_cast<double>(shape.per_token) + 16.0;
            ASSERT_LE(std::abs(at(got, place) - exact.span()[place]),
                      steps * unit_roundoff * bounds[e] + 0x1p-126)
                << "token " << t << ", expert " << e;
          }
        }
      });
    });
  });
}

/// Gates that are kept, times their gradients, and the auxiliary losses.
double total_loss(router_case<double>& one) {
  one.forward(forward_ref);
  double sum = one.report.balance_loss + one.report.entropy_loss + one.report.z_loss;
  for (std::size_t i = 0; i < one.gates.span().size(); ++i) {
    if (one.routes.span()[i] != no_expert)
      sum += one.gates.span()[i] * one.gate_gradients.span()[i];
  }
  return sum;
}

/// The third derivative is of order 1, so step² / 6 and 2^-53 / step are both far below 1e-6.
TEST(MoeRouterBackward, EqualsCentralDifferencesOfTheReference) {
  constexpr double step = 0x1p-17;
  for (const bool renormalised : {true, false}) {
    for (const std::size_t capacity : {0U, 2U}) {
      router_case<double> one({.tokens = 6,
                               .experts = 7,
                               .per_token = 3,
                               .capacity = capacity,
                               .renormalised = renormalised,
                               .biased = true},
                              test_seed());
      one.forward(forward_ref);
      ASSERT_EQ(one.report.dropped != 0, capacity != 0);
      const misaligned<double> got = one.backward(backward_ref);
      double error = 0.0;
      double norm = 0.0;
      for (std::size_t i = 0; i < one.logits.span().size(); ++i) {
        const double logit = one.logits.span()[i];
        one.logits.span()[i] = logit + step;
        const double above = total_loss(one);
        one.logits.span()[i] = logit - step;
        const double below = total_loss(one);
        one.logits.span()[i] = logit;
        const double wanted = (above - below) / (2.0 * step);
        error += std::pow(got.span()[i] - wanted, 2);
        norm += std::pow(wanted, 2);
      }
      ASSERT_LE(std::sqrt(error), 1e-6 * std::sqrt(norm)) << describe(one.shape);
    }
  }
}

TEST(MoeRouter, KeepsItsGradientFiniteWhereAnExpertIsNeverProbable) {
  for_each_cpu_target([] {
    router_case<float> one({.tokens = 5, .experts = 4, .per_token = 4}, test_seed());
    for (std::size_t t = 0; t < 5; ++t) one.logits.span()[t * 4 + 3] = -300.0F;
    one.forward(forward_cpu);
    ASSERT_EQ(one.mean.span()[3], 0.0F);
    const misaligned<float> gradients = one.backward(backward_cpu);
    for (const float g : gradients.span()) ASSERT_TRUE(std::isfinite(g));
    ASSERT_TRUE(std::isfinite(one.report.entropy_loss));
  });
}

}  // namespace
}  // namespace headrace::kernels
