#include "kernels/lstm_cell/lstm_cell.hpp"

#include "kernels/runtime/bench_cases.hpp"

namespace headrace::kernels {
namespace {

/// rows, inputs, hidden: steps of one state, each from the output before it.
void lstm_step(benchmark::State& state) {
  const lstm_cell_sizes sizes = {.rows = static_cast<std::size_t>(state.range(0)),
                                 .inputs = static_cast<std::size_t>(state.range(1)),
                                 .hidden = static_cast<std::size_t>(state.range(2))};
  constexpr std::size_t steps = 10;  // a call of one would be too short to time
  const std::size_t width = sizes.rows * sizes.hidden;
  const std::vector<float> x = random_floats(sizes.rows * sizes.inputs);
  std::vector<float> weights = random_floats((sizes.inputs + sizes.hidden) * 4 * sizes.hidden);
  for (float& weight : weights) weight *= 0.1F;
  const std::span<const float> all = weights;
  const std::size_t below = sizes.inputs * 4 * sizes.hidden;
  const std::vector<float> bias(4 * sizes.hidden);
  std::vector<float> h(2 * width);
  std::vector<float> c(2 * width);
  std::vector<float> gates(4 * width);
  std::vector<float> tanhs(width);
  std::vector<float> workspace(lstm_cell_workspace(sizes));
  const auto run = [&](auto op) {
    for (std::size_t step = 0; step < steps; ++step) {
      const std::size_t now = step % 2 * width;
      const std::size_t next = width - now;
      op(lstm_cell_forward_args{.sizes = sizes,
                                .x = x,
                                .h = std::span<const float>(h).subspan(now, width),
                                .c = std::span<const float>(c).subspan(now, width),
                                .input_weights = all.first(below),
                                .hidden_weights = all.subspan(below),
                                .bias = bias,
                                .next_h = std::span<float>(h).subspan(next, width),
                                .next_c = std::span<float>(c).subspan(next, width),
                                .gates = gates,
                                .cell_tanhs = tanhs,
                                .workspace = workspace});
    }
  };
  compare(
      state,
      steps,
      weights.size() * sizeof(float),
      [&run](std::size_t) { run([](const auto& args) { lstm_cell_forward(args); }); },
      [&run](std::size_t) {
        run([](const lstm_cell_forward_args& args) { lstm_cell_forward_ref(args); });
      });
}
/// An item is a step: the load predictor's and the prefetcher's, then a batch. Peer: the reference.
BENCHMARK(lstm_step)->Args({1, 6, 32})->Args({1, 64, 128})->Args({64, 64, 128})->UseManualTime();

}  // namespace
}  // namespace headrace::kernels
