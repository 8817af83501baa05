#include "kernels/moe_router/balance_bias.hpp"
#include "kernels/moe_router/moe_router.hpp"
#include "kernels/runtime/test_cases.hpp"

#include <array>
#include <cmath>

namespace headrace::kernels {
namespace {

constexpr std::size_t tokens = 512;
constexpr std::size_t features = 8;  // the last is 1, so that logits can have an offset
constexpr std::size_t experts = 8;
constexpr std::size_t per_token = 2;
constexpr std::size_t capacity = 160;  // ⌈T k / (0.8 E)⌉: an even load uses 80 % of it
static_assert(capacity * experts * 8 == tokens * per_token * 10);

/// A mixture of linear experts f_e(x) = v_e x that learns one slope, by plain gradient descent on
/// the average of (Σ g f − y)² / 2. Any expert could do it alone, so whichever is ahead is trained
/// more and gains. The logits of the first two experts start `ahead` of the rest.
class small_mixture {
 public:
  small_mixture(std::uint64_t seed, float ahead) {
    random_stream random(seed);
    std::array<float, features> slope{};
    for (float& value : slope) value = next_signed(random, 2.0F);
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t i = 0; i < features; ++i) {
        x_[t * features + i] = i + 1 == features ? 1.0F : next_signed(random, 0.5F);
        target_[t] += slope[i] * x(t, i);
      }
    }
    for (float& w : router_) w = next_signed(random, 0.3F);
    for (float& v : experts_) v = next_signed(random, 0.3F);
    for (std::size_t e = 0; e < 2; ++e) router_[(features - 1) * experts + e] += ahead;
  }

  /// One step of descent; returns what the router says of the batch before it.
  router_report step(const router_losses& losses, float bias_step) {
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t e = 0; e < experts; ++e) {
        float& logit = logits_[t * experts + e];
        logit = 0.0F;
        for (std::size_t i = 0; i < features; ++i) logit += x(t, i) * router_[i * experts + e];
      }
    }
    const router_report report = moe_router({.logits = logits_,
                                             .bias = bias_,
                                             .experts = experts,
                                             .per_token = per_token,
                                             .capacity = capacity,
                                             .renormalised = false,
                                             .losses = losses,
                                             .probabilities = p_,
                                             .lse = lse_,
                                             .mean_probabilities = mean_,
                                             .chosen = chosen_,
                                             .gates = gates_,
                                             .loads = loads_,
                                             .routes = routes_,
                                             .workspace = words_});
    learn_experts();
    moe_router_backward({.experts = experts,
                         .per_token = per_token,
                         .renormalised = false,
                         .losses = losses,
                         .probabilities = p_,
                         .lse = lse_,
                         .mean_probabilities = mean_,
                         .chosen = chosen_,
                         .gates = gates_,
                         .loads = loads_,
                         .routes = routes_,
                         .gate_gradients = gate_gradients_,
                         .logit_gradients = logits_,
                         .workspace = costs_});
    for (std::size_t t = 0; t < tokens; ++t) {
      for (std::size_t i = 0; i < features; ++i) {
        for (std::size_t e = 0; e < experts; ++e) {
          router_[i * experts + e] -= rate * x(t, i) * logits_[t * experts + e];
        }
      }
    }
    update_balance_bias<float>(bias_, loads_, bias_step);
    return report;
  }

 private:
  static constexpr float rate = 0.5F;

  float x(std::size_t token, std::size_t feature) const { return x_[token * features + feature]; }
  float output(std::size_t token, std::uint32_t expert) const {
    float sum = 0.0F;
    for (std::size_t i = 0; i < features; ++i) {
      sum += x(token, i) * experts_[expert * features + i];
    }
    return sum;
  }

  /// Descends in the experts; leaves gate_gradients_.
  void learn_experts() {
    std::array<float, experts * features> gradients{};
    for (std::size_t t = 0; t < tokens; ++t) {
      float miss = -target_[t];
      for (std::size_t s = t * per_token; s < (t + 1) * per_token; ++s) {
        if (routes_[s] != no_expert) miss += gates_[s] * output(t, routes_[s]);
      }
      miss /= static_cast<float>(tokens);
      for (std::size_t s = t * per_token; s < (t + 1) * per_token; ++s) {
        gate_gradients_[s] = 0.0F;
        if (routes_[s] == no_expert) continue;
        gate_gradients_[s] = miss * output(t, routes_[s]);
        for (std::size_t i = 0; i < features; ++i) {
          gradients[routes_[s] * features + i] += miss * gates_[s] * x(t, i);
        }
      }
    }
    for (std::size_t i = 0; i < experts_.size(); ++i) experts_[i] -= rate * gradients[i];
  }

  std::array<float, tokens * features> x_{};
  std::array<float, tokens> target_{};
  std::array<float, features * experts> router_{};
  std::array<float, experts * features> experts_{};
  std::array<float, experts> bias_{};
  std::array<float, tokens * experts> logits_{};  // then their gradients
  std::array<float, tokens * experts> p_{};
  std::array<float, tokens> lse_{};
  std::array<float, experts> mean_{};
  std::array<std::uint32_t, tokens * per_token> chosen_{};
  std::array<float, tokens * per_token> gates_{};
  std::array<std::uint32_t, experts> loads_{};
  std::array<std::uint32_t, tokens * per_token> routes_{};
  std::array<std::uint32_t, moe_router_workspace(tokens, experts, per_token, capacity)> words_{};
  std::array<float, tokens * per_token> gate_gradients_{};
  std::array<float, experts> costs_{};
};

struct usage {
  double first = 0.0;
  double last = 0.0;     // average of the last 40 steps
  double dropped = 0.0;  // share of the assignments, likewise
};

usage train(small_mixture mixture, const router_losses& losses, float bias_step) {
  constexpr int steps = 400;
  constexpr int measured = 40;
  usage seen;
  for (int step = 0; step < steps; ++step) {
    const router_report report = mixture.step(losses, bias_step);
    if (step == 0) seen.first = report.utilisation;
    if (step < steps - measured) continue;
    seen.last += report.utilisation / measured;
    seen.dropped += static_cast<double>(report.dropped) / (tokens * per_token) / measured;
  }
  return seen;
}

constexpr router_losses both = {.balance = 0.5, .entropy = 0.5};

/// Averages over a few mixtures, each of which passes `check`.
template <class Check>
usage average(float ahead, const router_losses& losses, float bias_step, const Check& check) {
  constexpr std::uint64_t mixtures = 3;
  usage sum;
  for (std::uint64_t i = 0; i < mixtures; ++i) {
    const usage seen = train(small_mixture(test_seed() + i, ahead), losses, bias_step);
    check(seen);
    sum.first += seen.first / mixtures;
    sum.last += seen.last / mixtures;
    sum.dropped += seen.dropped / mixtures;
  }
  return sum;
}
const auto expect_even = [](const usage& seen) {
  EXPECT_GE(seen.last, 0.75);
  EXPECT_LE(seen.last, 0.85);
  EXPECT_LE(seen.dropped, 0.07);
};
const auto expect_nothing = [](const usage&) {};

TEST(MoeBalance, KeepsUtilisationAt80PercentWhereTheRouterWouldCollapse) {
  const usage without = average(0.0F, {}, 0.0F, expect_nothing);
  EXPECT_GE(without.first, 0.45);
  EXPECT_LE(without.last, 0.40);
  EXPECT_GE(without.dropped, 0.5);
  average(0.0F, both, 0.0F, expect_even);
}

TEST(MoeBalance, BringsBackARouterThatStartsWithTwoExperts) {
  const usage without = average(1.0F, {}, 0.0F, expect_nothing);
  EXPECT_LE(without.first, 0.30);
  EXPECT_LE(without.last, 0.30);
  average(1.0F, both, 0.0F, expect_even);
}

/// In these steps the bias travels 0.4 at most, and a probability may lead by more: so not all the
/// way.
TEST(MoeBalance, IsMoreThanDoubledByTheSelectionBiasAlone) {
  average(1.0F, {}, 0.001F, [](const usage& seen) { EXPECT_GE(seen.last, 0.6); });
}

TEST(BalanceBias, MovesAgainstTheLoadByOneStep) {
  std::array<float, 4> bias = {0.0F, 0.5F, 0.0F, -1.0F};
  const std::array<std::uint32_t, 4> loads = {9, 5, 5, 1};
  update_balance_bias<float>(bias, loads, 0.25F);
  EXPECT_EQ(bias, (std::array{-0.25F, 0.5F, 0.0F, -0.75F}));
}

}  // namespace
}  // namespace headrace::kernels
