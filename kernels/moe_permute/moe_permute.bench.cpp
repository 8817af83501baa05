#include "kernels/moe_permute/moe_permute.hpp"

#include "kernels/runtime/bench_cases.hpp"

#include <cstring>

namespace headrace::kernels {
namespace {

/// `tokens` rows of `dim`, each for two of eight experts at random.
struct permute_case {
  explicit permute_case(const benchmark::State& state)
      : tokens_n(static_cast<std::size_t>(state.range(0))),
        dim(static_cast<std::size_t>(state.range(1))),
        routes(tokens_n * per_token),
        offsets(experts + 1),
        places(routes.size()),
        gates(random_floats(routes.size())),
        gate_gradients(routes.size()),
        x(tokens_n * dim),
        rows(routes.size() * dim),
        row_gradients(rows.size()) {
    random_stream random(1);
    for (std::size_t i = 0; i < routes.size(); i += per_token) {
      routes[i] = static_cast<std::uint32_t>(random.next_below(experts));
      routes[i + 1] = static_cast<std::uint32_t>((routes[i] + 1 + random.next_below(7)) % experts);
    }
    std::fill_n(x.data(), x.size(), 0.5F);
    std::fill_n(rows.data(), rows.size(), 0.25F);
    moe_plan(plan());
  }
  moe_plan_args plan() {
    return {.routes = routes, .per_token = per_token, .offsets = offsets, .places = places};
  }
  static constexpr std::size_t experts = 8;
  static constexpr std::size_t per_token = 2;
  std::size_t tokens_n;
  std::size_t dim;
  std::vector<std::uint32_t> routes;
  std::vector<std::uint32_t> offsets;
  std::vector<std::uint32_t> places;
  std::vector<float> gates;
  std::vector<float> gate_gradients;
  huge_buffer<float> x;
  huge_buffer<float> rows;
  huge_buffer<float> row_gradients;
};

/// An item is an assignment.
void plan(benchmark::State& state) {
  permute_case one(state);
  compare(
      state,
      one.routes.size(),
      0,
      [&one](std::size_t) { moe_plan(one.plan()); },
      [&one](std::size_t) { moe_plan_ref(one.plan()); });
}
BENCHMARK(plan)->Args({4096, 1})->UseManualTime();

/// Times op() against a copy that moves as many floats as op() reads and writes.
template <class Op>
void against_copy(benchmark::State& state, permute_case& one, std::size_t floats, const Op& op) {
  huge_buffer<float> from(floats / 2);
  huge_buffer<float> to(floats / 2);
  compare(
      state,
      one.routes.size(),
      floats * sizeof(float) / one.routes.size(),
      [&op](std::size_t) { op(); },
      [&from, &to](std::size_t) {
        std::memcpy(to.data(), from.data(), from.size() * sizeof(float));
        benchmark::ClobberMemory();
      });
}
#define HEADRACE_SIZES(name) \
  BENCHMARK(name)->Args({4096, 256})->Args({16'384, 512})->UseManualTime()

/// Peer: a copy of as many rows. x is read twice, the second time from cache.
void permute(benchmark::State& state) {
  permute_case one(state);
  const moe_permute_args args = {.x = one.x.span(),
                                 .places = one.places,
                                 .per_token = 2,
                                 .dim = one.dim,
                                 .rows = one.rows.span()};
  against_copy(state, one, 2 * one.rows.size(), [&args] { moe_permute(args); });
}
HEADRACE_SIZES(permute);

void run_combine(benchmark::State& state, bool gated) {
  permute_case one(state);
  const moe_combine_args args = {
      .rows = one.rows.span(),
      .places = one.places,
      .gates = gated ? std::span<const float>(one.gates) : std::span<const float>(),
      .per_token = permute_case::per_token,
      .dim = one.dim,
      .y = one.x.span()};
  against_copy(state, one, one.rows.size() + one.x.size(), [&args] { moe_combine(args); });
}
void permute_backward(benchmark::State& state) { run_combine(state, false); }
void combine(benchmark::State& state) { run_combine(state, true); }
HEADRACE_SIZES(permute_backward);
HEADRACE_SIZES(combine);

void run_combine_backward(benchmark::State& state, bool in_place) {
  permute_case one(state);
  const moe_combine_backward_args args = {
      .rows = one.rows.span(),
      .places = one.places,
      .gates = one.gates,
      .per_token = permute_case::per_token,
      .dim = one.dim,
      .y_gradients = one.x.span(),
      .row_gradients = in_place ? one.rows.span() : one.row_gradients.span(),
      .gate_gradients = one.gate_gradients};
  const std::size_t floats = one.x.size() + 2 * one.rows.size();
  against_copy(state, one, floats, [&args] { moe_combine_backward(args); });
}
void combine_backward(benchmark::State& state) { run_combine_backward(state, false); }
void combine_backward_in_place(benchmark::State& state) { run_combine_backward(state, true); }
HEADRACE_SIZES(combine_backward_in_place);
HEADRACE_SIZES(combine_backward);

}  // namespace
}  // namespace headrace::kernels
