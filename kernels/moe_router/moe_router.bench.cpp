#include "kernels/moe_router/moe_router.hpp"

#include "kernels/runtime/bench_cases.hpp"

namespace headrace::kernels {
namespace {

constexpr router_losses losses = {.balance = 0.01, .entropy = 0.01, .z = 0.001};

/// 4,096 tokens over `experts`, of which each takes `k`.
struct router_case {
  router_case(std::size_t experts_n, std::size_t k, std::size_t most)
      : experts(experts_n),
        per_token(k),
        capacity(most),
        logits(random_floats(tokens * experts_n)),
        p(logits.size()),
        lse(tokens),
        mean(experts_n),
        chosen(tokens * k),
        gates(chosen.size()),
        loads(experts_n),
        routes(chosen.size()),
        workspace(moe_router_workspace(tokens, experts_n, k, most)),
        gate_gradients(random_floats(chosen.size(), 2)),
        logit_gradients(logits.size()),
        costs(experts_n) {
    forward = {.logits = logits,
               .experts = experts,
               .per_token = per_token,
               .capacity = capacity,
               .losses = losses,
               .probabilities = p,
               .lse = lse,
               .mean_probabilities = mean,
               .chosen = chosen,
               .gates = gates,
               .loads = loads,
               .routes = routes,
               .workspace = workspace};
    backward = {.experts = experts,
                .per_token = per_token,
                .losses = losses,
                .probabilities = p,
                .lse = lse,
                .mean_probabilities = mean,
                .chosen = chosen,
                .gates = gates,
                .loads = loads,
                .routes = routes,
                .gate_gradients = gate_gradients,
                .logit_gradients = logit_gradients,
                .workspace = costs};
  }
  static constexpr std::size_t tokens = 4096;
  std::size_t experts;
  std::size_t per_token;
  std::size_t capacity;
  std::vector<float> logits;
  std::vector<float> p;
  std::vector<float> lse;
  std::vector<float> mean;
  std::vector<std::uint32_t> chosen;
  std::vector<float> gates;
  std::vector<std::uint32_t> loads;
  std::vector<std::uint32_t> routes;
  std::vector<std::uint32_t> workspace;
  std::vector<float> gate_gradients;
  std::vector<float> logit_gradients;
  std::vector<float> costs;
  moe_router_args forward;
  moe_router_backward_args backward;
};

router_case chosen_case(const benchmark::State& state, std::size_t capacity) {
  const auto experts = static_cast<std::size_t>(state.range(0));
  return {experts, static_cast<std::size_t>(state.range(1)), capacity};
}

/// An item is a token. Peer: the reference.
void router_forward(benchmark::State& state) {
  const router_case one = chosen_case(state, 0);
  compare(
      state,
      router_case::tokens,
      0,
      [&one](std::size_t) { benchmark::DoNotOptimize(moe_router(one.forward)); },
      [&one](std::size_t) { benchmark::DoNotOptimize(moe_router_ref(one.forward)); });
}
BENCHMARK(router_forward)->Args({8, 2})->Args({64, 4})->Args({256, 8})->UseManualTime();

/// Peer: the same without capacity, so `share` says what dropping a fifth costs.
void router_with_capacity(benchmark::State& state) {
  const auto even = router_case::tokens * static_cast<std::size_t>(state.range(1)) /
                    static_cast<std::size_t>(state.range(0));
  const router_case one = chosen_case(state, even * 4 / 5);
  const router_case other = chosen_case(state, 0);
  compare(
      state,
      router_case::tokens,
      0,
      [&one](std::size_t) { benchmark::DoNotOptimize(moe_router(one.forward)); },
      [&other](std::size_t) { benchmark::DoNotOptimize(moe_router(other.forward)); });
}
BENCHMARK(router_with_capacity)->Args({8, 2})->Args({256, 8})->UseManualTime();

/// Peer: the reference.
void router_backward(benchmark::State& state) {
  const router_case one = chosen_case(state, 0);
  moe_router(one.forward);
  compare(
      state,
      router_case::tokens,
      0,
      [&one](std::size_t) { moe_router_backward(one.backward); },
      [&one](std::size_t) { moe_router_backward_ref(one.backward); });
}
BENCHMARK(router_backward)->Args({8, 2})->Args({64, 4})->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
